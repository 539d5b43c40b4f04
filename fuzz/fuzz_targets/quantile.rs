#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lobset_fuzz::quantile(data));
