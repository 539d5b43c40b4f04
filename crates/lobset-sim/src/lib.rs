//! A simulated futures market, written as files like those of Databento.
//!
//! The market is order-driven: limit orders, cancellations and market orders arrive at ten-level books that follow a
//! common fair value, so that mid prices move in trends and reversals, queues grow and break, and the ten levels change
//! a few cells at a time, as they do on an exchange. There are three quarterly expiries, of which the front one is the
//! most active, and the calendar spread between the first two, whose prices are negative. Volatility grows over the
//! days, so that the second half drifts away from the first. Each weekday becomes one `.dbn.zst` file in schema mbp-10
//! with its symbol mappings, and the same [`Market`] gives the same bytes.
//!
//! ```no_run
//! let market = lobset_sim::Market { days: 6, rows: 290_000, ..Default::default() };
//! let files = market.write("market".as_ref(), |_| ())?;
//! # Ok::<(), lobset_sim::Error>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]
#![cfg_attr(not(test), deny(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss))]

mod book;
mod calendar;
mod day;
mod market;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

pub use market::{Error, Market};

impl Market {
    /// Writes one file per day into `folder`, which is created if it is missing, and returns their paths. Calls
    /// `progress` with the number of files done. Days are independent of each other and simulated on all cores.
    ///
    /// # Errors
    /// [`Error`] for options out of range, a file that already exists, or one that cannot be written.
    pub fn write(&self, folder: &Path, progress: impl Fn(usize) + Sync) -> Result<Vec<PathBuf>, Error> {
        self.write_until(folder, &AtomicBool::new(false), progress)
    }

    /// Like [`write`](Self::write), but stops between two days once `stop` is set. On an error or a stop, removes the
    /// files it has written.
    ///
    /// # Errors
    /// As [`write`](Self::write), and [`Error::Interrupted`].
    pub fn write_until(
        &self,
        folder: &Path,
        stop: &AtomicBool,
        progress: impl Fn(usize) + Sync,
    ) -> Result<Vec<PathBuf>, Error> {
        self.check()?;
        let plans = day::plan(self);
        // Check before any thread starts, so that the error names the first of several files.
        let paths: Vec<PathBuf> = plans.iter().map(|plan| folder.join(plan.file_name())).collect();
        if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
            return Err(Error::Output { path: path.clone(), cause: io::ErrorKind::AlreadyExists.into() });
        }
        let is_new = !folder.exists();
        std::fs::create_dir_all(folder).map_err(|cause| Error::Output { path: folder.to_owned(), cause })?;
        let next = AtomicUsize::new(0);
        let written = Mutex::new(Vec::new());
        let work = || -> Result<(), Error> {
            while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                day::write(plan, folder)?;
                let done = {
                    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
                    written.push(folder.join(plan.file_name()));
                    written.len()
                };
                progress(done);
            }
            Ok(())
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(plans.len());
        let outcome = std::thread::scope(|scope| {
            // If the system starts fewer threads, those do all the work.
            let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
            let workers: Vec<_> = (1..threads).map_while(spawn).collect();
            let mine = work();
            let ends = workers.into_iter().map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            ends.fold(mine, Result::and)
        });
        if outcome.is_err() {
            // The original error matters more than a failure to clean up.
            for file in written.into_inner().unwrap_or_else(PoisonError::into_inner) {
                let _ = std::fs::remove_file(file);
            }
            if is_new {
                let _ = std::fs::remove_dir(folder);
            }
        }
        outcome?;
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use dbn::decode::{DbnMetadata, DecodeRecord};
    use dbn::{Mbp10Msg, UNDEF_PRICE};
    use time::macros::date;

    use super::*;

    #[test]
    fn a_simulation_that_is_stopped_leaves_nothing() {
        let folder = folder("stopped");
        let stop = AtomicBool::new(false);
        let market = Market { days: 9, rows: 500, ..Default::default() };
        let outcome = market.write_until(&folder, &stop, |_| stop.store(true, Ordering::Relaxed));
        assert!(matches!(outcome, Err(Error::Interrupted)));
        assert!(!folder.exists());
    }

    #[test]
    fn a_simulation_that_fails_leaves_what_was_there_alone() {
        let folder = folder("exists");
        let market = Market { days: 3, rows: 500, ..Default::default() };
        let files = market.write(&folder, |_| ()).unwrap();
        std::fs::remove_file(&files[0]).unwrap();
        std::fs::write(&files[2], "mine").unwrap();
        assert!(matches!(market.write(&folder, |_| ()), Err(Error::Output { .. })));
        assert!(!files[0].exists() && files[1].exists());
        assert_eq!(std::fs::read(&files[2]).unwrap(), b"mine");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_market_starts_within_the_time_that_stamps_reach() {
        for (day, fits) in [
            (date!(1969 - 12 - 31), false),
            (date!(2250 - 12 - 31), true),
            (date!(2251 - 01 - 01), false),
            (date!(9999 - 12 - 31), false),
        ] {
            let folder = folder("start");
            let market = Market { days: 2, rows: 1, start: day, ..Default::default() };
            let written = market.write(&folder, |_| ());
            assert_eq!(written.is_ok(), fits, "{day}");
            if let Ok(files) = written {
                assert!(read(&files[1]).1[0].ts_recv > 8_800_000_000_000_000_000);
                std::fs::remove_dir_all(&folder).unwrap();
            }
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("lobset-sim-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    fn read(path: &Path) -> (Vec<String>, Vec<Mbp10Msg>) {
        let mut decoder =
            dbn::decode::DbnDecoder::new(zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap()).unwrap();
        let symbols = decoder.metadata().symbols.clone();
        let mut rows = Vec::new();
        while let Some(row) = decoder.decode_record::<Mbp10Msg>().unwrap() {
            rows.push(row.clone());
        }
        (symbols, rows)
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let bytes = |seed, name: &str| {
            let folder = folder(name);
            let market = Market { days: 2, rows: 3_000, seed, ..Market::default() };
            let files = market.write(&folder, |_| ()).unwrap();
            let bytes: Vec<_> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
            std::fs::remove_dir_all(folder).unwrap();
            bytes
        };
        let first = bytes(7, "first");
        assert_eq!(first, bytes(7, "again"));
        assert_ne!(first, bytes(8, "other"));
    }

    #[test]
    fn flags_stand_where_they_were_asked_for_and_change_nothing_else() {
        let folder = folder("flags");
        let plain = Market { days: 1, rows: 3_000, ..Market::default() };
        let flagged = Market { mid_event_every: 10, bad_book_every: 500, ..plain.clone() };
        let read_market = |market: &Market, name: &str| read(&market.write(&folder.join(name), |_| ()).unwrap()[0]).1;
        let (plain, mut flagged) = (read_market(&plain, "plain"), read_market(&flagged, "flagged"));
        std::fs::remove_dir_all(folder).unwrap();
        let count = |rows: &[Mbp10Msg], is: fn(&Mbp10Msg) -> bool| rows.iter().filter(|row| is(row)).count();
        assert_eq!(count(&flagged, |row| row.flags.is_maybe_bad_book()), 6);
        assert_eq!(count(&plain, |row| row.flags.is_maybe_bad_book()), 0);
        let ends = [&plain, &flagged].map(|rows| count(rows, |row| row.flags.is_last()));
        assert!((200..=300).contains(&(ends[0] - ends[1])), "{ends:?}");
        for (row, plain) in flagged.iter_mut().zip(&plain) {
            row.flags = plain.flags;
        }
        assert_eq!(flagged, plain);
    }

    #[test]
    fn it_looks_like_a_market() {
        let folder = folder("market");
        let files = Market { days: 2, rows: 60_000, ..Market::default() }.write(&folder, |_| ()).unwrap();
        let bytes_a_row = std::fs::metadata(&files[0]).unwrap().len() as f64 / 60_000.0;
        assert!((25.0..=45.0).contains(&bytes_a_row), "{bytes_a_row} bytes a row");
        let (symbols, rows) = read(&files[0]);
        assert_eq!(symbols, ["M6AM4", "M6AU4", "M6AZ4", "M6AM4-M6AU4"]);
        assert_eq!(rows.len(), 60_000);
        assert!(rows.is_sorted_by_key(|r| r.ts_recv));
        assert!(rows.is_sorted_by_key(|r| r.sequence));
        assert!(rows.iter().all(|r| r.hd.ts_event < r.ts_recv && r.ts_in_delta > 0));
        let one_sided = rows.iter().filter(|r| r.levels[0].bid_px == UNDEF_PRICE || r.levels[0].ask_px == UNDEF_PRICE);
        assert!((1..200).contains(&one_sided.count()));
        let crossed = rows.iter().filter(|r| {
            r.levels[0].ask_px != UNDEF_PRICE
                && r.levels[0].bid_px > r.levels[0].ask_px
                && r.levels[0].bid_px != UNDEF_PRICE
        });
        assert!((1..200).contains(&crossed.count()));

        let spread = rows.iter().filter(|r| r.hd.instrument_id == 50_000);
        assert!(spread.clone().count() > 1_000);
        assert!(spread.filter(|r| r.levels[0].ask_px != UNDEF_PRICE).all(|r| r.levels[0].ask_px < 0));

        let pause = rows.windows(2).map(|w| w[1].ts_recv - w[0].ts_recv).max().unwrap();
        assert!(pause >= 3_600 * 1_000_000_000, "a pause of {pause} ns");

        // In the front month, levels are ordered, and mid prices neither stay constant nor flicker by one tick.
        let of = |id: u32| rows.iter().filter(move |r| r.hd.instrument_id == id);
        let front_id = (40_000..40_003).max_by_key(|id| of(*id).count()).unwrap();
        let front: Vec<_> = of(front_id).skip(30).collect();
        for row in &front {
            assert!(row.levels.windows(2).all(|l| l[0].bid_px > l[1].bid_px && l[0].ask_px < l[1].ask_px));
            assert!(
                row.levels.iter().all(|l| l.bid_sz >= l.bid_ct && l.ask_sz >= l.ask_ct && l.bid_ct > 0 && l.ask_ct > 0)
            );
        }
        let mids: Vec<i64> = front.iter().map(|r| r.levels[0].bid_px + r.levels[0].ask_px).collect();
        let moves = mids.windows(2).filter(|w| w[0] != w[1]).count() as f64 / mids.len() as f64;
        assert!((0.01..0.1).contains(&moves), "the mid price moves in {moves} of the rows");
        let range = mids.iter().max().unwrap() - mids.iter().min().unwrap();
        assert!(range > 2 * 20 * 50_000, "the day's range is {range}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn queues_say_as_much_about_the_next_price_as_the_signal_is_strong() {
        let folder = folder("signal");
        // The correlation of the imbalance of the queues with how far the mid price moves in the next 100 records.
        let learnable = |signal: f64| {
            let market = Market { days: 1, rows: 200_000, signal, ..Market::default() };
            let (_, rows) = read(&market.write(&folder.join(signal.to_string()), |_| ()).unwrap()[0]);
            let of = |id: u32| rows.iter().filter(move |row| row.hd.instrument_id == id).skip(30);
            let front: Vec<_> = of((40_000..40_003).max_by_key(|id| of(*id).count()).unwrap()).collect();
            let mid = |row: &Mbp10Msg| (row.levels[0].bid_px + row.levels[0].ask_px) as f64;
            let imbalance = |row: &Mbp10Msg| {
                let sum =
                    |size: fn(&dbn::BidAskPair) -> u32| row.levels.iter().map(|l| f64::from(size(l))).sum::<f64>();
                let (bids, asks) = (sum(|level| level.bid_sz), sum(|level| level.ask_sz));
                (bids - asks) / (bids + asks)
            };
            let (x, y): (Vec<f64>, Vec<f64>) =
                front.windows(101).map(|rows| (imbalance(rows[0]), mid(rows[100]) - mid(rows[0]))).unzip();
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let (of_x, of_y) = (mean(&x), mean(&y));
            let moment = |a: &[f64], of_a: f64, b: &[f64], of_b: f64| {
                a.iter().zip(b).map(|(a, b)| (a - of_a) * (b - of_b)).sum::<f64>()
            };
            moment(&x, of_x, &y, of_y) / (moment(&x, of_x, &x, of_x) * moment(&y, of_y, &y, of_y)).sqrt()
        };
        let found = [0.0, 0.5, 1.0].map(learnable);
        std::fs::remove_dir_all(&folder).unwrap();
        // About 0.48, 0.58 and 0.64: even without hidden demand, trends fill queues.
        assert!(found[0] < 0.55 && found[1] > found[0] + 0.05 && found[2] > found[1] + 0.03, "{found:?}");
    }

    #[test]
    fn impossible_markets_and_existing_files_are_refused() {
        let folder = folder("refused");
        assert!(Market { days: 0, ..Market::default() }.write(&folder, |_| ()).is_err());
        for signal in [-0.1, 1.1, f64::NAN] {
            assert!(Market { signal, ..Market::default() }.write(&folder, |_| ()).is_err());
        }
        assert!(Market { currency: "../x".into(), ..Market::default() }.write(&folder, |_| ()).is_err());
        let market = Market { days: 1, rows: 10, ..Market::default() };
        market.write(&folder, |_| ()).unwrap();
        assert!(market.write(&folder, |_| ()).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
