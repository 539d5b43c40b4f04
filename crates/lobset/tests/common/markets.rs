//! Markets of awkward shapes, and the usable rows of any files, read the plain way.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dbn::UNDEF_PRICE;
use lobset::Config;
use proptest::prelude::*;

use super::reference::Rows;
use super::{START, Tick};

/// The shape of a test's market.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Number of records of each file; may be 0.
    pub files: Vec<u16>,
    pub seed: u64,
    /// Chances in 256 of a one-sided, a crossed quote, a pause, a step back in time.
    pub odd: [u8; 4],
    /// The instrument of the first symbol changes at this share of the records, in 256.
    pub roll: Option<u8>,
    /// Where the second symbol's prices start, in ticks: below zero gives rows without a label.
    pub second: i64,
}

pub fn shape() -> impl Strategy<Value = Shape> {
    let files = prop::collection::vec(prop_oneof![1 => Just(0u16), 6 => 100..600u16], 1..6);
    let odd = (0u8..8, 0u8..8, 0u8..3, 0u8..6).prop_map(|(a, b, c, d)| [a, b, c, d]);
    (files, any::<u64>(), odd, prop::option::of(any::<u8>()), prop_oneof![Just(13_000i64), Just(-40), Just(3)])
        .prop_map(|(files, seed, odd, roll, second)| Shape { files, seed, odd, roll, second })
}

pub const TICK: i64 = 50_000;

/// Two symbols on random walks, with everything that makes rows awkward.
pub fn odd_ticks(shape: &Shape) -> Vec<Vec<Tick>> {
    let mut state = shape.seed;
    let mut random = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let total: u64 = shape.files.iter().map(|n| u64::from(*n)).sum();
    let roll_at = shape.roll.map_or(u64::MAX, |share| total * u64::from(share) / 256);
    let mut mids = [13_000, shape.second];
    let (mut ts, mut number) = (START, 0);
    let mut files = Vec::new();
    for count in &shape.files {
        let mut file: Vec<Tick> = Vec::new();
        for _ in 0..*count {
            // Now and then several records have the same time.
            if random(5) > 0 {
                ts += 1 + random(1_000_000);
            }
            let which = usize::from(random(3) == 0);
            mids[which] += random(5) as i64 - 2;
            let (mut bid, mut ask) = (mids[which] * TICK, (mids[which] + 1 + random(2) as i64) * TICK);
            let [one_sided, crossed, pause, back] = shape.odd;
            if random(256) < u64::from(one_sided) {
                *(if random(2) == 0 { &mut bid } else { &mut ask }) = UNDEF_PRICE;
            } else if random(256) < u64::from(crossed) {
                bid = ask + TICK;
            }
            if random(256) < u64::from(pause) {
                ts += 90_000_000_000;
            }
            // Not at the start of a file, where files would overlap.
            let late = file.len() > 10 && random(256) < u64::from(back);
            let instrument = if which == 1 {
                9
            } else if number >= roll_at {
                8
            } else {
                7
            };
            file.push(Tick { instrument, ts: if late { ts - 500 } else { ts }, bid, ask });
            number += 1;
        }
        ts += 3_600_000_000_000;
        files.push(file);
    }
    files
}

pub const MAPPINGS: [(&str, u32); 3] = [("M6A.c.0", 7), ("M6A.c.0", 8), ("M6AM4-M6AU4", 9)];

/// The symbols' usable rows, T and the files of the fit half, from the plain ticks.
pub fn plain(files: &[Vec<Tick>], config: &Config) -> (BTreeMap<String, Rows>, u64, Vec<usize>) {
    let files: Vec<&Vec<Tick>> = files.iter().filter(|f| !f.is_empty()).collect();
    let mut symbols: BTreeMap<String, Rows> = BTreeMap::new();
    let mut usable = Vec::new();
    for (number, file) in files.iter().enumerate() {
        for tick in file.iter() {
            if tick.mid2().is_none() {
                continue;
            }
            let name = if tick.instrument == 9 { "M6AM4-M6AU4" } else { "M6A.c.0" };
            symbols.entry(name.to_owned()).or_default().push(tick.row(number));
            usable.push(tick.ts);
        }
    }
    let (until, fit_files) = match (config.fit_until, files.as_slice()) {
        (Some(until), _) => (until.0, (0..files.len()).filter(|f| files[*f][0].ts < until.0).collect()),
        (None, [_]) => (usable.get(usable.len() / 2).copied().unwrap_or(0), vec![0]),
        (None, _) => {
            let half = files.len() / 2;
            (files.get(half).map_or(0, |f| f[0].ts), (0..half).collect::<Vec<_>>())
        }
    };
    let h = fit_files.len();
    let m = (config.sample_fraction * h as f64).ceil() as usize;
    (symbols, until, (0..m).map(|i| fit_files[i * h / m]).collect())
}

/// The rows of real or simulated files, by the `dbn` crate's own decoder.
pub fn read_plain(files: &[PathBuf]) -> (BTreeMap<String, Rows>, u64, Vec<usize>) {
    use dbn::decode::{DbnDecoder, DbnMetadata, DecodeRecord};
    let mut symbols: BTreeMap<String, Rows> = BTreeMap::new();
    let mut firsts = Vec::new();
    for (number, path) in files.iter().enumerate() {
        let bytes = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
        let mut decoder = DbnDecoder::new(bytes.as_slice()).unwrap();
        let map = decoder.metadata().symbol_map().unwrap();
        while let Some(msg) = decoder.decode_record::<dbn::Mbp10Msg>().unwrap() {
            if firsts.len() <= number {
                firsts.push(msg.ts_recv);
            }
            let tick = Tick {
                instrument: msg.hd.instrument_id,
                ts: msg.ts_recv,
                bid: msg.levels[0].bid_px,
                ask: msg.levels[0].ask_px,
            };
            let symbol = map.get_for_ts(tick.ts, tick.instrument).unwrap();
            if tick.mid2().is_some() {
                symbols.entry(symbol.clone()).or_default().push(tick.row(number));
            }
        }
    }
    let half = firsts.len() / 2;
    (symbols, firsts[half], (0..half).collect())
}
