//! Malicious files, read under a memory limit: each is refused with exit code 3, quickly and using a few megabytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

/// A zstd frame that decompresses to `start` followed by `count` times 128 KiB of one byte (RFC 8878, section 3.1.1).
/// Each of these blocks takes four bytes of the file.
fn bomb(start: &[u8], fill: u8, count: usize) -> Vec<u8> {
    const RAW: u32 = 0;
    const RLE: u32 = 1;
    let header = |kind: u32, size: usize, last: bool| {
        ((size as u32) << 3 | kind << 1 | u32::from(last)).to_le_bytes()[..3].to_vec()
    };
    // No checksum, no content size, a window of 8 MiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3];
    frame.extend(header(RAW, start.len(), false));
    frame.extend(start);
    for i in 0..count {
        frame.extend(header(RLE, 128 << 10, i + 1 == count));
        frame.push(fill);
    }
    frame
}

/// Runs `inspect` and `process` with 400 MB of address space.
fn refusals(folder: &Path, name: &str, bytes: &[u8]) -> Vec<String> {
    std::fs::write(folder.join(name), bytes).unwrap();
    ["inspect", "process -o out"]
        .map(|command| {
            let line = format!("ulimit -v 400000; exec {} {command} {name} -j 1", env!("CARGO_BIN_EXE_lobset"));
            let ran = Command::new("sh").args(["-c", &line]).current_dir(folder).env_clear().output().unwrap();
            let error = String::from_utf8(ran.stderr).unwrap();
            assert_eq!(ran.status.code(), Some(3), "{line}: {error}");
            assert!(!folder.join("out").exists());
            error
        })
        .to_vec()
}

#[test]
fn a_small_file_that_declares_a_lot_of_metadata_takes_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let prelude = |length: u32| [&b"DBN\x03"[..], &length.to_le_bytes()].concat();
    let padded = bomb(&prelude(256 << 20), 0, 2048);
    assert!(padded.len() < 9_000, "{}", padded.len());
    for error in refusals(folder.path(), "zeros.dbn.zst", &padded) {
        assert!(error.contains("of which thousands are zeros: the header is damaged"), "{error}");
    }
    for error in refusals(folder.path(), "letters.dbn.zst", &bomb(&prelude(256 << 20), b'A', 2048)) {
        assert!(error.contains("more than a file of its size can need: the header is damaged"), "{error}");
    }
    // A declared length without the bytes behind it.
    for error in refusals(folder.path(), "short.dbn", &prelude(256 << 20)) {
        assert!(error.contains("the file ends within its metadata: it is truncated"), "{error}");
    }
    // A sparse file of one terabyte.
    let hole = std::fs::File::create(folder.path().join("hole.dbn")).unwrap();
    hole.set_len(1 << 40).unwrap();
    let line = format!("ulimit -v 400000; exec {} inspect hole.dbn", env!("CARGO_BIN_EXE_lobset"));
    let ran = Command::new("sh").args(["-c", &line]).current_dir(folder.path()).env_clear().output().unwrap();
    assert_eq!(ran.status.code(), Some(3));
}
