//! Runs tasks on several threads and passes the results on in the order of the tasks.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Result;

struct State<R, C> {
    /// Number of tasks begun.
    begun: usize,
    /// Number of tasks to begin: all, until one fails.
    end: usize,
    /// Number of results passed to `consume`.
    consumed: usize,
    /// Results waiting for their turn, by task number.
    waiting: BTreeMap<usize, Result<R>>,
    /// The consumer of the results; `None` while a thread is calling it.
    consume: Option<C>,
    outcome: Result<()>,
    panicked: bool,
}

impl<R, C> State<R, C> {
    /// Takes the next result in order, together with the consumer, if both are available.
    fn take_turn(&mut self) -> Option<(Result<R>, C)> {
        let consume = self.consume.take()?;
        match self.waiting.remove(&self.consumed) {
            Some(result) => Some((result, consume)),
            None => {
                self.consume = Some(consume);
                None
            }
        }
    }
}

struct Shared<R, C> {
    state: Mutex<State<R, C>>,
    changed: Condvar,
}

impl<R, C> Shared<R, C> {
    /// Locks the state, poisoned or not: a panic ends the whole map, so the state it leaves behind is never relied on.
    fn lock(&self) -> MutexGuard<'_, State<R, C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, held: MutexGuard<'a, State<R, C>>) -> MutexGuard<'a, State<R, C>> {
        self.changed.wait(held).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the other threads when this one panics.
struct PassOn<'a, R, C>(&'a Shared<R, C>);

impl<R, C> Drop for PassOn<'_, R, C> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().panicked = true;
            self.0.changed.notify_all();
        }
    }
}

/// Runs `work` over `tasks` on `threads` threads, including the current one, and calls `consume` with each result, in
/// order, one at a time: a thread passes on the next result in order, if it is ready, before it begins another task. At
/// most `threads + ahead` tasks are running or waiting for their turn, so memory is bounded regardless of the number of
/// tasks. If the system starts fewer threads (a limit on processes or memory), those do all the work; only the run time
/// changes.
///
/// # Errors
/// The first error in the order of the tasks, regardless of which one occurred first. No task begins after an error.
pub(crate) fn map_ordered<T: Sync, R: Send>(
    threads: usize,
    ahead: usize,
    tasks: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
    consume: impl FnMut(R) -> Result<()> + Send,
) -> Result<()> {
    let threads = threads.clamp(1, tasks.len().max(1));
    let state = State {
        begun: 0,
        end: tasks.len(),
        consumed: 0,
        waiting: BTreeMap::new(),
        consume: Some(consume),
        outcome: Ok(()),
        panicked: false,
    };
    let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
    let run = || {
        let _pass_on = PassOn(&shared);
        let mut held = shared.lock();
        while held.consumed < held.end && held.outcome.is_ok() && !held.panicked {
            if let Some((result, mut consume)) = held.take_turn() {
                drop(held);
                let outcome = result.and_then(&mut consume);
                held = shared.lock();
                (held.consume, held.outcome) = (Some(consume), outcome);
                held.consumed += 1;
            } else if held.begun < held.end.min(held.consumed + threads + ahead) {
                let number = held.begun;
                held.begun += 1;
                drop(held);
                let result = work(&tasks[number]);
                held = shared.lock();
                if result.is_err() {
                    // All earlier tasks have begun, so the first error in their order is still found.
                    held.end = held.begun;
                }
                held.waiting.insert(number, result);
            } else {
                held = shared.wait(held);
                continue;
            }
            shared.changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, run).ok();
        let others: Vec<_> = (1..threads).map_while(start).collect();
        run();
        for other in others {
            if let Err(panic) = other.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    shared.state.into_inner().unwrap_or_else(PoisonError::into_inner).outcome
}

/// Groups consecutive items into batches that weigh at most `most`. A heavier item gets its own batch.
pub(crate) fn batches<T>(items: impl IntoIterator<Item = T>, most: u64, weight: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let mut all: Vec<Vec<T>> = Vec::new();
    let mut gathered = 0;
    for item in items {
        let weight = weight(&item);
        match all.last_mut() {
            Some(batch) if gathered + weight <= most => {
                batch.push(item);
                gathered += weight;
            }
            _ => {
                all.push(vec![item]);
                gathered = weight;
            }
        }
    }
    all
}

/// Maximum weight of a batch of tasks for one thread. A candidate or a row weighs 1.
pub(crate) const BATCH: u64 = 1 << 15;

/// Like [`map_ordered`], but in [`batches`]: with thousands of small symbols, passing on single results would dominate.
///
/// # Errors
/// Same as [`map_ordered`].
pub(crate) fn map_batched<T: Sync, R: Send>(
    threads: usize,
    tasks: &[T],
    weight: impl Fn(&T) -> u64,
    work: impl Fn(&T) -> Result<R> + Sync,
    mut consume: impl FnMut(R) -> Result<()> + Send,
) -> Result<()> {
    let batches = batches(tasks, BATCH, |task| weight(task));
    let work = |batch: &Vec<&T>| batch.iter().map(|task| work(task)).collect::<Result<Vec<R>>>();
    map_ordered(threads, 1, &batches, work, |results| results.into_iter().try_for_each(&mut consume))
}

/// Objects that tasks share one after another because they are expensive to create. The pool grows to the largest
/// number that was ever in use at once.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    /// Creates an empty pool.
    pub fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Lends an idle object, or a new one, to `work`. If `work` fails, the object is dropped.
    pub fn lend<R>(&self, new: impl FnOnce() -> T, work: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let mut thing = self.take(new);
        let done = work(&mut thing)?;
        self.put(thing);
        Ok(done)
    }

    /// Takes an idle object out of the pool, or creates one.
    pub fn take(&self, new: impl FnOnce() -> T) -> T {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(new)
    }

    /// Puts an object into the pool.
    pub fn put(&self, thing: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(thing);
    }

    /// Returns all objects in the pool.
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
        map_ordered(3, 1, &tasks, work, |r| {
            assert!(begun.load(Ordering::SeqCst) <= seen.len() + 4);
            seen.push(r);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, tasks.iter().map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn as_many_threads_work_as_are_asked_for() {
        let here = std::thread::current().id();
        for threads in 1..4 {
            let seen = Mutex::new(std::collections::HashSet::new());
            let note = || seen.lock().unwrap().insert(std::thread::current().id());
            let work = |_: &usize| {
                note();
                std::thread::sleep(std::time::Duration::from_millis(1));
                Ok(())
            };
            let consume = |()| {
                note();
                Ok(())
            };
            map_ordered(threads, 0, &[0; 30], work, consume).unwrap();
            let seen = seen.lock().unwrap();
            assert!(seen.len() <= threads);
            assert!(threads > 1 || seen.contains(&here));
        }
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
        let error = map_ordered(4, 0, &tasks, work, |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "11");
        let error = map_ordered(4, 0, &tasks, |n| Ok(*n), |n| if n == 3 { Err(Error::Interrupted) } else { Ok(()) });
        assert!(matches!(error, Err(Error::Interrupted)));
        assert!(map_ordered(4, 0, &[0usize; 0], |n| Ok(*n), |_| Ok(())).is_ok());
    }

    #[test]
    fn a_panic_is_passed_on() {
        for threads in 1..4 {
            let outcome = std::panic::catch_unwind(|| {
                map_ordered(threads, 3, &[1, 2, 3], |n| if *n == 2 { panic!("two") } else { Ok(*n) }, |_| Ok(()))
            });
            assert!(outcome.is_err());
            let outcome = std::panic::catch_unwind(|| {
                map_ordered(threads, 0, &[1, 2, 3], |n| Ok(*n), |n| if n == 2 { panic!("two") } else { Ok(()) })
            });
            assert!(outcome.is_err());
        }
    }
}
