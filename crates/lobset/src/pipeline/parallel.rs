//! Maps tasks over threads and hands the results on in the order of the tasks.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Result;

struct State<R> {
    /// The next task to begin.
    next: usize,
    /// Results handed on.
    consumed: usize,
    waiting: BTreeMap<usize, Result<R>>,
    /// Workers that have not ended.
    alive: usize,
}

struct Shared<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

impl<R> Shared<R> {
    /// A worker that panics takes the whole map with it, so what it leaves behind is never relied on.
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, held: MutexGuard<'a, State<R>>) -> MutexGuard<'a, State<R>> {
        self.changed.wait(held).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a worker out, whether it returns or panics.
struct Alive<'a, R>(&'a Shared<R>);

impl<R> Drop for Alive<'_, R> {
    fn drop(&mut self) {
        self.0.lock().alive -= 1;
        self.0.changed.notify_all();
    }
}

/// Runs `work` over `tasks` on `threads` threads and calls `consume` on this one with each result, in order. At most
/// `threads + 1` results wait or are under way, so memory stays bounded whatever the number of tasks.
///
/// # Errors
/// The first error in the order of the tasks, whichever thread met one first; no task begins after that.
pub(crate) fn map_ordered<T: Sync, R: Send>(
    threads: usize,
    tasks: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
    mut consume: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    let threads = threads.clamp(1, tasks.len().max(1));
    let state = State { next: 0, consumed: 0, waiting: BTreeMap::new(), alive: threads };
    let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
    let worker = || {
        let _alive = Alive(&shared);
        loop {
            let mut held = shared.lock();
            while held.next < tasks.len() && held.next > held.consumed + threads {
                held = shared.wait(held);
            }
            let number = held.next;
            if number >= tasks.len() {
                return;
            }
            held.next += 1;
            drop(held);
            let result = work(&tasks[number]);
            let mut held = shared.lock();
            if result.is_err() {
                // Earlier tasks are all under way: the first error in their order is still found.
                held.next = tasks.len();
            }
            held.waiting.insert(number, result);
            drop(held);
            shared.changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut outcome = Ok(());
        for number in 0..tasks.len() {
            let mut held = shared.lock();
            let result = loop {
                if let Some(result) = held.waiting.remove(&number) {
                    break Some(result);
                }
                if held.alive == 0 {
                    break None;
                }
                held = shared.wait(held);
            };
            drop(held);
            // Without a result a worker has panicked: joining it passes that on.
            let Some(result) = result else { break };
            outcome = result.and_then(&mut consume);
            let mut held = shared.lock();
            held.consumed = number + 1;
            if outcome.is_err() {
                held.next = tasks.len();
            }
            drop(held);
            shared.changed.notify_all();
            if outcome.is_err() {
                break;
            }
        }
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
        outcome
    })
}

/// What a batch of tasks weighs at least, where so many tasks are left. A candidate or a row weighs 1.
const BATCH: u64 = 1 << 14;

/// As [`map_ordered`], but a thread takes light tasks together, up to a `weight` of a few ten thousand rows: thousands of
/// small symbols would spend their time on passing results on.
///
/// # Errors
/// As [`map_ordered`].
pub(crate) fn map_batched<T: Sync, R: Send>(
    threads: usize,
    tasks: &[T],
    weight: impl Fn(&T) -> u64,
    work: impl Fn(&T) -> Result<R> + Sync,
    mut consume: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    let mut batches = Vec::new();
    let (mut from, mut gathered) = (0, 0);
    for (number, task) in tasks.iter().enumerate() {
        gathered += weight(task);
        if gathered >= BATCH || number + 1 == tasks.len() {
            batches.push(&tasks[from..=number]);
            (from, gathered) = (number + 1, 0);
        }
    }
    let work = |batch: &&[T]| batch.iter().map(&work).collect::<Result<Vec<R>>>();
    map_ordered(threads, &batches, work, |results| results.into_iter().try_for_each(&mut consume))
}

/// Things that tasks use one after the other, because they are dear to make: there are as many as threads want at once.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    /// An empty pool.
    pub fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Lends an idle thing, or a new one, to `work`. It does not come back from work that fails.
    pub fn lend<R>(&self, new: impl FnOnce() -> T, work: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut thing = idle.unwrap_or_else(new);
        let done = work(&mut thing)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(thing);
        Ok(done)
    }

    /// All of them.
    pub fn into_all(self) -> Vec<T> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Error;

    #[test]
    fn results_come_in_order_and_few_wait() {
        let tasks: Vec<usize> = (0..200).collect();
        let begun = AtomicUsize::new(0);
        let mut seen = Vec::new();
        let work = |n: &usize| {
            begun.fetch_add(1, Ordering::SeqCst);
            if n.is_multiple_of(7) {
                std::thread::yield_now();
            }
            Ok(n * n)
        };
        map_ordered(3, &tasks, work, |r| {
            assert!(begun.load(Ordering::SeqCst) <= seen.len() + 4);
            seen.push(r);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, tasks.iter().map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn light_tasks_go_together_and_keep_their_order() {
        let tasks: Vec<u64> = (0..100).map(|n| n * 900).collect();
        let mut seen = Vec::new();
        let work = |n: &u64| if *n < 80_000 { Ok(*n) } else { Err(Error::data(format!("{n}"), "")) };
        let mut take = |n| {
            seen.push(n);
            Ok(())
        };
        map_batched(3, &tasks[..80], |n| *n, work, &mut take).unwrap();
        let error = map_batched(3, &tasks[80..], |n| *n, work, take).unwrap_err();
        assert_eq!(error.to_string(), "80100");
        assert_eq!(seen[..80], tasks[..80]);
        assert!(map_batched(3, &tasks[..0], |n| *n, work, |_| Ok(())).is_ok());
    }

    #[test]
    fn the_first_error_in_order_wins() {
        let tasks: Vec<usize> = (0..50).collect();
        let work = |n: &usize| if *n >= 11 { Err(Error::data(format!("{n}"), "")) } else { Ok(*n) };
        let error = map_ordered(4, &tasks, work, |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "11");
        let error = map_ordered(4, &tasks, |n| Ok(*n), |n| if n == 3 { Err(Error::Interrupted) } else { Ok(()) });
        assert!(matches!(error, Err(Error::Interrupted)));
        assert!(map_ordered(4, &[0usize; 0], |n| Ok(*n), |_| Ok(())).is_ok());
    }

    #[test]
    fn a_panic_is_passed_on() {
        let outcome = std::panic::catch_unwind(|| {
            map_ordered(2, &[1, 2, 3], |n| if *n == 2 { panic!("two") } else { Ok(*n) }, |_| Ok(()))
        });
        assert!(outcome.is_err());
    }
}
