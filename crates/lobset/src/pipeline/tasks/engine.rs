//! The engine that runs tasks: splits steps into tasks of a suitable size and combines their receipts in the order of
//! the tasks, whatever order they finish in.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use super::count::{ClassPart, ClassTarget, Classes, Count, CountPart, Ladders, SpreadPart, Spreads};
use super::datasets::{DatasetPart, DatasetTarget, Datasets, Written};
use super::job::{Job, READERS, Spec, Task, Workers};
use super::merge::Merge;
use super::movements::{MovementFiles, MovementPart, Movements};
use super::pieces::{Piece, Pieces};
use super::prove::{Prove, ProvePart};
use super::scan::{FindRowTime, Scan};
use super::work::Work;
use crate::error::{Error, InputError, Result};
use crate::input::{CatalogFile, Found, FoundFile, ScanRules, explain_schemas};
use crate::label::{Histogram, MovementSums, SLICE, Selection, Thresholds, merged};
use crate::output::{
    DatasetEntry, Manifest, RECEIPTS, SymbolEntry, ValidationEntry, dataset_file_name, moments_file_name,
};
use crate::pipeline::counts::{BlockCounts, Labelled, Slice, slices, slices_of};
use crate::pipeline::engine::{Engine, Scans, WriteInput, delivery};
use crate::pipeline::ladder::{LadderCounts, LadderTask};
use crate::pipeline::movements::{MovementSummary, slide};
use crate::pipeline::plan::{Classify, RowGroup, TargetPlan};
use crate::pipeline::scan::FileScan;
use crate::pipeline::spread::SpreadSums;
use crate::pipeline::streams::{Stream, TargetRows, item, items, of_item};
use crate::pipeline::write::{dataset_entry, rows_read};
use crate::run::{Run, Stage, batches, map_ordered};
use crate::storage::checksum::unseal;
use crate::storage::{self, Stat};
use crate::tape::MOVEMENT_BLOCK;
use crate::validate::{self, Proved, TargetFitCounts};

/// Rows of the smallest task: about eight row groups, or a third of a second of work.
const LEAST: u64 = 1 << 20;

/// Approximate maximum number of tasks of a step; tasks have at least [`LEAST`] rows. The limit keeps the results of a
/// step small: both the total size of the histograms, which are large, and the number of files.
const MOST_COUNTS: u64 = 256;
const MOST_FILES: u64 = 4096;

/// The engine and its state between steps.
pub struct Tasks<'a> {
    run: Run<'a>,
    workers: Workers<'a>,
    work: &'a Work,
    found: Found,
    /// Keys of the tasks that earlier runs have finished.
    done: HashSet<String>,
    /// The tracks of each [`item`].
    movements: Vec<Vec<Pieces>>,
    /// Finished datasets and the files of their sums, by their names in the output folder.
    datasets: BTreeMap<String, PathBuf>,
}

impl<'a> Tasks<'a> {
    /// Creates an engine that reuses the finished tasks in the work folder.
    pub fn new(run: Run<'a>, workers: Workers<'a>, found: Found, work: &'a Work) -> Result<Self> {
        let receipts = work.folder.join(RECEIPTS);
        let finished = storage::list(&receipts).map_err(|e| Error::output(&receipts, e))?;
        let key = |(path, _): (PathBuf, Stat)| Some(path.file_stem()?.to_string_lossy().into_owned());
        let done = finished.into_iter().filter_map(key).collect();
        // Tasks run in processes with their own working folders, so they need absolute paths.
        let found = found.absolute();
        Ok(Self { run, workers, work, found, done, movements: Vec::new(), datasets: BTreeMap::new() })
    }

    /// Runs jobs; returns their receipts in order, and the number of jobs that earlier runs had finished.
    fn map<J: Job>(&self, stage: Stage, jobs: Vec<J>) -> Result<(Vec<J::Receipt>, u64)> {
        let monitor = self.run.monitor;
        let mut slots: Vec<Option<J::Receipt>> = Vec::new();
        let (mut pending, mut amounts, mut old) = (Vec::new(), Vec::new(), Vec::new());
        for (place, job) in jobs.into_iter().enumerate() {
            let amount = job.amount();
            let (spec, task) = Spec::new(job, self.work, self.workers.threads)?;
            slots.push(None);
            amounts.push(amount);
            if self.done.contains(&spec.key) {
                old.push((place, self.work.folder.join(RECEIPTS).join(format!("{}.json", spec.key))));
            } else {
                pending.push((place, task));
            }
        }
        // The largest tasks first, so that the last ones are small and waiting for them is short.
        pending.sort_by_key(|(place, _)| std::cmp::Reverse(amounts[*place]));
        let (places, tasks): (Vec<usize>, Vec<Task>) = pending.into_iter().unzip();
        let parse = |text: &str| {
            serde_json::from_str::<J::Receipt>(text)
                .map_err(|e| Error::Executor(format!("the receipt of a task of kind {} cannot be read: {e}", J::KIND)))
        };
        let reused = old.len() as u64;
        monitor.stage(stage, amounts.iter().sum(), || {
            let read = |(place, path): &(usize, PathBuf)| {
                let sealed = storage::read(path).map_err(|e| Error::read_back(path, &e))?;
                let text = unseal(&sealed).map_err(|e| Error::read_back(path, &e))?;
                Ok((*place, parse(text)?))
            };
            map_ordered(READERS, old.len(), &old, read, |(place, receipt)| {
                slots[place] = Some(receipt);
                monitor.advance(amounts[place])
            })?;
            if tasks.is_empty() {
                return Ok(());
            }
            self.workers.executor.map(&tasks, monitor, &mut |number, text| {
                let Some(place) = places.get(number) else {
                    return Err(Error::Executor(format!("there is no task {number}")));
                };
                slots[*place] = Some(parse(&text)?);
                monitor.advance(amounts[*place])
            })
        })?;
        let missing = || Error::Executor(format!("a task of kind {} returned no receipt", J::KIND));
        let receipts = slots.into_iter().map(|slot| slot.ok_or_else(missing)).collect::<Result<_>>()?;
        Ok((receipts, reused))
    }

    /// Proves the datasets of a folder.
    fn prove_datasets(&self, manifest: &Manifest, thresholds: &Thresholds) -> Result<Proved> {
        let part = |(symbol, entry): (&SymbolEntry, &DatasetEntry)| {
            let (file, moments) = (self.dataset(&entry.file), self.dataset(&entry.moments.file));
            (entry.rows, ProvePart { file, moments, symbol: symbol.clone() })
        };
        let batches = batches(manifest.datasets().map(part), LEAST, |(rows, _)| *rows);
        let job = |parts: Vec<(u64, ProvePart)>| Prove {
            config: manifest.config.clone(),
            thresholds: thresholds.only(parts.iter().map(|(_, part)| part.symbol.symbol.as_str())),
            ts_out: manifest.has_ts_out(),
            inputs: manifest.inputs.iter().map(|input| input.name.clone()).collect(),
            parts: parts.into_iter().map(|(_, part)| part).collect(),
        };
        let (receipts, _) = self.map(Stage::Validate, batches.into_iter().map(job).collect())?;
        let fit_counts = manifest.config.all_targets().iter().map(|_| TargetFitCounts::default()).collect();
        let mut proved = Proved { complete: true, fit_counts, ..Proved::default() };
        for receipt in receipts {
            proved.violations.extend(receipt.violations);
            proved.complete &= receipt.complete;
            proved.fit_counts.iter_mut().zip(receipt.fit_counts).for_each(|(all, more)| all.merge(more));
        }
        Ok(proved)
    }
}

/// Rows per task of a step over `total` rows that is split into at most about `tasks` tasks; a multiple of blocks and
/// slices.
fn task_size(total: u64, tasks: u64) -> u64 {
    (total / tasks).max(LEAST).next_multiple_of(MOVEMENT_BLOCK.max(SLICE))
}

impl Engine for Tasks<'_> {
    fn scan(&self, rules: &ScanRules) -> Result<Scans> {
        let job = |file: &FoundFile| Scan {
            file: file.path.clone(),
            found: file.stat.clone(),
            listed: file.beside.sha256.clone(),
            rules: rules.with_symbology(file.beside.symbology.as_ref()),
        };
        let inputs = &self.found.files;
        let (outcomes, reused) = self.map(Stage::Scan, inputs.iter().map(job).collect())?;
        let (mut scans, mut refused) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(scan) => scans.push(scan),
                Err(error) => refused.push(error),
            }
        }
        InputError::check(explain_schemas(refused, &self.found))?;
        let catalog = |(file, scan): (&FoundFile, FileScan)| {
            let head = scan.head.clone();
            let FoundFile { path, stat, beside } = file.clone();
            (CatalogFile { path, stat, head, beside }, scan)
        };
        let mut found: Vec<(CatalogFile, FileScan)> = inputs.iter().zip(scans).map(catalog).collect();
        found.sort_by_cached_key(|(file, _)| file.order());
        let (files, scans): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let delivery = delivery(&self.found, &files, scans.iter().map(|scan| &scan.input));
        Ok(Scans { files, scans, reused, delivery })
    }

    fn row_time(&self, file: &CatalogFile, rules: &ScanRules, number: u64) -> Result<Option<u64>> {
        let rules = rules.with_symbology(file.beside.symbology.as_ref());
        let job = FindRowTime { file: file.path.clone(), found: file.stat.clone(), rules, number };
        Ok(self.map(Stage::Scan, vec![job])?.0.into_iter().next().flatten())
    }

    fn movements(&mut self, streams: &[Stream]) -> Result<MovementSummary> {
        let targets = self.run.config.all_targets();
        let total = items(streams).map(|(_, _, rows)| rows.candidates.count()).sum();
        // The cost of the first label of a task must be negligible, and the tapes that a task fetches must fit in memory.
        let least = task_size(total, MOST_FILES).min(16 * LEAST);
        let of = |(place, (target, _, rows)): (usize, (usize, &Stream, &TargetRows))| {
            slices(place, 0..rows.candidates.count(), least.max(slide(targets[target].movement.rule())))
        };
        let batches = batches(items(streams).enumerate().flat_map(of), least, Slice::count);
        let part = |slice: &Slice| {
            let (target, stream, rows) = of_item(streams, slice.place);
            let (movement, range) = (targets[target].movement.clone(), slice.range.clone());
            let seen = movement.rule().seen(&stream.tape, rows.candidates.span(range.clone()))?;
            let breaks = stream.breaks.iter().copied().filter(|row| seen.contains(row)).collect();
            let rows = rows.part(range.clone());
            Ok(MovementPart { movement, tape: stream.tape.part(seen), breaks, rows, range })
        };
        let job = |slices: &Vec<Slice>| -> Result<Movements> {
            Ok(Movements {
                label_end: self.run.config.label_end,
                parts: slices.iter().map(part).collect::<Result<_>>()?,
            })
        };
        let (receipts, _) = self.map(Stage::Plan, batches.iter().map(job).collect::<Result<_>>()?)?;
        let tracks = |(target, ..): (usize, &Stream, &TargetRows)| targets[target].movement.rule().tracks();
        self.movements = items(streams).map(|item| vec![Pieces::default(); tracks(item)]).collect();
        let mut summary = MovementSummary::new(self.movements.len());
        for (slices, MovementFiles { files, parts }) in batches.iter().zip(receipts) {
            let mut firsts = vec![0; files.len()];
            for (slice, computed) in slices.iter().zip(parts) {
                summary.add(slice.place, &computed);
                let tracks =
                    self.movements[slice.place].iter_mut().zip(computed.checksums).zip(&files).zip(&mut firsts);
                for (((track, checksums), file), first) in
                    tracks.filter(|(((_, checksums), _), _)| !checksums.is_empty())
                {
                    track.0.push(Piece { range: slice.range.clone(), file: file.clone(), first: *first, checksums });
                    *first += slice.count();
                }
            }
        }
        Ok(summary)
    }

    fn count(
        &self,
        ranges: &[Slice],
        selections: &[Selection],
        mean: Option<f64>,
    ) -> Result<(Vec<Histogram>, Vec<MovementSums>)> {
        let most = task_size(ranges.iter().map(Slice::count).sum(), MOST_COUNTS);
        let parts = ranges
            .iter()
            .flat_map(|r| slices(r.place, r.range.clone(), most))
            .map(|slice| CountPart { pieces: self.movements[slice.place][0].part(&slice.range), range: slice.range });
        let job = |parts| Count { selections: selections.to_vec(), mean, parts };
        let jobs = batches(parts, most, |part| part.range.end - part.range.start).into_iter().map(job).collect();
        let (receipts, _) = self.map(Stage::Plan, jobs)?;
        let histograms = merged(selections, receipts.iter().map(|(histograms, _)| histograms.as_slice()));
        Ok((histograms, receipts.into_iter().flat_map(|(_, sums)| sums).collect()))
    }

    fn spreads(&self, streams: &[Stream], ranges: &[Slice]) -> Result<SpreadSums> {
        let most = task_size(ranges.iter().map(Slice::count).sum(), MOST_COUNTS).min(4 * LEAST);
        let parts = ranges.iter().flat_map(|r| slices(r.place, r.range.clone(), most)).map(|slice| {
            let (_, stream, TargetRows { candidates, .. }) = of_item(streams, slice.place);
            SpreadPart {
                tape: stream.tape.part(candidates.span(slice.range.clone())),
                candidates: candidates.part(slice.range.clone()),
                pieces: self.movements[slice.place][0].part(&slice.range),
                range: slice.range,
            }
        });
        let batches = batches(parts, most, |part| part.range.end - part.range.start);
        let (receipts, _) = self.map(Stage::Plan, batches.into_iter().map(|parts| Spreads { parts }).collect())?;
        let mut sums = SpreadSums::default();
        for receipt in receipts {
            sums.add(receipt.try_into()?);
        }
        Ok(sums)
    }

    fn classes(
        &self,
        streams: &[Stream],
        thresholds: &Thresholds,
        symbols: &[Classify<'_>],
    ) -> Result<Vec<Vec<BlockCounts>>> {
        let all = self.run.config.all_targets();
        let most = task_size(symbols.iter().map(|symbol| symbol.candidates.count()).sum(), MOST_COUNTS);
        let parts = slices_of(symbols.iter().map(|symbol| 0..symbol.candidates.count()), most);
        let batches = batches(parts, most, Slice::count);
        let part = |slice: &Slice| {
            let Classify { stream, candidates, targets } = &symbols[slice.place];
            let span = candidates.span(slice.range.clone());
            let target = |(place, labelled): &(usize, Labelled<'_>)| {
                let mine = labelled.within(&span);
                let tracks = &self.movements[item(*place, streams, *stream)];
                let needed =
                    |track: usize| track == 0 || (labelled.touches && track == 1) || labelled.known == Some(track);
                let part = |(number, track): (usize, &Pieces)| match needed(number) {
                    true => track.part(&mine),
                    false => Pieces::default(),
                };
                let tracks = tracks.iter().enumerate().map(part).collect();
                ClassTarget { target: all[*place].clone(), rows: labelled.rows.part(mine), tracks }
            };
            ClassPart {
                symbol: streams[*stream].symbol.clone(),
                candidates: candidates.part(slice.range.clone()),
                range: slice.range.clone(),
                targets: targets.iter().map(target).collect(),
            }
        };
        let symbol = |slice: &Slice| streams[symbols[slice.place].stream].symbol.as_str();
        let job = |slices: &Vec<Slice>| Classes {
            thresholds: thresholds.only(slices.iter().map(symbol)),
            parts: slices.iter().map(part).collect(),
        };
        let (receipts, _) = self.map(Stage::Plan, batches.iter().map(job).collect())?;
        let mut blocks = vec![Vec::new(); symbols.len()];
        for (slice, found) in batches.iter().flatten().zip(receipts.into_iter().flatten()) {
            blocks[slice.place].extend(found);
        }
        Ok(blocks)
    }

    fn ladders(&self, streams: &[Stream], windows: &[LadderTask]) -> Result<Vec<LadderCounts>> {
        let with_tape = |window: &LadderTask| {
            let rows = window.rows.clone();
            (streams[window.stream].tape.part(rows), window.clone())
        };
        let jobs = batches(windows.iter().map(with_tape), LEAST, |(_, window)| window.count())
            .into_iter()
            .map(|windows| Ladders { windows })
            .collect();
        let (receipts, _) = self.map(Stage::Plan, jobs)?;
        Ok(receipts.into_iter().flatten().collect())
    }

    fn datasets(&mut self, input: &WriteInput<'_>) -> Result<BTreeMap<usize, DatasetEntry>> {
        let WriteInput { streams, thresholds, plans, inputs, ts_out, .. } = *input;
        let config = self.run.config;
        let candidates = |groups: &[RowGroup]| groups.iter().map(RowGroup::count).sum();
        let most = task_size(plans.iter().map(|plan| candidates(&plan.groups)).sum(), MOST_FILES);
        // Parts of symbols in order, each with the place of its plan.
        let mut parts: Vec<(usize, DatasetPart)> = Vec::new();
        for (place, plan) in plans.iter().enumerate() {
            let stream = &streams[plan.symbol];
            let groups = batches(plan.groups.clone(), most, RowGroup::count);
            let whole = groups.len() == 1;
            for groups in groups {
                let (Some(first), Some(last)) = (groups.first(), groups.last()) else { continue };
                let range = first.candidates.start..last.candidates.end;
                let span = plan.candidates.span(range.clone());
                let target = |target: &TargetPlan| {
                    let rows = &stream.targets[target.target];
                    let mine = rows.candidates.before(span.start)..rows.candidates.before(span.end);
                    let tracks = &self.movements[item(target.target, streams, plan.symbol)];
                    DatasetTarget {
                        place: target.target,
                        rows: rows.part(mine.clone()),
                        tracks: tracks.iter().map(|track| track.part(&mine)).collect(),
                        counts: target.counts.clone(),
                    }
                };
                let rows = rows_read(&plan.candidates, range.clone());
                let part = DatasetPart {
                    symbol: stream.symbol.clone(),
                    breaks: stream.breaks.iter().copied().filter(|row| rows.contains(row)).collect(),
                    files: stream.files_of(&rows),
                    tape: stream.tape.part(rows),
                    candidates: plan.candidates.part(range),
                    targets: plan.targets.iter().map(target).collect(),
                    ladder: plan.ladder,
                    groups,
                    whole,
                };
                parts.push((place, part));
            }
        }
        let batches = batches(parts, most, |(_, part)| candidates(&part.groups));
        let places: Vec<usize> = batches.iter().flatten().map(|(place, _)| *place).collect();
        let job = |parts: Vec<(usize, DatasetPart)>| Datasets {
            config: config.clone(),
            thresholds: thresholds.only(parts.iter().map(|(_, part)| part.symbol.as_str())),
            ts_out,
            inputs: inputs.to_vec(),
            parts: parts.into_iter().map(|(_, part)| part).collect(),
        };
        let (receipts, _) = self.map(Stage::Write, batches.into_iter().map(job).collect())?;
        let mut files: Vec<Vec<Written>> = vec![Vec::new(); plans.len()];
        for (place, written) in places.into_iter().zip(receipts.into_iter().flatten()) {
            files[place].push(written);
        }

        // Splice the symbols that have several segments.
        let several: Vec<usize> = (0..plans.len()).filter(|place| files[*place].len() > 1).collect();
        let job = |place: &usize| {
            let symbol = &streams[plans[*place].symbol].symbol;
            Merge {
                config: config.clone(),
                thresholds: thresholds.only([symbol.as_str()]),
                ts_out,
                symbol: symbol.clone(),
                ladder: plans[*place].ladder,
                inputs: inputs.to_vec(),
                segments: files[*place].clone(),
                rows: plans[*place].rows(),
            }
        };
        let (merged, _) = self.map(Stage::Write, several.iter().map(job).collect())?;
        for (place, written) in several.into_iter().zip(merged) {
            files[place] = vec![written];
        }
        let mut entries = BTreeMap::new();
        for (plan, files) in plans.iter().zip(files) {
            let Some(Written { file, written, sums, moments }) = files.into_iter().next() else { continue };
            let lacking = || Error::Executor("a task has written a dataset without its sums".to_owned());
            let symbol = &streams[plan.symbol].symbol;
            let mut place = |file: PathBuf, name: String| {
                let name = self.work.dataset_name(&file, name);
                self.datasets.insert(name.clone(), file);
                name
            };
            let file = place(file, dataset_file_name(config.tag(), symbol));
            let sums = place(sums, moments_file_name(config.tag(), symbol));
            let entry = dataset_entry(plan, (file, written), (sums, moments.ok_or_else(lacking)?));
            entries.insert(plan.symbol, entry);
        }
        Ok(entries)
    }

    /// Also the place of a dataset's sums.
    fn dataset(&self, file: &str) -> PathBuf {
        self.datasets.get(file).cloned().unwrap_or_default()
    }

    fn put(&mut self, file: &str, text: &str) -> Result<String> {
        let name = self.work.published_name(file);
        self.work.put(&name, text)?;
        Ok(name)
    }

    fn prove(&mut self, manifest: &Manifest) -> Result<ValidationEntry> {
        validate::prove(&self.work.staged(), manifest, |thresholds| self.prove_datasets(manifest, thresholds))?;
        Ok(validate::proved_after_writing(manifest))
    }

    fn publish(&mut self, manifest: &Manifest) -> Result<()> {
        let datasets: Vec<(PathBuf, String)> =
            std::mem::take(&mut self.datasets).into_iter().map(|(name, file)| (file, name)).collect();
        let note = self.work.publish(&datasets, manifest, self.run.config.keep_intermediate)?;
        note.into_iter().for_each(|note| self.run.monitor.note(note));
        Ok(())
    }
}
