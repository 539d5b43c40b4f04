//! Task: finished datasets, proved one by one.

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
use crate::validate::prove_dataset;

/// Proves datasets.
#[derive(Serialize, Deserialize)]
pub struct Prove {
    pub config: Config,
    /// With the boundaries of these symbols.
    pub thresholds: Thresholds,
    /// Some of the input has gateway stamps.
    pub ts_out: bool,
    pub parts: Vec<Part>,
}

/// A dataset.
#[derive(Serialize, Deserialize)]
pub struct Part {
    pub file: PathBuf,
    pub symbol: SymbolEntry,
}

/// What was found.
#[derive(Serialize, Deserialize)]
pub struct Receipt {
    pub violations: Vec<String>,
    /// The movements that the boundaries were fitted on, part after part.
    pub file: PathBuf,
    /// How many of each part, and the checksum of each block of them.
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
        let (mut violations, mut fitted) = (Vec::new(), Vec::new());
        for Part { file, symbol } in &parts {
            let mut count = 0;
            let mut blocks = BlockWriter::new(|block: &[u8]| writer.write_all(block).map_err(fail));
            if let Some(entry) = &symbol.dataset {
                let found = prove_dataset(
                    file,
                    (&config, ts_out),
                    &thresholds,
                    (symbol, entry),
                    attempt.threads,
                    |movements| {
                        count += movements.len() as u64;
                        blocks.push(movements)?;
                        attempt.monitor.advance(0)
                    },
                )?;
                violations.extend(found);
            }
            fitted.push((count, blocks.finish()?));
        }
        writer.finish().map_err(fail)?;
        Ok(Receipt { violations, file, fitted })
    }

    fn amount(&self) -> u64 {
        self.parts.iter().filter_map(|part| Some(part.symbol.dataset.as_ref()?.rows)).sum()
    }

    fn memory(&self) -> u64 {
        128 << 20
    }
}
