//! Finds the known name that a misspelled one was probably meant to be.

/// The largest number of edits that counts as a misspelling.
const MOST_EDITS: usize = 3;

/// The known name closest to `name`, if it is only a few edits away. Short names allow fewer edits, because otherwise
/// they would be close to every other name.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = MOST_EDITS.min(name.chars().count() / 2);
    let distances = known.into_iter().map(|known| (distance(name, known), known));
    distances.min_by_key(|(edits, _)| *edits).filter(|(edits, _)| *edits <= most).map(|(_, known)| known)
}

/// A question that suggests the closest known name, with a separator before it; empty if no name is close.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |known| format!("; did you mean {known}?"))
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_name_has_a_nearest_one() {
        let known = ["nbins", "samples", "max_gap", "k"];
        for (name, want) in [
            ("nbinz", Some("nbins")),
            ("NBINS", Some("nbins")),
            ("sample", Some("samples")),
            ("maxgap", Some("max_gap")),
            ("h", None),
            ("ab", None),
            ("compression", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), want, "{name}");
        }
        assert_eq!(did_you_mean("nbinz", known), "; did you mean nbins?");
        assert_eq!(did_you_mean("compression", known), "");
    }
}
