//! The floor that `lobset process` is measured against: one pass that decodes the files and writes the same columns
//! with a plain `ArrowWriter`. Prints CPU seconds, records and bytes as JSON.
//!
//! `cargo run --release --example floor -- INPUT OUT.parquet [zstd]`

#[path = "../tests/common/arrow_rows.rs"]
mod arrow_rows;

use std::error::Error;
use std::fs::File;
use std::sync::Arc;

use lobset::Config;
use lobset::input::DbnReader;
use lobset::internals::{DatasetSchema, Row, TargetLabel, catalog, find};
use lobset::label::Split;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// User and system seconds of this process.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, out, codec @ ..] = arguments.as_slice() else {
        return Err("usage: floor INPUT OUT.parquet [zstd]".into());
    };
    let compression = if codec.is_empty() { Compression::SNAPPY } else { Compression::ZSTD(ZstdLevel::try_new(1)?) };
    let schema = DatasetSchema::new(&Config::default(), false)?;
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(File::create(out)?, Arc::clone(&schema.arrow), Some(properties))?;
    let mut rows = Vec::with_capacity(1 << 14);
    let mut records = 0;
    for file in catalog(&find(&[input], None)?)? {
        let mut reader = DbnReader::open(&file.path)?;
        loop {
            let more = reader.advance()?;
            if rows.len() == rows.capacity() || (!more && !rows.is_empty()) {
                writer.write(&arrow_rows::batch(&schema, "M6AM4", &rows))?;
                rows.clear();
            }
            if !more {
                break;
            }
            let row = Row::from(&reader.record()?);
            // Labels that cost as much as real ones: classes that change slowly, movements that do not repeat.
            let mid = row.book[0].wrapping_add(row.book[1]) as i64;
            let movement = (mid % 1_000_003) as f64 * 1e-9 + records as f64 * 1e-15;
            let label = TargetLabel {
                movement,
                class: (records / 700 % 21) as u8,
                split: Split::Fit,
                balanced: records % 5 == 0,
                end: records,
                touch: None,
            };
            rows.push((row, records, [Some(label)]));
            records += 1;
        }
    }
    writer.close()?;
    println!(
        "{{\"cpu_seconds\": {:.2}, \"records\": {records}, \"bytes\": {}}}",
        cpu_seconds()?,
        std::fs::metadata(out)?.len()
    );
    Ok(())
}
