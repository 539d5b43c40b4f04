//! What a stream is: one symbol of one publisher, each row once, whatever the files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampNanosecondType};
use common::{
    DAY, START, Tick, date, messages, metadata, read_labels, run, small, ticks, v4_message, write, write_files,
};
use dbn::encode::dbn::v4;
use dbn::encode::{DbnEncoder, EncodeRecord};
use dbn::{Mbp10Msg, UNDEF_TIMESTAMP, WithTsOut};
use lobset::config::{Aliases, Columns};
use lobset::validate::Compare;
use lobset::{Config, Duration, Manifest, Monitor, Options, Timestamp};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn symbols(manifest: &Manifest) -> Vec<&str> {
    manifest.datasets().map(|(symbol, _)| symbol.symbol.as_str()).collect()
}

/// The help that comes with an error.
fn failure(inputs: &[PathBuf], out: &Path, config: &Config) -> String {
    let error = run(inputs, out, config).unwrap_err();
    assert!(!out.exists());
    format!("{error} help: {}", error.help().unwrap_or_default())
}

/// Three venues quote the same symbol in turn, each at its own prices.
fn venues() -> Vec<Mbp10Msg> {
    let venues = [39, 40, 41];
    let mut all = messages(&ticks(3_000, START));
    for (i, message) in all.iter_mut().enumerate() {
        message.hd.publisher_id = venues[i * 7 / 2 % 3];
        let away = i64::from(message.hd.publisher_id) * 1_000_000_000;
        for level in &mut message.levels {
            level.bid_px += away;
            level.ask_px += away;
        }
    }
    all
}

#[test]
fn each_publisher_of_a_symbol_is_a_stream_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = metadata(&[("NVDA", 7)]);
    let all = venues();
    let file = write(folder.path(), "all.dbn", &metadata, &all);
    let out = folder.path().join("out");
    let manifest = run(&[&file], &out, &small()).unwrap();
    assert_eq!(symbols(&manifest), ["NVDA.39", "NVDA.40", "NVDA.41"]);

    for publisher in [39, 40, 41] {
        let own: Vec<Mbp10Msg> = all.iter().filter(|m| m.hd.publisher_id == publisher).cloned().collect();
        let alone = write(folder.path(), &format!("{publisher}.dbn"), &metadata, &own);
        // Boundaries of all venues together; the rows, movements and splits are those of the venue alone.
        let config = Config { fit_until: Some(manifest.thresholds.fit_until), ..small() };
        let own_out = folder.path().join(format!("out-{publisher}"));
        assert_eq!(symbols(&run(&[&alone], &own_out, &config).unwrap()), ["NVDA"]);
        let movements = |out: &Path, name: &str| -> Vec<_> {
            let labels = read_labels(&out.join(format!("AUDUSD_{name}_dataset.parquet")));
            labels.into_iter().map(|l| (l.row, l.movement, l.split)).collect()
        };
        let want = movements(&own_out, "NVDA");
        assert!(want.len() > 500);
        assert_eq!(movements(&out, &format!("NVDA.{publisher}")), want);
        // The setting has the same effect as removing the other venues' records.
        let picked_out = folder.path().join(format!("picked-{publisher}"));
        let picked = run(&[&file], &picked_out, &Config { publishers: Some(vec![publisher]), ..config }).unwrap();
        assert_eq!(symbols(&picked), ["NVDA"]);
        assert_eq!(movements(&picked_out, "NVDA"), want);
        assert_eq!(picked.inputs[0].drops.other_publisher, (all.len() - own.len()) as u64);
        assert_eq!(picked.symbols[0].publisher_id, publisher);
    }
    let nobody = Config { publishers: Some(vec![9]), ..small() };
    let error = failure(std::slice::from_ref(&file), &folder.path().join("nobody"), &nobody);
    assert!(error.contains("none of the usable records comes from publishers = [9]"), "{error}");
    let options = Options::default();
    let found = lobset::validate(&out, Some((&[&file], Compare::Random(1))), &options, &Monitor::silent()).unwrap();
    assert_eq!(found.against.unwrap().rows, 1_000);
    let found = lobset::inspect(&[&file], &small(), &options, &Monitor::silent()).unwrap();
    let found: Vec<_> = found.symbols.iter().map(|s| (s.symbol.as_str(), s.publisher_id, s.rows)).collect();
    assert_eq!(found, [("NVDA.39", 39, 1_000), ("NVDA.40", 40, 1_000), ("NVDA.41", 41, 1_000)]);
}

#[test]
fn validation_against_raw_files_tells_publishers_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = venues();
    let file = write(folder.path(), "all.dbn", &metadata(&[("NVDA", 7)]), &all);
    let out = folder.path().join("out");
    run(&[&file], &out, &small()).unwrap();
    // The venues swap names.
    all.iter_mut().for_each(|m| m.hd.publisher_id = 39 + (m.hd.publisher_id - 38) % 3);
    let other = write(folder.path(), "other.dbn", &metadata(&[("NVDA", 7)]), &all);
    let error = lobset::validate(&out, Some((&[other], Compare::Random(1))), &Options::default(), &Monitor::silent())
        .unwrap_err();
    assert!(
        error.to_string().contains("NVDA.40_dataset.parquet: row 50: ts_recv differs from the raw record"),
        "{error}"
    );
}

#[test]
fn a_name_that_two_streams_would_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = venues();
    all.iter_mut().step_by(5).for_each(|m| m.hd.instrument_id = 8);
    let file = write(folder.path(), "all.dbn", &metadata(&[("NVDA", 7), ("NVDA.40", 8)]), &all);
    let error = failure(&[file], &folder.path().join("out"), &small());
    assert!(error.contains("publisher 40 and symbol \"NVDA\" has the same name as the symbol \"NVDA.40\""), "{error}");
    assert!(error.contains("publishers = "), "{error}");
}

/// Two files, each with one instrument under a name.
fn two_names(folder: &Path, first: (&str, &[Tick]), second: (&str, &[Tick])) -> Vec<PathBuf> {
    let file = |name, (symbol, ticks): (&str, &[Tick])| {
        write(folder, name, &metadata(&[(symbol, ticks[0].instrument)]), &messages(ticks))
    };
    vec![file("first.dbn", first), file("second.dbn", second)]
}

#[test]
fn one_instrument_under_two_names_is_refused_unless_it_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let rows = ticks(1_500, START);
    let inputs = two_names(folder.path(), ("M6A.c.0", &rows), ("M6AM4", &rows[300..]));
    let error = failure(&inputs, &out, &small());
    for part in ["M6A.c.0", "M6AM4", "first.dbn", "second.dbn", "instrument 7", "2024-04-03T00:00:00.3", "aliases"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let manifest = run(&inputs, &out, &Config { aliases: Aliases::Keep, ..small() }).unwrap();
    assert_eq!(symbols(&manifest), ["M6A.c.0", "M6AM4"]);
    assert!(manifest.warnings.iter().any(|w| w.contains("the same instrument (7)")), "{:?}", manifest.warnings);
}

#[test]
fn one_name_after_the_other_is_no_alias() {
    let folder = tempfile::tempdir().unwrap();
    // On another day the same number means another instrument, and each publisher has its own numbers.
    let names = ["M6A.c.0", "M6AM4"];
    let days = [ticks(800, START), ticks(800, START + DAY), ticks(800, START + 2 * DAY)];
    let mut inputs = Vec::new();
    for (i, day) in days.iter().enumerate() {
        let name = names[i % 2];
        inputs.push(write(folder.path(), &format!("{i}.dbn"), &metadata(&[(name, 7)]), &messages(day)));
    }
    let mut elsewhere = messages(&days[1]);
    elsewhere.iter_mut().for_each(|m| m.hd.publisher_id = 2);
    inputs.push(write(folder.path(), "elsewhere.dbn", &metadata(&[("6A", 7)]), &elsewhere));
    let manifest = run(&inputs, &folder.path().join("out"), &small()).unwrap();
    assert_eq!(symbols(&manifest), ["6A", "M6A.c.0", "M6AM4"]);
}

/// The labels, the splits and the manifest entry of the only symbol of a run with this boundary time.
fn outcome(inputs: &[PathBuf], out: &Path, config: &Config) -> (Vec<common::Labelled>, serde_json::Value) {
    let manifest = run(inputs, out, config).unwrap();
    let (symbol, dataset) = manifest.datasets().next().unwrap();
    let mut said = serde_json::to_value(symbol).unwrap();
    // These depend on where the files are cut: sequence numbers restart in each file of these tests.
    said["fitted_rows"].take();
    said["dataset"]["bytes"].take();
    said["dataset"]["sha256"].take();
    // The sums of a dataset are kept for each input file.
    said["dataset"]["moments"].take();
    (read_labels(&out.join(&dataset.file)), said)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn a_stream_does_not_depend_on_where_its_files_are_cut(
        steps in prop::collection::vec(prop_oneof![20 => 0..2_000_000_i64, 2 => -900_000..0_i64, 1 => 0..3_000_000_000_i64], 900),
        cuts in prop::collection::vec(1..899_usize, 1..4),
        max_gap in prop_oneof![Just(None), Just(Some(Duration(500_000_000))), Just(Some(Duration(1_000_000)))],
    ) {
        let mut rows = ticks(steps.len() as u64, START);
        let mut ts = START;
        for (row, step) in rows.iter_mut().zip(&steps) {
            ts = ts.saturating_add_signed(*step);
            row.ts = ts;
        }
        let mut cuts = cuts;
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let folder = tempfile::tempdir().unwrap();
        let mut pieces: Vec<Vec<Tick>> = cuts.windows(2).map(|cut| rows[cut[0]..cut[1]].to_vec()).collect();
        // Files are ordered by the middle one of their first nine records, so a step back must not change the order.
        pieces.sort_by_key(|piece| {
            let mut head: Vec<u64> = piece.iter().take(9).map(|tick| tick.ts).collect();
            head.sort_unstable();
            head[head.len() / 2]
        });
        prop_assume!(pieces.concat() == rows);
        let config = Config { fit_until: Some(Timestamp(rows[500].ts)), max_gap, lookback_rows: 20, lookforward_input: 20, min_symbol_samples: 1, nbins: 2, ..small() };
        let whole = write_files(&folder.path().join("whole"), &[("M6AM4", 7)], &[rows]);
        let cut = write_files(&folder.path().join("cut"), &[("M6AM4", 7)], &pieces);
        let out = |name: &str| folder.path().join(name);
        let labelled = run(&whole, &out("probe"), &config);
        prop_assume!(labelled.is_ok());
        prop_assert_eq!(outcome(&whole, &out("a"), &config), outcome(&cut, &out("b"), &config));
    }
}

#[test]
fn a_step_back_at_a_cut_is_a_step_back_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let start = START + 10 * SECOND;
    let mut rows = ticks(2_000, start);
    rows[1_000].ts = rows[999].ts - 1_000;
    let config = Config { fit_until: Some(Timestamp(rows[1_000].ts + SECOND / 2)), ..small() };
    let inputs = |name: &str, files: &[Vec<Tick>]| write_files(&folder.path().join(name), &[("M6AM4", 7)], files);
    let whole = outcome(&inputs("whole", &[rows.clone()]), &folder.path().join("a"), &config);
    let cut = [rows[..1_000].to_vec(), rows[1_000..].to_vec()];
    assert_eq!(outcome(&inputs("cut", &cut), &folder.path().join("b"), &config), whole);
    assert_eq!(whole.1["steps_back"], 1);
}

/// A stream of 3,000 rows whose first thousand are five seconds before the others, so that its first file stays the
/// first.
fn two_stretches() -> Vec<Mbp10Msg> {
    messages(&[ticks(1_000, START), ticks(2_000, START + 5 * SECOND)].concat())
}

/// The error of a run over two files; `None` if they do not overlap.
fn overlap(first: &[Mbp10Msg], second: &[Mbp10Msg]) -> Option<String> {
    let error = refusal(first, second)?;
    assert!(error.contains("1.dbn: overlaps in time with") && error.contains("0.dbn"), "{error}");
    Some(error)
}

/// The error of a run over two files.
fn refusal(first: &[Mbp10Msg], second: &[Mbp10Msg]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let metadata = metadata(&[("M6AM4", 7)]);
    let inputs =
        [("0.dbn", first), ("1.dbn", second)].map(|(name, messages)| write(folder.path(), name, &metadata, messages));
    let config = Config { fit_until: Some(Timestamp(START + 6 * SECOND)), ..small() };
    run(&inputs, &folder.path().join("out"), &config).err().map(|error| error.to_string())
}

#[test]
fn rows_that_two_files_hold_are_an_overlap() {
    let all = two_stretches();
    assert_eq!(overlap(&all[..2_000], &all[2_000..]), None);
    for from in [1_998, 1_900, 1_000, 10] {
        assert!(overlap(&all[..2_000], &all[from..]).is_some(), "from row {from}");
    }
    // A file that begins with its own row, at the time of the others or after them, still repeats the rest.
    let mut second = all[1_990..].to_vec();
    second[0].ts_recv += 1;
    assert!(overlap(&all[..2_000], &second).is_some());
}

#[test]
fn two_equal_rows_may_lie_on_both_sides_of_a_cut() {
    let mut all = two_stretches();
    all[2_000] = all[1_999].clone();
    assert_eq!(overlap(&all[..2_000], &all[2_000..]), None);
}

#[test]
fn another_stretch_of_the_same_time_is_an_overlap_and_a_few_wrong_stamps_are_none_of_their_own() {
    let all = two_stretches();
    let shifted = |rows: std::ops::Range<usize>, back: u64| {
        let mut second = all[2_000..].to_vec();
        second[rows].iter_mut().for_each(|m| m.ts_recv -= back);
        overlap(&all[..2_000], &second)
    };
    assert!(shifted(0..1_000, 50_000_000).is_some());
    assert_eq!(shifted(0..1_000, 2_000_000), None);
    assert_eq!(shifted(0..3, SECOND), None);
    let mut first = all[..2_000].to_vec();
    first[1_999].ts_recv += 3_600 * SECOND;
    let error = refusal(&first, &all[2_000..]).unwrap();
    assert!(
        error.contains("1.dbn: 1,000 of its 1,000 rows of \"M6AM4\" are earlier than 2024-04-03T01:00:05.999"),
        "{error}"
    );
}

#[test]
fn a_break_is_no_gap_that_windows_reach_across() {
    let folder = tempfile::tempdir().unwrap();
    let mut next = ticks(1_000, START + DAY);
    next.iter_mut().for_each(|tick| tick.instrument = 8);
    let mut roll = metadata(&[("M6A.c.0", 7)]);
    roll.mappings[0].intervals[0].end_date = date(START + DAY);
    let mut second = roll.mappings[0].intervals[0].clone();
    (second.start_date, second.end_date, second.symbol) = (date(START + DAY), date(START + 2 * DAY), "8".to_owned());
    roll.mappings[0].intervals.push(second);
    let files = [("0.dbn", ticks(1_000, START)), ("1.dbn", next)];
    let inputs = files.map(|(name, ticks)| write(folder.path(), name, &roll, &messages(&ticks)));
    let manifest = run(&inputs, &folder.path().join("out"), &small()).unwrap();
    assert_eq!(manifest.symbols[0].breaks, [1_000]);
    assert!(manifest.symbols[0].gaps.iter().all(|gap| gap.length() < SECOND));
    let found = lobset::inspect(&inputs, &small(), &Options::default(), &Monitor::silent()).unwrap();
    assert_eq!(found.symbols[0].gaps.longest(), manifest.symbols[0].gaps);
}

#[test]
fn a_symbol_without_a_dataset_because_of_its_breaks_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // The first instrument has its own stretch, which is long enough.
    let mut rows = ticks(1_400, START);
    let mut both = ticks(1_200, START + 3_600 * SECOND);
    for (i, tick) in both.iter_mut().enumerate() {
        // The second instrument never has 96 consecutive rows without a pause.
        tick.ts += (i / 120) as u64 * 60 * SECOND;
        tick.instrument = 7 + (i % 2) as u32;
    }
    rows.extend(both);
    let inputs = write_files(&folder.path().join("in"), &[("M6AM4", 7), ("M6AU4", 8)], &[rows]);
    let config = Config { max_gap: Some(Duration(30 * SECOND)), ..small() };
    let manifest = run(&inputs, &folder.path().join("out"), &config).unwrap();
    let reason = manifest.symbols[1].reason.as_deref().unwrap();
    let want = "0 labelled rows, fewer than min_symbol_samples = 100; without the 9 breaks in its stream there would be enough";
    assert_eq!(reason, want);
}

#[test]
fn the_longest_gaps_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let hour = 3_600 * SECOND;
    let mut rows = ticks(1_000, START);
    rows.extend(ticks(1_000, START + 6 * hour));
    let next = ticks(1_000, START + DAY);
    let inputs = write_files(&folder.path().join("in"), &[("M6AM4", 7)], &[rows, next]);
    let manifest = run(&inputs, &folder.path().join("out"), &small()).unwrap();
    let gaps = &manifest.symbols[0].gaps;
    let ends: Vec<u64> = gaps.iter().map(|gap| gap.to.0 - START).collect();
    assert_eq!(ends[..2], [DAY, 6 * hour]);
    assert_eq!(gaps[1].from, Timestamp(START + 999_000_000));
    assert_eq!(gaps.len(), 3);
    let found = lobset::inspect(&inputs, &small(), &Options::default(), &Monitor::silent()).unwrap();
    assert_eq!(found.symbols[0].gaps.longest(), gaps);
}

#[test]
fn a_record_without_a_time_is_refused_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |change: &dyn Fn(&mut Mbp10Msg)| {
        let mut all = messages(&ticks(600, START));
        change(&mut all[300]);
        let file = write(folder.path(), "bad.dbn", &metadata(&[("M6AM4", 7)]), &all);
        failure(&[file], &folder.path().join("out"), &small())
    };
    let error = refusal(&|m| m.ts_recv = UNDEF_TIMESTAMP);
    assert!(error.contains("record 300") && error.contains("ts_recv is undefined"), "{error}");
    let error = refusal(&|m| m.hd.ts_event = 1 << 63);
    assert!(
        error.contains("record 300") && error.contains("ts_event is 9223372036854775808, after the year 2262"),
        "{error}"
    );
}

/// Gateway stamps of the records, one of them undefined.
fn stamps(messages: &[Mbp10Msg]) -> Vec<Option<u64>> {
    (0..).zip(messages).map(|(i, m)| (i != 700).then_some(m.ts_recv + 4_000 + i)).collect()
}

fn write_with_ts_out(path: &Path, messages: &[Mbp10Msg], version: u8) {
    let mut metadata = metadata(&[("M6AM4", 7)]);
    metadata.ts_out = true;
    let records = messages.iter().zip(stamps(messages)).map(|(m, stamp)| (m, stamp.unwrap_or(UNDEF_TIMESTAMP)));
    if version < 4 {
        let mut encoder = DbnEncoder::new(File::create(path).unwrap(), &metadata).unwrap();
        records.for_each(|(m, stamp)| encoder.encode_record(&WithTsOut::new(m.clone(), stamp)).unwrap());
        return;
    }
    let mut layout = dbn::layout::StreamLayoutBuilder::new(1, 71);
    let mut record = layout.layout_of::<dbn::v4::Mbp10Msg>(dbn::v4::rtype::MBP_10);
    record.field(dbn::v4::fields::TS_OUT, "ts_out");
    record.finish();
    metadata.version = 4;
    metadata.symbol_cstr_len = 71;
    metadata.layout = Some(layout.build().unwrap());
    let mut encoder = v4::Encoder::new(File::create(path).unwrap(), &metadata).unwrap();
    for (m, stamp) in records {
        let mut bytes = dbn::v4::RecordBuf::<512>::from(v4_message(m));
        let size = size_of::<dbn::v4::Mbp10Msg>();
        let raw = bytes.raw_buf_mut();
        raw[size..size + 8].copy_from_slice(&stamp.to_le_bytes());
        raw[..2].copy_from_slice(&((size + 8 - size_of::<dbn::v4::RecordHeader>()) as u16).to_le_bytes());
        encoder.encode_ref(bytes.as_rec_ref()).unwrap();
    }
}

/// `ts_out` of a dataset's rows, by row.
fn stored_stamps(file: &Path) -> Vec<Option<u64>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
    let mut found = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        assert_eq!(batch.schema().field(2).name(), "ts_out");
        let stamps = batch.column(2).as_primitive::<TimestampNanosecondType>();
        found.extend((0..stamps.len()).map(|i| stamps.is_valid(i).then(|| stamps.value(i).cast_unsigned())));
    }
    found
}

#[test]
fn files_with_gateway_stamps_are_read_in_every_version() {
    for version in [3, 4] {
        let folder = tempfile::tempdir().unwrap();
        let all = messages(&ticks(3_000, START));
        let file = folder.path().join("live.dbn");
        write_with_ts_out(&file, &all, version);
        let out = folder.path().join("out");
        let manifest = run(&[&file], &out, &small()).unwrap();
        assert!(manifest.inputs[0].ts_out && manifest.inputs[0].dbn_version == version);
        let (_, dataset) = manifest.datasets().next().unwrap();
        let rows: Vec<u64> = read_labels(&out.join(&dataset.file)).iter().map(|l| l.row).collect();
        let want = stamps(&all);
        let want: Vec<_> = rows.iter().map(|row| want[*row as usize]).collect();
        assert!(want.contains(&None));
        assert_eq!(stored_stamps(&out.join(&dataset.file)), want);
        let found =
            lobset::validate(&out, Some((&[&file], Compare::Random(1))), &Options::default(), &Monitor::silent())
                .unwrap();
        assert_eq!(found.against.unwrap().rows, 1_000);
        // A dataset with only the book leaves it out, like the other fields of the event.
        let book = folder.path().join("book");
        run(&[&file], &book, &Config { columns: Columns::Book, ..small() }).unwrap();
        let names = ParquetRecordBatchReaderBuilder::try_new(File::open(book.join(&dataset.file)).unwrap()).unwrap();
        assert!(names.schema().column_with_name("ts_out").is_none());
        // Records as Arrow batches have it too.
        let batches = lobset::output::RecordBatches::open(&file, None, None).unwrap();
        let batches: Vec<_> = batches.map(Result::unwrap).collect();
        let column = batches[0].column_by_name("ts_out").unwrap().as_primitive::<TimestampNanosecondType>();
        assert_eq!(column.value(5).cast_unsigned(), all[5].ts_recv + 4_005);
        assert!(column.is_null(700));
    }
}

#[test]
fn a_dataset_has_gateway_stamps_when_any_file_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let plain = write(folder.path(), "plain.dbn", &metadata(&[("M6AM4", 7)]), &messages(&ticks(1_500, START)));
    let live = folder.path().join("live.dbn");
    let later = messages(&ticks(1_500, START + DAY));
    write_with_ts_out(&live, &later, 3);
    let out = folder.path().join("out");
    let manifest = run(&[&plain, &live], &out, &small()).unwrap();
    let (_, dataset) = manifest.datasets().next().unwrap();
    let rows: Vec<u64> = read_labels(&out.join(&dataset.file)).iter().map(|l| l.row).collect();
    let of_live = stamps(&later);
    let want = |row: &u64| row.checked_sub(1_500).and_then(|at| of_live[at as usize]);
    assert_eq!(stored_stamps(&out.join(&dataset.file)), rows.iter().map(want).collect::<Vec<_>>());
    lobset::validate(&out, Some((&[&plain, &live], Compare::Random(7))), &Options::default(), &Monitor::silent())
        .unwrap();
    assert_eq!(date(START).to_string(), "2024-04-03");
}

#[test]
fn a_cut_file_with_gateway_stamps_is_refused_at_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("live.dbn");
    write_with_ts_out(&file, &messages(&ticks(5, START)), 3);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 8]).unwrap();
    let error = failure(&[file], &folder.path().join("out"), &small());
    assert!(error.contains("record 4") && error.contains("truncated"), "{error}");
}

#[test]
fn records_as_batches_take_symbols_from_symbology_and_refuse_late_stamps() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = messages(&ticks(5, START));
    let file = write(folder.path(), "unmapped.dbn", &metadata(&[]), &all);
    let symbols = |symbology: Option<&Path>| {
        let batch = lobset::output::RecordBatches::open(&file, None, symbology).unwrap().next().unwrap().unwrap();
        let symbols = batch.column_by_name("symbol").unwrap().as_dictionary::<Int32Type>().clone();
        let names = symbols.values().as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>();
        (symbols.null_count(), names)
    };
    assert_eq!(symbols(None), (5, vec![]));
    let json = r#"{"result": {"M6AM4": [{"d0": "2024-04-03", "d1": "2024-04-04", "s": "7"}]}, "stype_in": "raw_symbol",
        "stype_out": "instrument_id"}"#;
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("names.json"), json).unwrap();
    assert_eq!(symbols(Some(&elsewhere.join("names.json"))), (0, vec!["M6AM4".to_owned()]));
    std::fs::write(folder.path().join("symbology.json"), json).unwrap();
    assert_eq!(symbols(None), (0, vec!["M6AM4".to_owned()]));

    all[3].hd.ts_event = u64::MAX - 1;
    let late = write(folder.path(), "late.dbn", &metadata(&[("M6AM4", 7)]), &all);
    let error = lobset::output::RecordBatches::open(&late, None, None).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("record 3") && error.to_string().contains("after the year 2262"), "{error}");
}
