//! Determines when a file starts from its first records, some of which may have wrong stamps.

use serde::{Deserialize, Serialize};

/// How much earlier a stamp may be than one before it, in nanoseconds. Reordered packets and clock corrections move
/// stamps by microseconds, seldom by milliseconds.
pub(crate) const LARGEST_STEP_BACK: u64 = 10_000_000;

/// Number of records whose stamps determine where a stretch of rows starts or ends: the median of nine stamps is right
/// even if four are wrong.
pub(crate) const EDGE: usize = 9;

/// `ts_recv` of the first nine records of a file, or of all if it has fewer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Head {
    stamps: Vec<u64>,
}

impl Head {
    /// Adds the stamp of the next record; false once there are enough.
    #[inline(always)]
    pub(crate) fn push(&mut self, ts_recv: u64) -> bool {
        let open = self.stamps.len() < EDGE;
        if open {
            self.stamps.push(ts_recv);
        }
        open
    }

    /// The median of the stamps, by which files are sorted: one wrong stamp cannot change it by much. `None` for a file
    /// without records.
    pub fn middle(&self) -> Option<u64> {
        let mut stamps = self.stamps.clone();
        stamps.sort_unstable();
        stamps.get(stamps.len() / 2).copied()
    }

    /// The first plausible `ts_recv` of the file. A stamp is implausible if it is more than 10 ms after the median of
    /// the stamps; or if it is more than 10 ms before `reached`, the last time in the preceding files, and the median
    /// is not before `reached`. `None` for a file without records.
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
        // Files may step back where they were split, overlap in time, and start long before the first activity.
        let stamps = [10 * HOUR, 10 * HOUR + 1, 10 * HOUR + 2];
        assert_eq!(head(&stamps).first(10 * HOUR + 1_000_000), Some(10 * HOUR));
        assert_eq!(head(&stamps).first(20 * HOUR), Some(10 * HOUR));
        assert_eq!(head(&[0, 10 * HOUR, 20 * HOUR]).first(0), Some(0));
        assert_eq!(head(&[7]).first(9), Some(7));
        assert_eq!((head(&[]).middle(), head(&[]).first(0)), (None, None));
    }
}
