//! Task: proves finished datasets, one by one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::job::Job;
use crate::config::Config;
use crate::error::Result;
use crate::label::Thresholds;
use crate::output::SymbolEntry;
use crate::validate::{Dataset, Extent, Proved, TargetFitCounts, Terms, prove_datasets};

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
    /// Counts of the movements that the boundaries were fitted on, by target.
    pub fit_counts: Vec<TargetFitCounts>,
}

impl Job for Prove {
    type Receipt = Receipt;
    const KIND: &'static str = "prove";

    fn run(self, attempt: &Attempt<'_>) -> Result<Receipt> {
        let Self { config, thresholds, ts_out, inputs, parts } = self;
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
        let proved = prove_datasets(&terms, &datasets, attempt.threads, attempt.monitor)?;
        let Proved { violations, complete, fit_counts, .. } = proved;
        Ok(Receipt { violations, complete, fit_counts })
    }

    fn amount(&self) -> u64 {
        self.parts.iter().filter_map(|part| Some(part.symbol.dataset.as_ref()?.rows)).sum()
    }

    fn memory(&self) -> u64 {
        128 << 20
    }
}
