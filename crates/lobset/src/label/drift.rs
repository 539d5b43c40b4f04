//! Drift: how far the shares of classes move from one split to another.

/// The population stability index of two distributions over the same classes: 0 if they are the same, with no upper
/// limit.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Drift(pub f64);

impl Drift {
    /// An index below this is stable.
    pub const MODERATE: f64 = 0.1;
    /// An index above this is large.
    pub const LARGE: f64 = 0.25;

    /// The index of the rows of each class in two splits: the sum of (q - p) ln(q / p) over the shares p and q of each
    /// class. A class without rows counts as half a row, as the logarithm needs a share above zero. `None` if a split has
    /// no rows.
    pub fn between(before: &[u64], after: &[u64]) -> Option<Self> {
        let [rows_before, rows_after] = [before, after].map(|classes| classes.iter().sum::<u64>());
        if rows_before == 0 || rows_after == 0 {
            return None;
        }
        let share = |count: u64, rows: u64| (count as f64).max(0.5) / rows as f64;
        let term = |(before, after): (&u64, &u64)| {
            let (p, q) = (share(*before, rows_before), share(*after, rows_after));
            (q - p) * (q / p).ln()
        };
        Some(Self(before.iter().zip(after).map(term).sum()))
    }

    /// What the index means, by the usual rule: `stable`, `moderate` or `large`.
    pub fn name(self) -> &'static str {
        match self.0 {
            index if index < Self::MODERATE => "stable",
            index if index <= Self::LARGE => "moderate",
            _ => "large",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_that_of_the_textbook() {
        // Shares 1/4, 1/4, 1/2 and 1/2, 1/4, 1/4: twice a quarter of ln 2.
        let Drift(index) = Drift::between(&[100, 100, 200], &[20, 10, 10]).unwrap();
        assert!((index - 0.5 * 2_f64.ln()).abs() < 1e-15, "{index}");
        assert_eq!(Drift::between(&[3, 5], &[30, 50]), Some(Drift(0.0)));
        assert_eq!(Drift::between(&[20, 10, 10], &[100, 100, 200]).unwrap().name(), "large");
    }

    #[test]
    fn a_class_without_rows_counts_as_half_a_row() {
        let half = |p: f64, q: f64| (q - p) * (q / p).ln();
        let Drift(index) = Drift::between(&[0, 100], &[50, 50]).unwrap();
        assert!((index - half(0.005, 0.5) - half(1.0, 0.5)).abs() < 1e-12, "{index}");
        assert_eq!(Drift::between(&[0, 0], &[0, 0]), None);
        assert_eq!(Drift::between(&[1, 2], &[0, 0]), None);
        assert_eq!(Drift::between(&[0, 0], &[1, 2]), None);
    }

    #[test]
    fn the_index_has_a_meaning() {
        let names = [0.0, 0.0999, 0.1, 0.25, 0.2501, f64::INFINITY].map(|index| Drift(index).name());
        assert_eq!(names, ["stable", "stable", "moderate", "moderate", "large", "large"]);
    }
}
