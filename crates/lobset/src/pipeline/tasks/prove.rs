//! Task: proves finished datasets, one by one.

use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Job;
use super::attempt::Attempt;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::label::Thresholds;
use crate::output::{MOVEMENTS, SymbolEntry};
use crate::storage::Writer;
use crate::tape::BlockWriter;
use crate::validate::{Dataset, Extent, FitMovements, Terms, prove_datasets};

/// Fit movements in a work file.
struct Kept<W> {
    blocks: BlockWriter<W>,
    fitted: Vec<(u64, Vec<u32>)>,
}

impl<W: FnMut(&[u8]) -> Result<()>> Kept<W> {
    /// Ends the current dataset, and returns the number of movements of each dataset and the checksums of their blocks.
    fn finish(mut self) -> Result<Vec<(u64, Vec<u32>)>> {
        self.end()?;
        Ok(self.fitted)
    }

    fn end(&mut self) -> Result<()> {
        if let Some((_, checksums)) = self.fitted.last_mut() {
            *checksums = self.blocks.finish()?;
        }
        Ok(())
    }
}

impl<W: FnMut(&[u8]) -> Result<()> + Send> FitMovements for Kept<W> {
    fn begin(&mut self) -> Result<()> {
        self.end()?;
        self.fitted.push((0, Vec::new()));
        Ok(())
    }

    fn take(&mut self, movements: &[f64]) -> Result<()> {
        if let Some((count, _)) = self.fitted.last_mut() {
            *count += movements.len() as u64;
        }
        self.blocks.push(movements)
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
    pub parts: Vec<Part>,
}

/// A dataset.
#[derive(Serialize, Deserialize)]
pub struct Part {
    pub file: PathBuf,
    pub symbol: SymbolEntry,
}

/// The result of the proof.
#[derive(Serialize, Deserialize)]
pub struct Receipt {
    pub violations: Vec<String>,
    /// True if every row group was read.
    pub complete: bool,
    /// File of the movements that the boundaries were fitted on, part after part.
    pub file: PathBuf,
    /// Number of these movements in each part, and the checksum of each block of them; covers all parts if every row
    /// group was read.
    pub fitted: Vec<(u64, Vec<u32>)>,
}

impl Job for Prove {
    type Receipt = Receipt;
    const KIND: &'static str = "prove";

    fn run(self, attempt: &Attempt<'_>) -> Result<Receipt> {
        let Self { config, thresholds, ts_out, parts } = self;
        let file = attempt.file(MOVEMENTS, "f64");
        let fail = |e| Error::output(&file, e);
        let mut writer = Writer::create(&file).map_err(fail)?;
        let terms = Terms {
            version: crate::VERSION,
            config: &config,
            ts_out,
            thresholds: &thresholds,
            extent: Extent::Written,
            retry: true,
        };
        let named = parts.iter().filter_map(|Part { file, symbol }| Some((file, symbol, symbol.dataset.as_ref()?)));
        let datasets: Vec<Dataset<'_>> =
            named.map(|(file, symbol, entry)| Dataset { path: file.clone(), symbol, entry }).collect();
        let blocks = BlockWriter::new(|block: &[u8]| writer.write_all(block).map_err(fail));
        let mut kept = Kept { blocks, fitted: Vec::new() };
        let proved = prove_datasets(&terms, &datasets, attempt.threads, attempt.monitor, &mut kept)?;
        let fitted = kept.finish()?;
        writer.finish().map_err(fail)?;
        Ok(Receipt { violations: proved.violations, complete: proved.complete, file, fitted })
    }

    fn amount(&self) -> u64 {
        self.parts.iter().filter_map(|part| Some(part.symbol.dataset.as_ref()?.rows)).sum()
    }

    fn memory(&self) -> u64 {
        128 << 20
    }
}
