//! Normalisation of columns by means and deviations.

use super::moments::{ColumnMoments, Moments};
use super::reader::DatasetReader;
use crate::cast::single;
use crate::error::{ConfigError, InputError, Result};
use crate::output::{Role, columns};

/// How the columns of windows are normalised: each value becomes its distance from a mean, in sample deviations. A
/// deviation of zero counts as one, so a constant column becomes 0. A column becomes NaN if it has fewer than two
/// values in the rows that its mean and deviation are computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalise {
    /// Values as they are.
    None,
    /// Each column by its own mean and deviation over the fit rows of the target.
    Column,
    /// All prices of levels by one mean and deviation over the fit rows of the target, and all sizes of levels by another,
    /// so that levels keep their order. Any other column by its own.
    Group,
    /// Each column by its own mean and deviation over the rows of this many input files before the one with the
    /// window's last row.
    Days(usize),
}

impl Normalise {
    /// The normalisation with this name: `none`, `column`, `group`, or `days:5` for any number of files.
    ///
    /// # Errors
    /// [`ConfigError`] when no normalisation has this name.
    pub fn from_name(name: &str) -> Result<Self, ConfigError> {
        let days = name.strip_prefix("days:").and_then(|days| days.parse().ok()).filter(|days| *days > 0);
        match (name, days) {
            ("none", _) => Ok(Self::None),
            ("column", _) => Ok(Self::Column),
            ("group", _) => Ok(Self::Group),
            (_, Some(days)) => Ok(Self::Days(days)),
            _ => Err(ConfigError::one(format!(
                "normalise: {name:?} is none of \"group\", \"column\", \"days:5\" (any number of files) and \"none\""
            ))),
        }
    }
}

/// The mean and deviation that normalise a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    /// The scale of a column's moments; `None` if its sums are too large to be known.
    fn of(moments: ColumnMoments) -> Option<Self> {
        if moments.count < 2 {
            return Some(Self { mean: f64::NAN, deviation: f64::NAN });
        }
        let (mean, deviation) = moments.mean.zip(moments.deviation)?;
        Some(Self { mean, deviation: if deviation == 0.0 { 1.0 } else { deviation } })
    }

    /// The normalised value.
    #[inline(always)]
    pub fn apply(self, value: f64) -> f32 {
        single((value - self.mean) / self.deviation)
    }

    /// The bits of both numbers.
    pub fn bits(self) -> [u64; 2] {
        [self.mean.to_bits(), self.deviation.to_bits()]
    }
}

/// The scales of the columns of a window.
#[derive(Debug)]
pub(super) enum Scales {
    /// The same for every window; `None` for values as they are.
    Same(Vec<Option<Scale>>),
    /// By the input file of the last row.
    ByFile {
        /// The last row of each file, plus 1, as a position in the dataset.
        ends: Vec<u64>,
        /// By file; none where there are not enough files before.
        files: Vec<Option<Vec<Scale>>>,
    },
}

impl Scales {
    /// The scales of columns of a dataset. Reads the moments next to it if they are needed.
    ///
    /// # Errors
    /// [`InputError`] when the moments cannot be read, are those of other rows, or lack a column.
    pub fn new(reader: &DatasetReader, names: &[String], normalise: Normalise) -> Result<Self> {
        if normalise == Normalise::None {
            return Ok(Self::Same(vec![None; names.len()]));
        }
        let moments = Moments::open(reader.path())?;
        let of = (0..moments.files().len()).map(|file| moments.rows_of(file));
        let ends: Vec<u64> = of.scan(0_u64, |end, rows| (*end = end.checked_add(rows)?, Some(*end)).1).collect();
        if ends.last() != Some(&reader.rows()) || moments.symbol() != reader.symbol() {
            return Err(InputError::new(moments.path(), format!("is not of {}", reader.path().display()))
                .with_help("copy dataset and moments together, or write the dataset again with lobset process")
                .into());
        }
        let place = |name: &String| {
            moments.columns().iter().position(|column| column == name).ok_or_else(|| {
                InputError::new(moments.path(), format!("has no sums of the column {name:?}"))
                    .with_help("columns that lobset has not written cannot be normalised: normalise=\"none\"")
            })
        };
        let places = names.iter().map(place).collect::<Result<Vec<usize>, _>>()?;
        let scale = |name: &String, of: ColumnMoments| {
            Scale::of(of).ok_or_else(|| {
                InputError::new(moments.path(), format!("has sums of the column {name:?} of more than 38 digits"))
                    .with_help("it cannot be normalised: normalise=\"none\"")
            })
        };
        let scales = |of: &[ColumnMoments]| -> Result<Vec<Scale>, InputError> {
            names.iter().zip(&places).map(|(name, place)| scale(name, of[*place])).collect()
        };
        let target = &reader.target().name;
        match normalise {
            Normalise::None | Normalise::Column => {
                Ok(Self::Same(scales(&moments.of_fit(target)?)?.into_iter().map(Some).collect()))
            }
            Normalise::Group => {
                let mut of_fit = moments.of_fit(target)?;
                for field in ["px", "sz"] {
                    let members = of_levels(reader, names, field);
                    let together = pooled(members.iter().map(|member| of_fit[places[*member]]));
                    members.iter().for_each(|member| of_fit[places[*member]] = together);
                }
                Ok(Self::Same(scales(&of_fit)?.into_iter().map(Some).collect()))
            }
            Normalise::Days(days) => {
                let file = |file| moments.before(file, days).map(|of| scales(&of)).transpose();
                Ok(Self::ByFile { files: (0..ends.len()).map(file).collect::<Result<Vec<_>, _>>()?, ends })
            }
        }
    }

    /// The first row that may end a window, as a position in the dataset; its number of rows if there is none.
    pub fn first(&self) -> u64 {
        match self {
            Self::Same(_) => 0,
            Self::ByFile { ends, files } => {
                let without = files.iter().take_while(|scales| scales.is_none()).count();
                without.checked_sub(1).map_or(0, |last| ends[last])
            }
        }
    }

    /// The scales of a window that ends at a row; `None` if they are those of all windows, or there are none.
    pub fn of_row(&self, place: u64) -> Option<&[Scale]> {
        match self {
            Self::Same(_) => None,
            Self::ByFile { ends, files } => files.get(ends.partition_point(|end| *end <= place))?.as_deref(),
        }
    }
}

/// The places among `names` of columns of levels with this field.
fn of_levels(reader: &DatasetReader, names: &[String], field: &str) -> Vec<usize> {
    let table = columns(reader.config(), true);
    let is_one = |name: &&String| {
        let column = table.iter().find(|column| column.name == **name);
        column.is_some_and(|column| column.role == Role::Book) && name.split('_').nth(1) == Some(field)
    };
    names.iter().enumerate().filter(|(_, name)| is_one(name)).map(|(place, _)| place).collect()
}

/// The moments of several columns together.
fn pooled(columns: impl Iterator<Item = ColumnMoments> + Clone) -> ColumnMoments {
    let columns = columns.filter(|column| column.count > 0);
    let count: u64 = columns.clone().map(|column| column.count).sum();
    let mean: Option<f64> = columns.clone().map(|column| Some(column.count as f64 * column.mean?)).sum();
    let mean = mean.filter(|_| count > 0).map(|sum| sum / count as f64);
    // Within the columns, and between them.
    let squares = columns.map(|column| {
        let within = if column.count > 1 { column.deviation?.powi(2) * (column.count - 1) as f64 } else { 0.0 };
        Some(within + column.count as f64 * (column.mean? - mean?).powi(2))
    });
    let squares: Option<f64> = squares.sum();
    let deviation = squares.filter(|_| count > 1).map(|squares| (squares / (count - 1) as f64).sqrt());
    ColumnMoments { count, mean, deviation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_several_columns_are_those_of_all_their_values() {
        let of = |values: &[f64]| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
            ColumnMoments { count: values.len() as u64, mean: (count > 0.0).then_some(mean), deviation }
        };
        let parts: [&[f64]; 4] = [&[1.0, 4.0, 4.5], &[], &[-3.0], &[7.0, 7.0]];
        let (want, found) = (of(&parts.concat()), pooled(parts.iter().map(|part| of(part))));
        assert_eq!(found.count, 6);
        assert!((found.mean.unwrap() - want.mean.unwrap()).abs() < 1e-12);
        assert!((found.deviation.unwrap() - want.deviation.unwrap()).abs() < 1e-12);
        assert_eq!(pooled(std::iter::empty()), ColumnMoments { count: 0, mean: None, deviation: None });
    }

    #[test]
    fn names_of_normalisations_are_read() {
        assert_eq!(Normalise::from_name("days:12").unwrap(), Normalise::Days(12));
        assert_eq!(Normalise::from_name("group").unwrap(), Normalise::Group);
        for wrong in ["", "days", "days:0", "days:-1", "Group"] {
            assert!(Normalise::from_name(wrong).unwrap_err().to_string().contains("days:5"), "{wrong}");
        }
    }
}
