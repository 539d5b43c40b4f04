//! Numeric conversions that would otherwise be `as`, which silently truncates, wraps and loses signs.
//!
//! `to_*` keep the number: callers only pass numbers that fit, which debug builds check. `low*` keep the lowest bits.
//! Numbers from untrusted input are converted with `try_from` instead.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("lobset needs a 64-bit target: it counts rows and bytes in u64 and uses the counts as indexes");

/// Converts a count or a position to an index: `usize` has 64 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "only 64-bit targets compile")]
pub(crate) const fn to_usize(number: u64) -> usize {
    number as usize
}

/// Converts a length or a number of rows in memory to a signed number: nothing in memory is longer than `isize::MAX`.
#[inline(always)]
pub(crate) const fn to_i64(length: usize) -> i64 {
    (length as u64).cast_signed()
}

/// Converts a number that is always below 2^8, such as a number of levels or classes.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "checked in debug builds")]
pub(crate) fn to_u8(number: usize) -> u8 {
    debug_assert!(u8::try_from(number).is_ok(), "{number} exceeds 8 bits");
    number as u8
}

/// Converts a number that is always below 2^16, such as a number of steps of the ladder.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "checked in debug builds")]
pub(crate) fn to_u16(number: usize) -> u16 {
    debug_assert!(u16::try_from(number).is_ok(), "{number} exceeds 16 bits");
    number as u16
}

/// Converts a number that is always below 2^32, such as a number of rows or bytes in a row group.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "checked in debug builds")]
pub(crate) fn to_u32(number: usize) -> u32 {
    debug_assert!(u32::try_from(number).is_ok(), "{number} exceeds 32 bits");
    number as u32
}

/// The lowest 8 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "drops the upper bits on purpose")]
pub(crate) fn low8(bits: impl Into<u64>) -> u8 {
    bits.into() as u8
}

/// Appends numbers, each with its lowest byte first.
pub(crate) fn put_le_bytes<T: bytemuck::NoUninit>(out: &mut Vec<u8>, numbers: &[T]) {
    match cfg!(target_endian = "little") {
        true => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        false => out.extend(numbers.iter().flat_map(|number| bytemuck::bytes_of(number).iter().rev())),
    }
}

/// The lowest 16 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "drops the upper bits on purpose")]
pub(crate) fn low16(bits: impl Into<u64>) -> u16 {
    bits.into() as u16
}

/// The lowest 32 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "drops the upper bits on purpose")]
pub(crate) fn low32(bits: u64) -> u32 {
    bits as u32
}

/// The lowest 64 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "drops the upper bits on purpose")]
pub(crate) fn low64(bits: u128) -> u64 {
    bits as u64
}

/// The whole part of a float; the nearest `i64` if that is out of range, 0 for NaN.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "saturates on purpose")]
pub(crate) fn whole(float: f64) -> i64 {
    float as i64
}

/// The whole part of a float; the nearest `u64` if that is out of range, 0 for NaN.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates on purpose")]
pub(crate) fn whole_unsigned(float: f64) -> u64 {
    float as u64
}

/// The nearest `f32`.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "rounds on purpose")]
pub(crate) fn single(float: f64) -> f32 {
    float as f32
}
