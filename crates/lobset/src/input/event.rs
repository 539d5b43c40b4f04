//! The fields of a record other than its book.

use dbn::UNDEF_TIMESTAMP;

/// The event of an MBP-10 record. Times are nanoseconds since the UNIX epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// When Databento received it.
    pub ts_recv: u64,
    /// When the venue's matching engine produced it; [`dbn::UNDEF_TIMESTAMP`] if the venue does not provide this.
    pub ts_event: u64,
    /// When Databento's live gateway sent it; [`dbn::UNDEF_TIMESTAMP`] in files without gateway stamps.
    pub ts_out: u64,
    /// The order's price in 1e-9; [`dbn::UNDEF_PRICE`] for an event without one.
    pub price: i64,
    /// Nanoseconds between the venue sending it and `ts_recv`.
    pub ts_in_delta: i32,
    /// The venue's sequence number.
    pub sequence: u32,
    /// The order's quantity.
    pub size: u32,
    /// The instrument id, which is only meaningful within its day.
    pub instrument_id: u32,
    /// The publisher: a dataset and a venue.
    pub publisher_id: u16,
    /// Event action, an ASCII letter.
    pub action: u8,
    /// Side of the event, an ASCII letter.
    pub side: u8,
    /// Bit flags.
    pub flags: u8,
    /// Book level of the event.
    pub depth: u8,
}

impl Default for Event {
    /// All zero, without a gateway stamp.
    fn default() -> Self {
        Self {
            ts_recv: 0,
            ts_event: 0,
            ts_out: UNDEF_TIMESTAMP,
            price: 0,
            ts_in_delta: 0,
            sequence: 0,
            size: 0,
            instrument_id: 0,
            publisher_id: 0,
            action: 0,
            side: 0,
            flags: 0,
            depth: 0,
        }
    }
}
