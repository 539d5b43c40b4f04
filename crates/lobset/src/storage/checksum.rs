//! Checksums of what a run writes and reads back, so that a flipped bit does not end up in a dataset.
//!
//! XXH3 is fast enough to check every block on every read, and detects hardware errors. It does not protect against
//! deliberate changes.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use twox_hash::XxHash3_64;

use crate::cast::low32;

/// The checksum of a block: the low half of its XXH3. A damaged block matches once in four billion times.
pub(crate) fn checksum(block: &[u8]) -> u32 {
    low32(XxHash3_64::oneshot(block))
}

/// Refuses a block whose checksum is not `want`.
///
/// # Errors
/// Of kind `InvalidData`.
pub(crate) fn check(block: &[u8], want: u32) -> io::Result<()> {
    if checksum(block) == want { Ok(()) } else { Err(damaged()) }
}

/// The error for bytes that are not those that were written.
pub(crate) fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is damaged: the bytes on disk are not those that were written")
}

/// Prefixes a small text with a line that contains its checksum.
pub(crate) fn seal(text: &str) -> String {
    format!("{:016x}\n{text}", XxHash3_64::oneshot(text.as_bytes()))
}

/// Checks a sealed text and returns the text passed to [`seal`].
///
/// # Errors
/// Of kind `InvalidData` when it is damaged, or was never sealed.
pub(crate) fn unseal(sealed: &[u8]) -> io::Result<&str> {
    let parts = sealed.split_at_checked(16).and_then(|(sum, rest)| Some((sum, rest.strip_prefix(b"\n")?)));
    let (sum, text) = parts.ok_or_else(damaged)?;
    if sum != format!("{:016x}", XxHash3_64::oneshot(text)).as_bytes() {
        return Err(damaged());
    }
    std::str::from_utf8(text).map_err(|_| damaged())
}

/// Writes a value as JSON, prefixed with a line that contains its checksum.
///
/// # Errors
/// When the value cannot be written as JSON.
pub(crate) fn seal_json(value: &impl Serialize) -> io::Result<String> {
    Ok(seal(&serde_json::to_string(value)?))
}

/// Checks a sealed text and returns the value passed to [`seal_json`].
///
/// # Errors
/// Of kind `InvalidData` when the text is damaged, or contains another kind of value.
pub(crate) fn unseal_json<T: DeserializeOwned>(sealed: &[u8]) -> io::Result<T> {
    serde_json::from_str(unseal(sealed)?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let sealed = seal("{\"rows\": 12}");
        assert_eq!(unseal(sealed.as_bytes()).unwrap(), "{\"rows\": 12}");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&flipped).unwrap_err().kind(), io::ErrorKind::InvalidData, "bit {bit}");
            let block = &flipped[17..];
            assert_eq!(check(block, checksum(&sealed.as_bytes()[17..])).is_err(), bit >= 17 * 8, "bit {bit}");
        }
        for cut in 0..sealed.len() {
            assert!(unseal(&sealed.as_bytes()[..cut]).is_err(), "{cut} bytes");
        }
    }
}
