# Written from the table of settings in crates/lobset/src/config.rs, which a test of the library compares it with:
# LOBSET_UPDATE=1 cargo test --workspace --locked --test settings

import datetime as dt
from collections.abc import Sequence
from typing import Literal

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
        samples: int | None = None,
        ticks_per_bin: int | None = None,
        micro_pip_size: float | None = None,
        nbins: int | None = None,
        sample_fraction: float | None = None,
        threshold_scope: Literal["global", "symbol"] | None = None,
        force_uniform: bool | None = None,
        drop_unbalanced: bool | None = None,
        min_symbol_samples: int | None = None,
        keep_intermediate: bool | None = None,
        fit_until: str | dt.date | None = None,
        keep_crossed: bool | None = None,
        price_range: tuple[float, float] | None = None,
        unmapped: Literal["error", "drop"] | None = None,
        publishers: Sequence[int] | None = None,
        aliases: Literal["error", "keep"] | None = None,
        max_gap: str | dt.timedelta | None = None,
        strict: bool | None = None,
        price_type: Literal["float", "fixed"] | None = None,
        columns: Literal["all", "book"] | None = None,
        derived: Sequence[Literal["spread", "weighted_mid", "imbalance", "ofi"]] | None = None,
        compression: Literal["zstd", "snappy", "lz4", "none"] | None = None,
    ) -> None: ...
    @property
    def currency(self) -> str:
        """Tag in the file names, and the preset that fills the other defaults."""
    @property
    def features(self) -> tuple[Literal["volume", "variance", "trade_counts"], ...]:
        """Channels of the depth tensors made from the dataset: volume (the median of sizes), variance (the sample variance of sizes), trade_counts (the sum of order counts)."""
    @property
    def lookback_rows(self) -> int:
        """L, rows of the past window; 1 to 1073741824."""
    @property
    def lookforward_input(self) -> int:
        """F, rows of the future window; 1 to 1073741824."""
    @property
    def lookforward_offset(self) -> int:
        """O, rows skipped between the row and the future window; 0 to 1073741824."""
    @property
    def samples(self) -> int:
        """Rows in one depth tensor's window, a multiple of `ticks_per_bin`."""
    @property
    def ticks_per_bin(self) -> int:
        """Rows per time bin of a depth tensor."""
    @property
    def micro_pip_size(self) -> float:
        """Price step of a depth tensor's ladder, in price units."""
    @property
    def nbins(self) -> int:
        """Classes; 2 to 255."""
    @property
    def sample_fraction(self) -> float:
        """Share of the fit half's files that the boundaries are fitted on; above 0, at most 1."""
    @property
    def threshold_scope(self) -> Literal["global", "symbol"]:
        """Whose movements a set of boundaries is fitted on: global (one set of boundaries for all symbols), symbol (one set for each symbol)."""
    @property
    def force_uniform(self) -> bool:
        """Mark an exactly uniform subset in the column `balanced`."""
    @property
    def drop_unbalanced(self) -> bool:
        """Write the marked rows alone."""
    @property
    def min_symbol_samples(self) -> int:
        """Labelled rows that a symbol needs to get a dataset; at least 1."""
    @property
    def keep_intermediate(self) -> bool:
        """Keep the work folder."""
    @property
    def fit_until(self) -> str | None:
        """The boundary time T, a date (2024-10-01) or an RFC 3339 time; by default the start of the file in the middle. Held as RFC 3339 text."""
    @property
    def keep_crossed(self) -> bool:
        """Keep quotes whose best bid is above the best ask."""
    @property
    def price_range(self) -> tuple[float, float] | None:
        """Drop quotes outside these two prices."""
    @property
    def unmapped(self) -> Literal["error", "drop"]:
        """What happens to an instrument that the file's mappings do not name: error (the file is refused), drop (its records are dropped and counted)."""
    @property
    def publishers(self) -> tuple[int, ...] | None:
        """Keep the records of these publishers alone, by their ids (39,40); by default of all."""
    @property
    def aliases(self) -> Literal["error", "keep"]:
        """What happens when one instrument stands under two symbols at the same time: error (the input is refused), keep (each symbol gets its stream, with a warning that its rows count twice)."""
    @property
    def max_gap(self) -> int | None:
        """A pause in `ts_recv` longer than this (15m, 2h) breaks a symbol's stream: no window reaches across. Held in nanoseconds."""
    @property
    def strict(self) -> bool:
        """Refuse files with impossible values (unknown actions and sides, levels out of order), which are counted and warned about otherwise."""
    @property
    def price_type(self) -> Literal["float", "fixed"]:
        """How prices are written: float (64-bit floats in price units), fixed (64-bit integers in 1e-9 of a price unit, as in the DBN record)."""
    @property
    def columns(self) -> Literal["all", "book"]:
        """Which of a record's fields are written: all (every field), book (`ts_event`, the ten levels and the columns of labels)."""
    @property
    def derived(self) -> tuple[Literal["spread", "weighted_mid", "imbalance", "ofi"], ...]:
        """Columns computed from the book of a row and of the row before, by their names; none by default: spread (best ask - best bid), weighted_mid (the best prices, each weighted by the size on the other side), imbalance (bid size minus ask size, divided by their sum, of each level), ofi (order flow imbalance of each level, since the row before)."""
    @property
    def compression(self) -> Literal["zstd", "snappy", "lz4", "none"]:
        """The codec of the Parquet pages: zstd (Zstandard, level 1), snappy (Snappy), lz4 (LZ4, raw blocks), none (pages as they are)."""
