//! Where a file stands in time, by its first records, one of which may have a wrong stamp.

use serde::{Deserialize, Serialize};

/// Stamps may lie so many nanoseconds before others that should come later. Packets that change places and clocks that are
/// corrected move stamps by microseconds, seldom by milliseconds.
pub(crate) const LARGEST_STEP_BACK: u64 = 10_000_000;

/// Records whose stamps say where a stretch of rows starts or ends: the middle one of so many is right though four are wrong.
pub(crate) const EDGE: usize = 9;

/// `ts_recv` of the first nine records of a file, or of as many as there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Head {
    stamps: Vec<u64>,
}

impl Head {
    /// Takes the next record's stamp; false once there are enough.
    #[inline(always)]
    pub(crate) fn push(&mut self, ts_recv: u64) -> bool {
        let open = self.stamps.len() < EDGE;
        if open {
            self.stamps.push(ts_recv);
        }
        open
    }

    /// The middle one of the stamps, which puts files in order: one wrong stamp cannot change it by much. `None` for a file
    /// without records.
    pub fn middle(&self) -> Option<u64> {
        let mut stamps = self.stamps.clone();
        stamps.sort_unstable();
        stamps.get(stamps.len() / 2).copied()
    }

    /// The file's first `ts_recv`, where that of the first record is plausible; else the first one that is. A stamp is not
    /// when it lies more than a moment (10 ms) after the middle one, or as much before `reached`, the last time in the files
    /// before, though the middle one does not. `None` for a file without records.
    pub fn first(&self, reached: u64) -> Option<u64> {
        let middle = self.middle()?;
        let from = if middle < reached { 0 } else { reached.saturating_sub(LARGEST_STEP_BACK) };
        let until = middle.saturating_add(LARGEST_STEP_BACK);
        self.stamps.iter().copied().find(|stamp| (from..=until).contains(stamp)).or(Some(middle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    fn head(stamps: &[u64]) -> Head {
        let mut head = Head::default();
        for stamp in stamps {
            head.push(*stamp);
        }
        head
    }

    #[test]
    fn a_wrong_first_stamp_is_passed_over() {
        let good: Vec<u64> = (0..20).map(|i| 10 * HOUR + i).collect();
        assert_eq!((head(&good).middle(), head(&good).first(9 * HOUR)), (Some(good[4]), Some(good[0])));
        for wrong in [0, HOUR, 11 * HOUR, u64::MAX] {
            let mut stamps = good.clone();
            stamps[0] = wrong;
            let head = head(&stamps);
            assert!(head.middle().unwrap().abs_diff(good[4]) <= 1, "{wrong}");
            assert_eq!(head.first(9 * HOUR), Some(good[1]), "{wrong}");
        }
    }

    #[test]
    fn small_steps_and_quiet_starts_are_plausible() {
        // Files may step back at a cut, lie beside each other, and begin long before anything happens.
        let stamps = [10 * HOUR, 10 * HOUR + 1, 10 * HOUR + 2];
        assert_eq!(head(&stamps).first(10 * HOUR + 1_000_000), Some(10 * HOUR));
        assert_eq!(head(&stamps).first(20 * HOUR), Some(10 * HOUR));
        assert_eq!(head(&[0, 10 * HOUR, 20 * HOUR]).first(0), Some(0));
        assert_eq!(head(&[7]).first(9), Some(7));
        assert_eq!((head(&[]).middle(), head(&[]).first(0)), (None, None));
    }
}
