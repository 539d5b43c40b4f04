//! Task: writes row groups of symbols to files: whole datasets of small symbols, or segments of large ones.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::job::{Job, boundaries_of};
use super::pieces::Pieces;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::label::{Candidates, Thresholds};
use crate::output::{
    DatasetSchema, DatasetWriter, Ladder, RowGroupEncoder, SEGMENTS, SymbolSums, WrittenFile, dataset_stem,
    moments_stem, write_moments,
};
use crate::pipeline::counts::{ClassCounts, Labelled};
use crate::pipeline::plan::{Quotas, RowGroup};
use crate::pipeline::streams::TargetRows;
use crate::pipeline::write::{Labelling, WriteTarget, metadata, read_tracks, rows_read};
use crate::run::{Pool, map_ordered};
use crate::storage::{self, checksum::seal_json};
use crate::tape::{SymbolTape, Tape};

/// Writes row groups.
#[derive(Serialize, Deserialize)]
pub struct Datasets {
    pub config: Config,
    /// Contains the boundaries of these symbols.
    pub thresholds: Thresholds,
    /// True if some of the input has gateway stamps.
    pub ts_out: bool,
    /// The names of all input files.
    pub inputs: Vec<String>,
    pub parts: Vec<DatasetPart>,
}

/// Consecutive row groups of one symbol.
#[derive(Serialize, Deserialize)]
pub struct DatasetPart {
    pub symbol: String,
    pub tape: SymbolTape,
    /// The rows of the tape that start a new unbroken stretch.
    pub breaks: Vec<u64>,
    /// The input files of its rows, in order: the place of each among the inputs, and its first row.
    pub files: Vec<(usize, u64)>,
    /// The rows that can have a label of any target.
    pub candidates: Candidates,
    /// The targets that the symbol qualifies for.
    pub targets: Vec<DatasetTarget>,
    /// The price ladder of the symbol's depth tensors.
    pub ladder: Ladder,
    pub groups: Vec<RowGroup>,
    /// True if these are all the row groups of the symbol, so that the file is its dataset.
    pub whole: bool,
}

/// The parts of a symbol's target that its row groups need.
#[derive(Serialize, Deserialize)]
pub struct DatasetTarget {
    /// Its place among all targets.
    pub place: usize,
    pub rows: TargetRows,
    /// Its tracks.
    pub tracks: Vec<Pieces>,
    /// Class counts of the whole symbol.
    pub counts: ClassCounts,
}

/// A dataset or a segment that was written.
#[derive(Clone, Serialize, Deserialize)]
pub struct Written {
    pub file: PathBuf,
    pub written: WrittenFile,
    /// The sums of its columns: the file next to a dataset, or a work file for a segment.
    pub sums: PathBuf,
    /// Size and hash of the sums of a dataset.
    pub moments: Option<WrittenFile>,
}

impl Job for Datasets {
    /// The file of each part.
    type Receipt = Vec<Written>;
    const KIND: &'static str = "datasets";

    fn run(self, attempt: &Attempt<'_>) -> Result<Vec<Written>> {
        let Self { config, thresholds, ts_out, inputs, parts } = self;
        let schema = Arc::new(DatasetSchema::new(&config, ts_out).map_err(|e| Error::output(&attempt.work, e))?);
        let targets = config.all_targets();
        let encoders = Pool::new();
        let write = |part: DatasetPart| {
            let quotas: Vec<Quotas> = part.targets.iter().map(|target| Quotas::new(&target.counts)).collect();
            let (file, metadata) = if part.whole {
                let stem = dataset_stem(config.tag(), &part.symbol);
                (attempt.dataset(&stem), metadata(&config, &part.symbol, &thresholds, &part.ladder).to_vec())
            } else {
                (attempt.file(SEGMENTS, "parquet"), Vec::new())
            };
            let mut sums = SymbolSums::default();
            let encode = |group: &RowGroup| {
                let mut tape = part.tape.part(rows_read(&part.candidates, group.candidates.clone()));
                tape.fetch(Tape::Rows)?;
                let mut written = Vec::with_capacity(part.targets.len());
                for (DatasetTarget { place, rows, .. }, quotas) in part.targets.iter().zip(&quotas) {
                    let target = &targets[*place];
                    let boundaries = boundaries_of(&thresholds, &target.name, &part.symbol)?;
                    let labelled = Labelled::new(target, rows, boundaries);
                    written.push(WriteTarget { place: *place, rule: target.movement.rule(), labelled, quotas });
                }
                let labelling = Labelling {
                    symbol: &part.symbol,
                    tape: &tape,
                    breaks: &part.breaks,
                    files: &part.files,
                    candidates: &part.candidates,
                    all: targets.len(),
                    targets: written,
                };
                let mut movements = Vec::new();
                read_tracks(&config, &labelling, group, &mut movements, |(place, track), range, values| {
                    let pieces = part.targets.iter().find(|target| target.place == place);
                    values.clear();
                    pieces.map_or(Ok(()), |target| target.tracks[track].read(range, values))
                })?;
                let mut encoder = encoders.take(|| RowGroupEncoder::new(Arc::clone(&schema), &config));
                labelling.encode(&config, &mut encoder, group, &movements, attempt.monitor)?;
                Ok(encoder)
            };
            let mut writer = DatasetWriter::create(&file, &schema, &metadata)?;
            map_ordered(attempt.threads, 0, &part.groups, encode, |mut encoder| {
                encoder.take_groups(|group, of_group| {
                    sums.append(of_group);
                    writer.append(group)
                })?;
                encoders.put(encoder);
                Ok(())
            })?;
            if part.whole {
                let written = writer.finish()?;
                let of_sums = attempt.dataset(&moments_stem(config.tag(), &part.symbol));
                let moments = write_moments(&of_sums, &config, &schema, &part.symbol, (&inputs, &sums))?;
                return Ok(Written { file, written, sums: of_sums, moments: Some(moments) });
            }
            let (written, of_sums) = (writer.finish_segment()?, attempt.file(SEGMENTS, "json"));
            let sealed = seal_json(&sums).and_then(|text| storage::put_new(&of_sums, text.as_bytes()));
            sealed.map_err(|e| Error::output(&of_sums, e))?;
            Ok(Written { file, written, sums: of_sums, moments: None })
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
