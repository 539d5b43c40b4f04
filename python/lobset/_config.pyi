# Written from the table of settings in crates/lobset/src/config.rs, which a test of the library compares it with:
# LOBSET_UPDATE=1 cargo test --workspace --locked --test settings

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lobset._settings import Settings

__all__ = ["Config", "Feature"]

Feature = Literal["volume", "variance", "trade_counts"]

class Config(Settings):
    def __init__(
        self,
        *,
        currency: str | None = None,
        features: Sequence[Literal["volume", "variance", "trade_counts"]] | None = None,
        lookback_rows: int | None = None,
        lookforward_input: int | None = None,
        lookforward_offset: int | None = None,
        include_row: bool | None = None,
        samples: int | None = None,
        ticks_per_bin: int | None = None,
        micro_pip_size: float | Literal["auto"] | None = None,
        nbins: int | None = None,
        classes: Literal["quantiles", "share", "spread", "fixed"] | None = None,
        stationary: float | None = None,
        multiple: float | None = None,
        boundaries: Sequence[float] | None = None,
        sample_fraction: float | None = None,
        threshold_scope: Literal["global", "symbol"] | None = None,
        targets: Sequence[str | Mapping[str, Any]] | None = None,
        label_end: bool | None = None,
        force_uniform: bool | None = None,
        drop_unbalanced: bool | None = None,
        min_symbol_samples: int | None = None,
        keep_intermediate: bool | None = None,
        fit_until: str | dt.date | None = None,
        rows: Literal["records", "events"] | None = None,
        bad_book: Literal["drop", "keep"] | None = None,
        keep_crossed: bool | None = None,
        price_range: tuple[float, float] | None = None,
        unmapped: Literal["error", "drop"] | None = None,
        publishers: Sequence[int] | None = None,
        symbols: Sequence[str] | None = None,
        aliases: Literal["error", "keep"] | None = None,
        max_gap: str | dt.timedelta | None = None,
        sessions: Sequence[str] | None = None,
        session_breaks: bool | None = None,
        strict: bool | None = None,
        price_type: Literal["float", "fixed"] | None = None,
        columns: Literal["all", "book"] | None = None,
        derived: Sequence[Literal["spread", "weighted_mid", "imbalance", "ofi"]] | None = None,
        compression: Literal["zstd", "snappy", "lz4", "none"] | None = None,
    ) -> None: ...
    @property
    def currency(self) -> str | None:
        """Tag used in file names; also selects the preset that provides the other defaults. Inferred from the data if not set."""
    @property
    def features(self) -> tuple[Literal["volume", "variance", "trade_counts"], ...]:
        """Channels of depth tensors made from the dataset: volume (the median of sizes), variance (the sample variance of sizes), trade_counts (the sum of order counts)."""
    @property
    def lookback_rows(self) -> int:
        """Length L of the past window, in rows; 1 to 1073741824."""
    @property
    def lookforward_input(self) -> int:
        """Length F of the future window, in rows; 1 to 1073741824."""
    @property
    def lookforward_offset(self) -> int:
        """Rows O skipped between a row and its future window; 0 to 1073741824."""
    @property
    def include_row(self) -> bool:
        """End the past window with the row itself, not with the row before it."""
    @property
    def samples(self) -> int:
        """Rows in the window of a depth tensor; a multiple of `ticks_per_bin`."""
    @property
    def ticks_per_bin(self) -> int:
        """Rows per time bin of a depth tensor."""
    @property
    def micro_pip_size(self) -> float | Literal["auto"]:
        """Price step of a depth tensor's ladder, in price units; auto chooses one for each symbol, from its tick and its book."""
    @property
    def nbins(self) -> int:
        """Classes; 2 to 255."""
    @property
    def classes(self) -> Literal["quantiles", "share", "spread", "fixed"]:
        """How movements become classes: quantiles (equally many fit rows in each of `nbins` classes), share (down, stationary, up: the share `stationary` of the fit rows is stationary), spread (down, stationary, up: movements of at most `multiple` mean relative spreads are stationary), fixed (classes between the given `boundaries`)."""
    @property
    def stationary(self) -> float:
        """Share of stationary fit rows, with `classes = "share"`; above 0 and below 1."""
    @property
    def multiple(self) -> float:
        """Largest stationary movement in mean relative spreads, with `classes = "spread"`; above 0."""
    @property
    def boundaries(self) -> tuple[float, ...] | None:
        """Boundaries of the classes, ascending, with `classes = "fixed"`."""
    @property
    def sample_fraction(self) -> float:
        """Fraction of the fit half's files used to fit the boundaries; above 0, at most 1."""
    @property
    def threshold_scope(self) -> Literal["global", "symbol"]:
        """Whether symbols share one set of boundaries: global (one set of boundaries for all symbols), symbol (one set for each symbol)."""
    @property
    def targets(self) -> tuple[dict[str, Any], ...]:
        """Add a target, with its own columns: NAME=KIND,key=value,… (see docs/how-to/targets.md)."""
    @property
    def label_end(self) -> bool:
        """Write the last row that each label depends on, in the column `label_end`."""
    @property
    def force_uniform(self) -> bool:
        """Mark an exactly uniform subset in the column `balanced`."""
    @property
    def drop_unbalanced(self) -> bool:
        """Write only the marked rows."""
    @property
    def min_symbol_samples(self) -> int:
        """Labelled rows that a symbol must have to get a dataset; at least 1."""
    @property
    def keep_intermediate(self) -> bool:
        """Keep the work folder after the run."""
    @property
    def fit_until(self) -> str | None:
        """Boundary time T: a date (2024-10-01) or an RFC 3339 time; by default, the start of the middle file. Returned as RFC 3339 text."""
    @property
    def rows(self) -> Literal["records", "events"]:
        """Which of a stream's records are its rows: records (every record with a usable quote), events (of these, the last of each event of the venue: those under `F_LAST`)."""
    @property
    def bad_book(self) -> Literal["drop", "keep"]:
        """What happens to a record under `F_MAYBE_BAD_BOOK`: drop (it is dropped and counted, and no window spans it), keep (it is a row like any other)."""
    @property
    def keep_crossed(self) -> bool:
        """Keep quotes whose best bid is above the best ask."""
    @property
    def price_range(self) -> tuple[float, float] | None:
        """Drop quotes with a price outside this range."""
    @property
    def unmapped(self) -> Literal["error", "drop"]:
        """What to do with an instrument that has no symbol in the file's mappings: error (refuse the file), drop (drop its records and count them)."""
    @property
    def publishers(self) -> tuple[int, ...] | None:
        """Keep only records of these publisher IDs (39,40); by default, of all publishers."""
    @property
    def symbols(self) -> tuple[str, ...] | None:
        """Process only these symbols; by default, all."""
    @property
    def aliases(self) -> Literal["error", "keep"]:
        """What to do when an instrument has two symbols at the same time: error (refuse the input), keep (keep both symbols, and warn that the rows count twice)."""
    @property
    def max_gap(self) -> str | None:
        """Break a symbol's stream at every pause in `ts_recv` longer than this (15m, 2h); no window spans a break. Returned as text (15m)."""
    @property
    def sessions(self) -> tuple[str, ...] | None:
        """Write only rows within these hours, in a time zone (08:30-15:00 America/Chicago mon-fri, …); windows still span all rows."""
    @property
    def session_breaks(self) -> bool:
        """Break a symbol's stream where a session begins or ends: no window reaches across."""
    @property
    def strict(self) -> bool:
        """Refuse files with impossible values (unknown actions or sides, levels out of order); by default, count them and warn."""
    @property
    def price_type(self) -> Literal["float", "fixed"]:
        """How prices are written: float (64-bit floats in price units), fixed (64-bit integers in 1e-9 of a price unit, as in the DBN record)."""
    @property
    def columns(self) -> Literal["all", "book"]:
        """Which columns to write: all (all columns), book (`ts_event`, the ten levels and the label columns)."""
    @property
    def derived(self) -> tuple[Literal["spread", "weighted_mid", "imbalance", "ofi"], ...]:
        """Columns computed from the book of a row and of the row before, by their names; none by default: spread (best ask - best bid), weighted_mid (the best prices, each weighted by the size on the other side), imbalance (bid size minus ask size, divided by their sum, of each level), ofi (order flow imbalance of each level, since the row before)."""
    @property
    def compression(self) -> Literal["zstd", "snappy", "lz4", "none"]:
        """The codec of the Parquet pages: zstd (Zstandard, level 1), snappy (Snappy), lz4 (LZ4, raw blocks), none (uncompressed)."""
