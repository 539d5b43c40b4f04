//! Finds the samples of a dataset.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt64Type};
use arrow_array::{Array, Int32Array, RecordBatch};

use super::index::{IndexBuilder, IndexedRow, SampleFilter, SampleIndex};
use super::period::{Limits, times};
use super::reader::DatasetReader;
use crate::config::Target;
use crate::error::{InputError, Result};
use crate::label::Split;
use crate::output::names;

/// The split and the class of a row, if it has a label.
type Label = Option<(Split, u8)>;

impl DatasetReader {
    /// Finds the samples: rows with a label of every target that is read. The inner error says why there is none.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read; for windows of several rows, when the dataset was written with
    /// `drop_unbalanced`.
    pub fn index(&self, filter: SampleFilter) -> Result<Result<SampleIndex, InputError>> {
        if filter.window > 1 {
            self.check_complete()?;
        }
        let mut limits = Limits::new(self, filter.period, filter.split)?;
        let columns: Vec<[String; 2]> = self.targets().iter().map(columns_of).collect();
        let read: Vec<&str> = [names::ROW].into_iter().chain(columns.iter().flatten().map(String::as_str)).collect();
        let mut builder = IndexBuilder::new(filter, columns.len());
        let mut labelled = vec![false; columns.len()];
        let mut classes = Vec::with_capacity(columns.len());
        for (group, places) in self.groups().enumerate() {
            let batch = self.read(group, &read)?;
            let rows = self.column(&batch, names::ROW)?.as_primitive_opt::<UInt64Type>();
            let rows = rows.ok_or_else(|| self.foreign(names::ROW))?;
            let labels = columns.iter().map(|columns| self.labels(&batch, columns)).collect::<Result<Vec<_>>>()?;
            labelled.iter_mut().zip(&labels).for_each(|(any, labels)| *any |= labels.iter().any(Option::is_some));
            let times = if limits.needs_times() { times(self, group)? } else { Vec::new() };
            for (place, row) in rows.values().iter().enumerate() {
                classes.clear();
                let of_split = |label: Label| label.filter(|(split, _)| *split == filter.split);
                classes.extend(labels.iter().map_while(|labels| of_split(labels[place])).map(|(_, class)| class));
                let ts = times.get(place).copied().unwrap_or(0);
                builder.push(IndexedRow {
                    row: *row,
                    classes: (classes.len() == labels.len()).then_some(&classes),
                    inside: limits.contains(places.start + place as u64, *row, ts),
                });
            }
        }
        if let Some((target, _)) = self.targets().iter().zip(&labelled).find(|(_, any)| !**any) {
            let message = format!("has no row with a label of the target {:?}", target.name);
            return Ok(Err(InputError::new(self.path(), message)
                .with_help("manifest.json says why, with the symbol's targets; choose another target")));
        }
        let help =
            "choose a shorter window, a smaller stride, a longer period or the other split, or a symbol with more rows";
        Ok(builder.finish().map_err(|why| InputError::new(self.path(), why).with_help(help)))
    }

    /// A column of splits: the key of each row, and the splits that keys stand for.
    ///
    /// # Errors
    /// [`InputError`] when the column is missing or is not one of splits.
    pub(crate) fn splits<'a>(
        &self,
        batch: &'a RecordBatch,
        name: &str,
    ) -> Result<(&'a Int32Array, Vec<Option<Split>>)> {
        let splits = self.column(batch, name)?.as_dictionary_opt::<Int32Type>().ok_or_else(|| self.foreign(name))?;
        let texts = splits.values().as_string_opt::<i32>().ok_or_else(|| self.foreign(name))?;
        Ok((splits.keys(), texts.iter().map(|name| name.and_then(Split::from_name)).collect()))
    }

    /// The labels of a row group. A row without a label of this target has one of another.
    fn labels(&self, batch: &RecordBatch, [split, class]: &[String; 2]) -> Result<Vec<Label>> {
        let (splits, by_key) = self.splits(batch, split)?;
        let classes = self.column(batch, class)?.as_primitive_opt::<Int32Type>();
        let classes = classes.ok_or_else(|| self.foreign(class))?;
        let label = |(place, of): (usize, Option<i32>)| match (splits.is_null(place), of) {
            (true, None) => Ok(None),
            (false, Some(of)) => {
                let key = usize::try_from(splits.value(place)).ok();
                let side = key.and_then(|key| by_key.get(key).copied().flatten()).ok_or_else(|| self.foreign(split))?;
                Ok(Some((side, u8::try_from(of).map_err(|_| self.foreign(class))?)))
            }
            _ => Err(self.foreign(class)),
        };
        classes.iter().enumerate().map(label).collect()
    }
}

/// The columns of a target's split and class.
fn columns_of(target: &Target) -> [String; 2] {
    [names::SPLIT, names::CLASSIFICATION_LABEL].map(|name| target.column(name))
}
