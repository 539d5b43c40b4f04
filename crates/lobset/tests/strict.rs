//! Bad files are refused with the position of the fault; good ones are read whatever their version and packing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{START, Tick, dbn_bytes, messages, metadata, old_bytes, run, small, ticks, v4_message, write_files};
use dbn::encode::dbn::v4;
use dbn::{Schema, UNDEF_PRICE};
use lobset::config::Unmapped;
use lobset::input::{DbnReader, MAX_METADATA_BYTES};
use lobset::{Config, Error, Result};

/// Reads a file to its end and counts its records.
fn count(path: &Path) -> Result<u64> {
    let mut reader = DbnReader::open(path)?;
    while reader.advance()? {
        reader.record()?;
    }
    Ok(reader.records())
}

fn count_bytes(bytes: &[u8]) -> Result<u64> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    count(file.path())
}

fn refusal(bytes: &[u8]) -> lobset::error::InputError {
    match count_bytes(bytes) {
        Err(Error::Input(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let whole = dbn_bytes(&metadata(&[("M6AM4", 7)]), &ticks(3, START));
    assert_eq!(count_bytes(&whole).unwrap(), 3);
    let header = whole.len() - 3 * 368;
    for cut in 0..whole.len() {
        // A cut between two records leaves a complete, shorter file: DBN without compression does not record its
        // length.
        if cut < header || !(cut - header).is_multiple_of(368) {
            let refused = refusal(&whole[..cut]);
            assert!(refused.byte.is_some(), "{cut}: {refused}");
        }
    }
    let refused = refusal(&whole[..header + 400]);
    assert_eq!((refused.record, refused.byte), (Some(1), Some(header as u64 + 368)));
}

#[test]
fn a_compressed_file_cut_at_any_byte_is_refused() {
    let whole = dbn_bytes(&metadata(&[("M6AM4", 7)]), &ticks(40, START));
    let half = whole.len() / 2;
    let frame = |bytes: &[u8]| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(true).unwrap();
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let (first, second) = (frame(&whole[..half]), frame(&whole[half..]));
    let frames = [first.clone(), second].concat();
    assert_eq!(count_bytes(&frames).unwrap(), 40, "frames are read one after the other");
    for cut in 0..frames.len() {
        let refused = refusal(&frames[..cut]);
        assert!(refused.byte.is_some(), "{cut}: {refused}");
    }
    assert!(refusal(&frames[..frames.len() - 3]).message.contains("truncated"));
    // A skippable frame between the two is ignored.
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..]].concat();
    assert_eq!(count_bytes(&[first, skippable, frame(&whole[half..])].concat()).unwrap(), 40);
}

#[test]
fn damage_is_refused_with_the_place() {
    let whole = dbn_bytes(&metadata(&[("M6AM4", 7)]), &ticks(5, START));
    let header = whole.len() - 5 * 368;
    let damaged = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        refusal(&bytes)
    };
    assert!(refusal(&[]).message.contains("empty"));
    assert!(refusal(b"PAR1 is no DBN").message.contains("DBN header"));
    assert!(refusal(&[&whole[..], b"x"].concat()).message.contains("trailing"));
    assert_eq!(refusal(&[&whole[..], &[0; 16]].concat()).record, Some(5));
    assert!(damaged(3, 9).message.contains("version 9"));
    let length = damaged(7, 0xff);
    assert!(length.message.contains(&MAX_METADATA_BYTES.to_string()), "{length}");
    assert!(damaged(header + 2 * 368, 0).record == Some(2));
    let foreign = damaged(header + 3 * 368 + 1, 0x01);
    assert!(foreign.record == Some(3) && foreign.message.contains("type 0x01"), "{foreign}");
    // A record of another size.
    let mut long = whole[..header + 368].to_vec();
    long[header] = 94;
    long.extend([0; 8]);
    assert!(refusal(&long).message.contains("376 bytes"));
    let compressed = zstd::encode_all(whole.as_slice(), 3).unwrap();
    assert!(refusal(&[&compressed[..], b"garbage!"].concat()).message.contains("zstd"));
}

#[test]
fn every_cut_of_the_metadata_length_is_an_error_and_no_panic() {
    let whole = dbn_bytes(&metadata(&[("M6AM4", 7)]), &ticks(1, START));
    for length in (0..1000u32).chain([u32::MAX, MAX_METADATA_BYTES]) {
        let mut bytes = whole.clone();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        if bytes != whole {
            refusal(&bytes);
        }
    }
}

#[test]
fn versions_1_to_4_are_read() {
    let messages = messages(&ticks(4, START));
    for version in 1..=3 {
        let bytes = old_bytes(version, &messages);
        assert_eq!(bytes[3], version);
        assert_eq!(count_bytes(&bytes).unwrap(), 4);
    }
    let mut metadata = metadata(&[("M6AM4", 7)]);
    metadata.version = 4;
    metadata.layout = Some(dbn::v4::layouts::default_layout().clone());
    let mut encoder = v4::Encoder::new(Vec::new(), &metadata).unwrap();
    for m in &messages {
        encoder.encode(&v4_message(m)).unwrap();
    }
    let bytes = encoder.get_ref().clone();
    assert_eq!(count_bytes(&bytes).unwrap(), 4);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let mut reader = DbnReader::open(file.path()).unwrap();
    reader.advance().unwrap();
    let record = reader.record().unwrap();
    assert_eq!(
        (record.event.ts_recv, record.event.instrument_id, record.levels),
        (messages[0].ts_recv, 7, &messages[0].levels)
    );
    assert!(refusal(&bytes[..bytes.len() - 1]).record == Some(3));
}

#[test]
fn databentos_own_samples_are_read_or_refused() {
    let Some(folder) = common::real_data("dbn-versions") else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match count(&path) {
            Ok(records) => assert!(name.contains("mbp-10") && records == 2, "{name}"),
            Err(error) => {
                let schema = name.split('.').nth(1).unwrap();
                assert!(error.to_string().contains(&format!("has the schema {schema}, not mbp-10")), "{error}");
                assert!(error.help().unwrap().contains("schema=\"mbp-10\""));
            }
        }
    }
}

#[test]
fn other_schemas_are_refused_by_name() {
    for (schema, text) in [(Some(Schema::Trades), "the schema trades"), (None, "a mix of schemas")] {
        let mut metadata = metadata(&[("M6AM4", 7)]);
        metadata.schema = schema;
        let refused = refusal(&dbn_bytes(&metadata, &[]));
        assert!(refused.message.contains(text), "{refused}");
        assert!(refused.help.unwrap().contains("mbp-10"));
    }
}

#[test]
fn overlaps_and_duplicates_name_both_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let fails = |files: &[Vec<Tick>], name: &str| {
        let inputs = write_files(&folder.path().join(name), &[("M6AM4", 7)], files);
        (run(&inputs, &out, &small()).unwrap_err().to_string(), inputs)
    };
    let (error, inputs) = fails(&[ticks(500, START), ticks(500, START + 200_000_000)], "overlap");
    assert!(error.contains("overlaps") && inputs.iter().all(|i| error.contains(&i.display().to_string())), "{error}");
    let same = ticks(500, START);
    let (error, inputs) = fails(&[same.clone(), vec![], same], "twice");
    assert!(
        error.contains("holds the same bytes as") && error.contains("part-0") && error.contains("part-2"),
        "{error}"
    );
    let twice = [inputs[0].clone(), inputs[0].parent().unwrap().join(".").join("part-0.dbn")];
    let error = run(&twice, &out, &small()).unwrap_err().to_string();
    assert!(error.contains("given twice"), "{error}");
    assert!(!out.exists());
}

#[test]
fn instruments_without_a_mapping_are_an_error_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = ticks(600, START);
    first[100].instrument = 99;
    first[200].bid = UNDEF_PRICE;
    let inputs = write_files(&folder.path().join("in"), &[("M6AM4", 7)], &[first, ticks(600, START + 900_000_000)]);
    let out = folder.path().join("out");
    let error = run(&inputs, &out, &small()).unwrap_err();
    assert!(
        error.to_string().contains("record 100, byte")
            && error.to_string().contains("instrument 99 has no symbol on 2024-04-03"),
        "{error}"
    );
    assert!(error.help().unwrap().contains("unmapped"));
    let manifest = run(&inputs, &out, &Config { unmapped: Unmapped::Drop, ..small() }).unwrap();
    assert_eq!((manifest.inputs[0].drops.unmapped, manifest.inputs[0].drops.one_sided), (1, 1));
    assert_eq!(manifest.inputs[0].rows, 598);
}

#[test]
fn a_price_that_never_moves_has_no_classes() {
    let folder = tempfile::tempdir().unwrap();
    let still = |from| (0..400).map(|i| Tick { ts: from + i * 1_000_000, ..ticks(1, from)[0] }).collect::<Vec<_>>();
    let inputs = write_files(&folder.path().join("in"), &[("M6AM4", 7)], &[still(START), still(START + 400_000_000)]);
    let out = folder.path().join("out");
    for nbins in [2, 3, 21] {
        let error = run(&inputs, &out, &Config { nbins, ..small() }).unwrap_err();
        let (message, help) = (error.to_string(), error.help().unwrap_or_default());
        assert!(message.contains(&format!("only 1 of {nbins} classes would get any rows")), "{message}");
        assert!(help.contains("lower nbins") && help.contains("never changes"), "{help}");
        assert!(!out.exists());
    }
}

#[test]
fn shortages_carry_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let inputs =
        write_files(&folder.path().join("in"), &[("M6AM4", 7)], &[ticks(300, START), ticks(300, START + 400_000_000)]);
    let out = folder.path().join("out");
    let fails = |config: Config| {
        let error = run(&inputs, &out, &config).unwrap_err();
        assert!(!out.exists());
        (error.to_string(), error.help().unwrap_or_default().to_owned())
    };
    let (error, help) = fails(Config { min_symbol_samples: 10_000, ..small() });
    assert!(error.contains("\"M6AM4\", has 505 labelled rows, but min_symbol_samples is 10000"), "{error}");
    assert!(help.contains("lower min_symbol_samples to 505"));
    let (error, help) = fails(Config { lookback_rows: 5_000, ..small() });
    assert!(error.contains("the windows are longer than the data") && help.contains("shorten"), "{error}");
    let (error, help) = fails(Config { nbins: 255, lookback_rows: 1, lookforward_input: 1, ..small() });
    assert!(error.contains("of 255 classes would get any rows") && help.contains("lower nbins"), "{error}");
    let error = run(&[folder.path().join("nothing-*.dbn")], &out, &small()).unwrap_err();
    assert!(error.to_string().contains("matches no file"), "{error}");
}
