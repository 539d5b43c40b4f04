//! Task: writes row groups of symbols to files: whole datasets of small symbols, segments of large ones.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::pieces::Pieces;
use super::{Job, boundaries_of};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::label::{Candidates, Splits, Thresholds};
use crate::output::{DatasetSchema, DatasetWriter, RowGroupEncoder, SEGMENTS, WrittenFile, dataset_stem};
use crate::pipeline::counts::ClassCounts;
use crate::pipeline::plan::{Quotas, RowGroup};
use crate::pipeline::write::{Labelling, metadata, rows_read};
use crate::run::{Pool, map_ordered};
use crate::tape::{SymbolTape, Tape};

/// Writes row groups.
#[derive(Serialize, Deserialize)]
pub struct Datasets {
    pub config: Config,
    /// Contains the boundaries of these symbols.
    pub thresholds: Thresholds,
    /// True if some of the input has gateway stamps.
    pub ts_out: bool,
    pub parts: Vec<DatasetPart>,
}

/// Consecutive row groups of one symbol.
#[derive(Serialize, Deserialize)]
pub struct DatasetPart {
    pub symbol: String,
    pub tape: SymbolTape,
    /// The rows of the tape that start a new unbroken stretch.
    pub breaks: Vec<u64>,
    pub candidates: Candidates,
    pub splits: Splits,
    pub pieces: Pieces,
    /// Class counts of the whole symbol.
    pub counts: ClassCounts,
    pub groups: Vec<RowGroup>,
    /// True if these are all row groups of the symbol, so that the file is the dataset.
    pub whole: bool,
}

/// A file that was written.
#[derive(Clone, Serialize, Deserialize)]
pub struct Written {
    pub file: PathBuf,
    pub written: WrittenFile,
}

impl Job for Datasets {
    /// The file of each part.
    type Receipt = Vec<Written>;
    const KIND: &'static str = "datasets";

    fn run(self, attempt: &Attempt<'_>) -> Result<Vec<Written>> {
        let Self { config, thresholds, ts_out, parts } = self;
        let schema = Arc::new(DatasetSchema::new(&config, ts_out).map_err(|e| Error::output(&attempt.work, e))?);
        let encoders = Pool::new();
        let write = |part: DatasetPart| {
            let boundaries = boundaries_of(&thresholds, &part.symbol)?;
            let quotas = Quotas::new(&part.counts);
            let (file, metadata) = if part.whole {
                let stem = dataset_stem(&config.currency, &part.symbol);
                (attempt.dataset(&stem), metadata(&config, &part.symbol, &thresholds).to_vec())
            } else {
                (attempt.file(SEGMENTS, "parquet"), Vec::new())
            };
            let encode = |group: &RowGroup| {
                let mut tape = part.tape.part(rows_read(&part.candidates, group.candidates.clone()));
                tape.fetch(Tape::Rows)?;
                let labelling = Labelling {
                    symbol: &part.symbol,
                    tape: &tape,
                    breaks: &part.breaks,
                    candidates: &part.candidates,
                    splits: part.splits,
                    boundaries,
                    quotas: &quotas,
                };
                let mut movements = Vec::new();
                part.pieces.read(group.candidates.clone(), &mut movements)?;
                let mut encoder = encoders.take(|| RowGroupEncoder::new(Arc::clone(&schema), &config));
                labelling.encode(&config, &mut encoder, group, &movements, attempt.monitor)?;
                Ok(encoder)
            };
            let mut writer = DatasetWriter::create(&file, &schema, &metadata)?;
            map_ordered(attempt.threads, 0, &part.groups, encode, |mut encoder| {
                encoder.take_groups(|group| writer.append(group))?;
                encoders.put(encoder);
                Ok(())
            })?;
            let written = if part.whole { writer.finish()? } else { writer.finish_segment()? };
            Ok(Written { file, written })
        };
        parts.into_iter().map(write).collect()
    }

    fn amount(&self) -> u64 {
        self.parts.iter().flat_map(|part| &part.groups).map(RowGroup::count).sum()
    }

    fn memory(&self) -> u64 {
        // For each thread, an encoder and the fetched tape of its row group.
        192 << 20
    }
}
