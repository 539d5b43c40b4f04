//! The engine that runs on the threads of this machine. Its work files are next to the output, and it writes rows
//! directly from tapes into datasets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::counts::{BlockCounts, Labelled, Slice, class_blocks, slices, slices_of};
use super::engine::{Engine, Scans, WriteInput, delivery};
use super::ladder::{LadderCounts, LadderTask};
use super::movements::{MovementSummary, MovementTape, movement_tape};
use super::plan::{Classify, RowGroup, SymbolPlan, TargetPlan};
use super::scan::{FileScan, scan, set_aside, ts_of_row};
use super::spread::SpreadSums;
use super::streams::{Stream, item, of_item};
use super::write::{Labelling, WriteTarget, dataset_entry, metadata, read_tracks};
use crate::error::{Error, InputError, Result};
use crate::input::{CatalogFile, Found, ScanRules, open_all, total_bytes};
use crate::label::{Counter, Histogram, MovementSums, SLICE, Selection, Thresholds};
use crate::output::{
    DatasetEntry, DatasetSchema, DatasetWriter, EncodedGroup, MANIFEST, Manifest, RowGroupEncoder, SymbolSums,
    ValidationEntry, Workspace, dataset_file_name, moments_file_name, write_moments, write_whole,
};
use crate::run::{BATCH, Pool, Run, Stage, batches, map_batched, map_ordered};
use crate::tape::MOVEMENT_BLOCK;
use crate::validate::{self, Extent};

/// Candidates per task that counts classes: few enough for the cache of a single core.
const CLASS_TASK: u64 = 2 * MOVEMENT_BLOCK;

/// The engine and its state between steps.
pub struct Local<'a> {
    run: Run<'a>,
    found: &'a Found,
    workspace: &'a Workspace,
    movements: Option<MovementTape>,
}

impl<'a> Local<'a> {
    /// Creates an engine that works in a workspace.
    pub fn new(run: Run<'a>, found: &'a Found, workspace: &'a Workspace) -> Self {
        Self { run, found, workspace, movements: None }
    }

    fn tape(&self) -> Result<&MovementTape> {
        self.movements.as_ref().ok_or_else(|| Error::output(self.workspace.folder(), "there are no movements yet"))
    }
}

impl Engine for Local<'_> {
    fn scan(&self, rules: &ScanRules) -> Result<Scans> {
        let Run { threads, monitor, .. } = self.run;
        let (files, mut refused) = open_all(self.found)?;
        let mut scans: Vec<FileScan> = Vec::with_capacity(files.len());
        let mut reused = 0;
        monitor.stage(Stage::Scan, total_bytes(&files), || {
            // A refused file does not end the scan: all refused files are reported, and the next run reuses the scans
            // of the others.
            let work = |file: &CatalogFile| set_aside(scan(file, rules, &self.workspace.scans(), monitor));
            map_ordered(threads, files.len(), &files, work, |outcome| {
                match outcome {
                    Ok((scan, old)) => {
                        reused += u64::from(old);
                        scans.push(scan);
                    }
                    Err(error) => refused.push(error),
                }
                Ok(())
            })
        })?;
        refused.sort_by(|a, b| a.path.cmp(&b.path));
        InputError::check(refused)?;
        let delivery = delivery(self.found, &files, scans.iter().map(|scan| &scan.input));
        Ok(Scans { files, scans, reused, delivery })
    }

    fn row_time(&self, file: &CatalogFile, rules: &ScanRules, number: u64) -> Result<Option<u64>> {
        ts_of_row(&file.path, &file.stat, &rules.with_symbology(file.beside.symbology.as_ref()), number)
    }

    fn movements(&mut self, streams: &[Stream]) -> Result<MovementSummary> {
        let targets = self.run.config.all_targets();
        let (tape, summary) = movement_tape(&self.run, &targets, streams, self.workspace.folder())?;
        self.movements = Some(tape);
        Ok(summary)
    }

    fn count(
        &self,
        ranges: &[Slice],
        selections: &[Selection],
        mean: Option<f64>,
    ) -> Result<(Vec<Histogram>, Vec<MovementSums>)> {
        let Run { threads, monitor, .. } = self.run;
        let tape = self.tape()?;
        let tasks: Vec<Slice> = ranges.iter().flat_map(|r| slices(r.place, r.range.clone(), SLICE)).collect();
        let counter = Counter::new(selections, mean);
        let mut sums = Vec::with_capacity(tasks.len());
        let work = |slice: &Slice| {
            let found = counter.count(|values| tape.read((slice.place, 0), slice.range.clone(), values))?;
            Ok((found, slice.count()))
        };
        let rows = tasks.iter().map(Slice::count).sum();
        monitor.stage(Stage::Plan, rows, || {
            map_batched(threads, &tasks, Slice::count, work, |(found, rows)| {
                sums.extend(found);
                monitor.advance(rows)
            })
        })?;
        Ok((counter.finish(), sums))
    }

    fn spreads(&self, streams: &[Stream], ranges: &[Slice]) -> Result<SpreadSums> {
        let Run { threads, monitor, .. } = self.run;
        let tape = self.tape()?;
        let tasks: Vec<Slice> = ranges.iter().flat_map(|r| slices(r.place, r.range.clone(), CLASS_TASK)).collect();
        let work = |slice: &Slice| {
            let (_, stream, rows) = of_item(streams, slice.place);
            let mut movements = Vec::new();
            tape.read((slice.place, 0), slice.range.clone(), &mut movements)?;
            monitor.advance(slice.count())?;
            SpreadSums::of(&stream.tape, &rows.candidates, slice.range.clone(), &movements)
        };
        let mut sums = SpreadSums::default();
        monitor.stage(Stage::Plan, tasks.iter().map(Slice::count).sum(), || {
            map_batched(threads, &tasks, Slice::count, work, |found| {
                sums.add(found);
                Ok(())
            })
        })?;
        Ok(sums)
    }

    fn classes(&self, streams: &[Stream], _: &Thresholds, symbols: &[Classify<'_>]) -> Result<Vec<Vec<BlockCounts>>> {
        let Run { threads, monitor, .. } = self.run;
        let tape = self.tape()?;
        let tasks = slices_of(symbols.iter().map(|symbol| 0..symbol.candidates.count()), CLASS_TASK);
        let work = |slice: &Slice| {
            let Classify { stream, candidates, targets } = &symbols[slice.place];
            let labelled: Vec<_> = targets.iter().map(|(_, labelled)| *labelled).collect();
            let counted = class_blocks(candidates, slice.range.clone(), &labelled, |(target, track), range, values| {
                tape.read((item(targets[target].0, streams, *stream), track), range, values)
            });
            Ok((slice.place, slice.count(), counted?))
        };
        let mut blocks: Vec<Vec<BlockCounts>> = vec![Vec::new(); symbols.len()];
        let total = tasks.iter().map(Slice::count).sum();
        monitor.stage(Stage::Plan, total, || {
            map_batched(threads, &tasks, Slice::count, work, |(place, count, counted)| {
                blocks[place].extend(counted);
                monitor.advance(count)
            })
        })?;
        Ok(blocks)
    }

    fn ladders(&self, streams: &[Stream], windows: &[LadderTask]) -> Result<Vec<LadderCounts>> {
        let Run { threads, monitor, .. } = self.run;
        let mut counts = Vec::with_capacity(windows.len());
        let work = |window: &LadderTask| {
            monitor.advance(window.count())?;
            LadderCounts::of(&streams[window.stream].tape, window)
        };
        monitor.stage(Stage::Plan, windows.iter().map(LadderTask::count).sum(), || {
            map_batched(threads, windows, LadderTask::count, work, |found| {
                counts.push(found);
                Ok(())
            })
        })?;
        Ok(counts)
    }

    /// Encodes row groups in parallel and splices them, in order, into one dataset per symbol. An encoder keeps its row
    /// groups until they are spliced. There are as many encoders as threads, and this step needs no other memory.
    fn datasets(&mut self, input: &WriteInput<'_>) -> Result<BTreeMap<usize, DatasetEntry>> {
        let folder = self.workspace.staged();
        std::fs::create_dir_all(&folder).map_err(|e| Error::output(&folder, e))?;
        let Run { threads, monitor, config } = self.run;
        let schema = Arc::new(DatasetSchema::new(config, input.ts_out).map_err(|e| Error::output(&folder, e))?);
        let tasks: Vec<GroupTask<'_>> = group_tasks(input).collect();
        let tape = self.tape()?;
        let (encoders, tracks) = (Pool::new(), Pool::new());
        let work = |batch: &Vec<&GroupTask<'_>>| {
            let mut encoder = encoders.take(|| RowGroupEncoder::new(Arc::clone(&schema), config));
            tracks.lend(Vec::new, |tracks| {
                batch.iter().try_for_each(|task| {
                    let labelling = task.labelling(input);
                    read_tracks(config, &labelling, task.group, tracks, |(target, track), range, values| {
                        tape.read((item(target, input.streams, task.plan.symbol), track), range, values)
                    })?;
                    labelling.encode(config, &mut encoder, task.group, tracks, monitor)
                })
            })?;
            Ok(encoder)
        };
        let mut entries = BTreeMap::new();
        let mut open: Option<(DatasetWriter, SymbolSums)> = None;
        // Results arrive in the order of the tasks.
        let mut finished = tasks.iter();
        let mut splice = |encoded: EncodedGroup<'_>, of_group: SymbolSums| -> Result<()> {
            let Some(&GroupTask { plan, stream, last, .. }) = finished.next() else { return Ok(()) };
            let file = dataset_file_name(config.tag(), &stream.symbol);
            let (mut writer, mut sums) = match open.take() {
                Some(open) => open,
                None => {
                    let metadata = metadata(config, &stream.symbol, input.thresholds, &plan.ladder);
                    (DatasetWriter::create(&folder.join(&file), &schema, &metadata)?, SymbolSums::default())
                }
            };
            writer.append(encoded)?;
            sums.append(of_group);
            if !last {
                open = Some((writer, sums));
                return Ok(());
            }
            let written = writer.finish()?;
            let moments = moments_file_name(config.tag(), &stream.symbol);
            let names = (input.inputs, &sums);
            let of_sums = write_moments(&folder.join(&moments), config, &schema, &stream.symbol, names)?;
            entries.insert(plan.symbol, dataset_entry(plan, (file, written), (moments, of_sums)));
            Ok(())
        };
        let total = tasks.iter().map(GroupTask::candidates).sum();
        monitor.stage(Stage::Write, total, || {
            map_ordered(threads, 0, &batches(&tasks, BATCH, |task| task.candidates()), work, |mut encoder| {
                encoder.take_groups(&mut splice)?;
                encoders.put(encoder);
                Ok(())
            })
        })?;
        Ok(entries)
    }

    fn dataset(&self, file: &str) -> PathBuf {
        self.workspace.staged().join(file)
    }

    fn put(&mut self, file: &str, text: &str) -> Result<String> {
        write_whole(&self.workspace.staged().join(file), text)?;
        Ok(file.to_owned())
    }

    fn prove(&mut self, manifest: &Manifest) -> Result<ValidationEntry> {
        let Run { threads, monitor, .. } = self.run;
        validate::prove_here(&self.workspace.staged(), manifest, Extent::Written, threads, monitor)?;
        Ok(validate::proved_after_writing(manifest))
    }

    fn publish(&mut self, manifest: &Manifest) -> Result<()> {
        write_whole(&self.workspace.staged().join(MANIFEST), &manifest.to_json())?;
        // Checked before the scans are removed: they are still needed if publication fails.
        self.workspace.check_place()?;
        if !self.run.config.keep_intermediate {
            // Removed before the result is synced, so that data not yet on disk need not be written.
            self.movements = None;
            self.workspace.clear_scans()?;
        }
        self.workspace.publish()?.into_iter().for_each(|note| self.run.monitor.note(note));
        Ok(())
    }
}

/// A row group to encode.
struct GroupTask<'a> {
    plan: &'a SymbolPlan,
    stream: &'a Stream,
    group: &'a RowGroup,
    /// True for the symbol's last row group.
    last: bool,
}

impl GroupTask<'_> {
    fn candidates(&self) -> u64 {
        self.group.count()
    }

    fn labelling<'a>(&'a self, input: &WriteInput<'a>) -> Labelling<'a> {
        let target = |plan: &'a TargetPlan| {
            let target = &input.targets[plan.target];
            let boundaries = input.thresholds.boundaries(&target.name, &self.stream.symbol)?;
            let labelled = Labelled::new(target, &self.stream.targets[plan.target], boundaries);
            Some(WriteTarget { place: plan.target, rule: target.movement.rule(), labelled, quotas: &plan.quotas })
        };
        Labelling {
            symbol: &self.stream.symbol,
            tape: &self.stream.tape,
            breaks: &self.stream.breaks,
            files: &self.stream.files,
            candidates: &self.plan.candidates,
            all: input.targets.len(),
            targets: self.plan.targets.iter().filter_map(target).collect(),
        }
    }
}

fn group_tasks<'a>(input: &WriteInput<'a>) -> impl Iterator<Item = GroupTask<'a>> + use<'a> {
    let WriteInput { streams, plans, .. } = *input;
    plans.iter().flat_map(|plan| {
        let (stream, count) = (&streams[plan.symbol], plan.groups.len());
        plan.groups.iter().enumerate().map(move |(i, group)| GroupTask { plan, stream, group, last: i + 1 == count })
    })
}
