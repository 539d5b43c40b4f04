//! What the 64 bits of a column's values mean.

use arrow_schema::{DataType, TimeUnit};
use dbn::{UNDEF_PRICE, UNDEF_TIMESTAMP};

/// The time that represents null.
pub(super) const NO_TIME: u64 = UNDEF_TIMESTAMP;
/// The price that represents null.
pub(super) const NO_PRICE: u64 = UNDEF_PRICE.cast_unsigned();
/// The bits of an f64 that represent null; no value is NaN.
pub(super) const NO_FLOAT: u64 = f64::NAN.to_bits();

/// The bits that represent a missing label in its columns: NaN for floats, and an impossible value for narrower types.
pub(crate) const NO_LABEL: u64 = NO_FLOAT;

/// Converts a price in 1e-9 to price units.
pub(super) fn price(bits: u64) -> f64 {
    bits.cast_signed() as f64 / 1e9
}

/// Converts the sum of two prices in 1e-9 to their mean in price units.
pub(super) fn mid(bits: u64) -> f64 {
    bits.cast_signed() as f64 / 2e9
}

/// The kind of a column: how to read its values, which are 64 bits each. A narrower integer is in the lowest bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nanoseconds since the UNIX epoch; [`UNDEF_TIMESTAMP`] is null.
    Time,
    /// A price in 1e-9, written as f64 in price units; [`UNDEF_PRICE`] is null.
    FloatPrice,
    /// A price in 1e-9, written unchanged; [`UNDEF_PRICE`] is null.
    FixedPrice,
    /// The sum of two prices in 1e-9, written as half of it in price units.
    Mid,
    /// An unsigned integer of 8 bits.
    U8,
    /// An unsigned integer of 16 bits.
    U16,
    /// An unsigned integer of 32 bits.
    U32,
    /// An unsigned integer of 64 bits.
    U64,
    /// A signed integer of 32 bits.
    I32,
    /// The bits of an f64; those of [`f64::NAN`] are null.
    Float,
    /// Zero or one.
    Bool,
    /// A Latin-1 character.
    Letter,
    /// The name of the dataset's symbol; in the records of a file, the number of a symbol in a list.
    Symbol,
    /// An index into this list of names.
    Name(&'static [&'static str]),
}

impl Kind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Self::FloatPrice | Self::Mid | Self::Float => DataType::Float64,
            Self::FixedPrice => DataType::Int64,
            Self::U8 => DataType::UInt8,
            Self::U16 => DataType::UInt16,
            Self::U32 => DataType::UInt32,
            Self::U64 => DataType::UInt64,
            Self::I32 => DataType::Int32,
            Self::Bool => DataType::Boolean,
            Self::Letter => DataType::Utf8,
            Self::Symbol | Self::Name(_) => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        }
    }

    /// The bits that represent null.
    pub fn null(self) -> Option<u64> {
        match self {
            Self::Time => Some(NO_TIME),
            Self::FloatPrice | Self::FixedPrice => Some(NO_PRICE),
            Self::Float => Some(NO_FLOAT),
            _ => None,
        }
    }

    /// True for numbers, which a vector of floats can contain.
    pub(crate) fn is_number(self) -> bool {
        let kind = self.data_type();
        kind.is_integer() || kind.is_floating()
    }
}

/// A field's value as the 64 bits of a column.
pub(crate) trait Bits {
    fn bits(self) -> u64;
}

macro_rules! unsigned {
    ($($kind:ty),*) => {
        $(impl Bits for $kind {
            #[inline(always)]
            fn bits(self) -> u64 {
                self.into()
            }
        })*
    };
}

unsigned!(bool, u8, u16, u32, u64);

/// `None` becomes [`NO_LABEL`].
impl Bits for Option<u64> {
    #[inline(always)]
    fn bits(self) -> u64 {
        self.unwrap_or(NO_LABEL)
    }
}

impl Bits for i32 {
    #[inline(always)]
    fn bits(self) -> u64 {
        self.cast_unsigned().into()
    }
}

impl Bits for i64 {
    #[inline(always)]
    fn bits(self) -> u64 {
        self.cast_unsigned()
    }
}

impl Bits for f64 {
    #[inline(always)]
    fn bits(self) -> u64 {
        self.to_bits()
    }
}
