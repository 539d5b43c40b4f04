//! Task: proves finished datasets, one by one.

use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::job::Job;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::label::Thresholds;
use crate::output::{MOVEMENTS, SymbolEntry};
use crate::storage::Writer;
use crate::tape::BlockWriter;
use crate::validate::{Dataset, Extent, FitMovements, Terms, prove_datasets};

/// Fit movements in work files, one for each target.
struct Kept<W>(Vec<KeptTarget<W>>);

/// The fit movements of one target.
struct KeptTarget<W> {
    blocks: BlockWriter<W>,
    fitted: Vec<(u64, Vec<u32>)>,
}

impl<W: FnMut(&[u8]) -> Result<()>> KeptTarget<W> {
    /// Ends the current dataset.
    fn end(&mut self) -> Result<()> {
        if let Some((_, checksums)) = self.fitted.last_mut() {
            *checksums = self.blocks.finish()?;
        }
        Ok(())
    }
}

impl<W: FnMut(&[u8]) -> Result<()> + Send> FitMovements for Kept<W> {
    fn begin(&mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(|target| {
            target.end()?;
            target.fitted.push((0, Vec::new()));
            Ok(())
        })
    }

    fn take(&mut self, target: usize, movements: &[f64]) -> Result<()> {
        let Some(KeptTarget { blocks, fitted }) = self.0.get_mut(target) else { return Ok(()) };
        if let Some((count, _)) = fitted.last_mut() {
            *count += movements.len() as u64;
        }
        blocks.push(movements)
    }
}

/// Proves datasets.
#[derive(Serialize, Deserialize)]
pub struct Prove {
    pub config: Config,
    /// Contains the boundaries of these symbols.
    pub thresholds: Thresholds,
    /// True if some of the input has gateway stamps.
    pub ts_out: bool,
    /// The names of all input files.
    pub inputs: Vec<String>,
    pub parts: Vec<ProvePart>,
}

/// A dataset.
#[derive(Serialize, Deserialize)]
pub struct ProvePart {
    pub file: PathBuf,
    /// The sums of its columns.
    pub moments: PathBuf,
    pub symbol: SymbolEntry,
}

/// The result of the proof.
#[derive(Serialize, Deserialize)]
pub struct Receipt {
    pub violations: Vec<String>,
    /// True if every row group was read.
    pub complete: bool,
    /// The movements that the boundaries were fitted on, by target.
    pub targets: Vec<ProvedFit>,
}

/// The movements that the boundaries of a target were fitted on.
#[derive(Serialize, Deserialize)]
pub struct ProvedFit {
    /// Their file, part after part.
    pub file: PathBuf,
    /// Number of movements in each part, and the checksum of each block of them; covers all parts if every row group was
    /// read.
    pub parts: Vec<(u64, Vec<u32>)>,
}

impl Job for Prove {
    type Receipt = Receipt;
    const KIND: &'static str = "prove";

    fn run(self, attempt: &Attempt<'_>) -> Result<Receipt> {
        let Self { config, thresholds, ts_out, inputs, parts } = self;
        let files: Vec<PathBuf> = config.all_targets().iter().map(|_| attempt.file(MOVEMENTS, "f64")).collect();
        let fail = |file: &PathBuf, e| Error::output(file, e);
        let create = |file: &PathBuf| Writer::create(file).map_err(|e| fail(file, e));
        let mut writers = files.iter().map(create).collect::<Result<Vec<_>>>()?;
        let terms = Terms {
            version: crate::VERSION,
            config: &config,
            ts_out,
            inputs: &inputs,
            thresholds: &thresholds,
            extent: Extent::Written,
            retry: true,
        };
        let named = parts.iter().filter_map(|part| Some((part, part.symbol.dataset.as_ref()?)));
        let datasets: Vec<Dataset<'_>> = named
            .map(|(ProvePart { file, moments, symbol }, entry)| Dataset {
                path: file.clone(),
                moments: moments.clone(),
                symbol,
                entry,
            })
            .collect();
        let targets = writers.iter_mut().zip(&files).map(|(writer, file)| KeptTarget {
            blocks: BlockWriter::new(move |block: &[u8]| writer.write_all(block).map_err(|e| fail(file, e))),
            fitted: Vec::new(),
        });
        let mut kept = Kept(targets.collect());
        let proved = prove_datasets(&terms, &datasets, attempt.threads, attempt.monitor, &mut kept)?;
        let end = |mut target: KeptTarget<_>| target.end().map(|()| target.fitted);
        let fitted = kept.0.into_iter().map(end).collect::<Result<Vec<_>>>()?;
        for (writer, file) in writers.into_iter().zip(&files) {
            writer.finish().map_err(|e| fail(file, e))?;
        }
        let targets = files.into_iter().zip(fitted).map(|(file, parts)| ProvedFit { file, parts }).collect();
        Ok(Receipt { violations: proved.violations, complete: proved.complete, targets })
    }

    fn amount(&self) -> u64 {
        self.parts.iter().filter_map(|part| Some(part.symbol.dataset.as_ref()?.rows)).sum()
    }

    fn memory(&self) -> u64 {
        128 << 20
    }
}
