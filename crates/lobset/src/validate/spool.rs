//! Stores fit movements in an unnamed temporary file, so that memory stays bounded however many there are.

use std::fs::File;
use std::io::Write;
use std::ops::Range;

use super::datasets::FitMovements;
use crate::cast::to_usize;
use crate::error::{Cause, Error, Result};
use crate::label::{Counter, Histogram, MovementSums, SLICE, Selection};
use crate::run::map_ordered;
use crate::tape::{read_movements, to_bytes};

/// The fit movements of each target.
pub(super) struct Spools(Vec<Spool>);

impl Spools {
    /// Creates empty spools, of which only those of the `wanted` targets store movements.
    pub(super) fn new(wanted: &[bool]) -> Result<Self> {
        wanted.iter().map(|wanted| Spool::new(*wanted)).collect::<Result<_>>().map(Self)
    }

    /// The movements of each target.
    pub(super) fn targets(&self) -> &[Spool] {
        &self.0
    }
}

impl FitMovements for Spools {
    fn begin(&mut self) -> Result<()> {
        self.0.iter_mut().for_each(Spool::begin);
        Ok(())
    }

    fn take(&mut self, target: usize, movements: &[f64]) -> Result<()> {
        self.0.get_mut(target).map_or(Ok(()), |spool| spool.take(movements))
    }
}

/// The fit movements of datasets, one after the other.
pub(super) struct Spool {
    /// `None` if the movements are not needed.
    file: Option<File>,
    /// Number of movements up to the end of each dataset.
    ends: Vec<u64>,
}

fn fail(e: std::io::Error) -> Error {
    Error::Output {
        path: std::env::temp_dir(),
        message: format!("cannot store movements for the leak check: {}", e.text()),
        help: Some("set TMPDIR to a folder with room for 8 bytes for each fit row".to_owned()),
    }
}

impl Spool {
    /// Creates an empty spool, which stores nothing unless movements are `wanted`.
    fn new(wanted: bool) -> Result<Self> {
        let file = wanted.then(tempfile::tempfile).transpose().map_err(fail)?;
        Ok(Self { file, ends: Vec::new() })
    }

    /// Number of movements of each dataset.
    pub(super) fn fitted(&self) -> Vec<u64> {
        (0..self.ends.len()).map(|dataset| self.ends[dataset] - self.end(dataset)).collect()
    }

    /// Number of movements of the first `datasets` datasets.
    fn end(&self, datasets: usize) -> u64 {
        datasets.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    /// Runs one pass of selections over the movements of a range of datasets; returns the histograms, and with a `mean`
    /// their sums around it.
    pub(super) fn count(
        &self,
        datasets: Range<usize>,
        selections: &[Selection],
        mean: Option<f64>,
        threads: usize,
    ) -> Result<(Vec<Histogram>, Vec<MovementSums>)> {
        let end = self.end(datasets.end);
        let tasks: Vec<(u64, &File)> = match &self.file {
            Some(file) => (self.end(datasets.start)..end).step_by(to_usize(SLICE)).map(|from| (from, file)).collect(),
            None => Vec::new(),
        };
        let counter = Counter::new(selections, mean);
        let mut sums = Vec::with_capacity(tasks.len());
        let work = |(from, file): &(u64, &File)| {
            counter.count(|values| read_movements(file, *from..(from + SLICE).min(end), values).map_err(fail))
        };
        map_ordered(threads, tasks.len(), &tasks, work, |found| {
            sums.extend(found);
            Ok(())
        })?;
        Ok((counter.finish(), sums))
    }
}

impl Spool {
    fn begin(&mut self) {
        self.ends.push(self.end(self.ends.len()));
    }

    fn take(&mut self, movements: &[f64]) -> Result<()> {
        let (Some(file), Some(end)) = (&mut self.file, self.ends.last_mut()) else { return Ok(()) };
        file.write_all(&to_bytes(movements)).map_err(fail)?;
        *end += movements.len() as u64;
        Ok(())
    }
}
