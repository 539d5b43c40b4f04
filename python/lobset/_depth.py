"""Depth tensors of tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lobset import _lobset
from lobset._config import Config, Feature
from lobset._errors import ConfigError
from lobset._settings import default


class DepthProcessor:
    """Computes depth tensors from `samples` rows of one symbol: price ladder by time, one channel per feature.

    The ladder has 402 steps of `micro_pip_size` around the last row's mid price. Row 0 is the highest price, row 401
    the lowest. In each time bin, asks accumulate from the best ask upward and bids from the best bid downward, both
    over the whole ladder. A channel is asks minus bids over its largest absolute value, so positive cells are ask
    depth, negative ones bid depth, and the line where they meet is the path of the price.

    Args:
        features: Channels, always in the order volume (median of sizes), variance (their sample variance), trade_counts
            (sum of counts).
        samples: Rows of a window, a multiple of `ticks_per_bin`.
        ticks_per_bin: Rows of a time bin.
        micro_pip_size: Price step of the ladder, in price units. For futures on currencies quoted in dollars, use a
            fifth of their tick. `DepthDataset.micro_pip_sizes` has the steps that fit a dataset.

    Raises:
        ConfigError: for settings out of range.
    """

    def __init__(
        self,
        features: Sequence[Feature] = default("features"),
        samples: int = default("samples"),
        ticks_per_bin: int = default("ticks_per_bin"),
        micro_pip_size: float = 0.00001,
    ) -> None:
        self._arguments = (tuple(features), samples, ticks_per_bin, micro_pip_size)
        self._processor = _lobset.DepthProcessor(list(features), samples, ticks_per_bin, micro_pip_size)
        self._columns = self._processor.columns
        self._shape = tuple(self._processor.output_shape)

    @classmethod
    def from_config(cls, config: Config | Mapping[str, Any], micro_pip_size: float | None = None) -> "DepthProcessor":
        """Creates a processor for the tensors that a dataset's settings describe.

        With `micro_pip_size = "auto"` in the settings, each dataset has its own step. Pass it: it is in
        `DepthDataset.micro_pip_sizes`.

        Raises:
            ConfigError: for settings out of range, or if the step is missing.
        """
        config = Config._from(config)
        step = config.micro_pip_size if micro_pip_size is None else micro_pip_size
        if isinstance(step, str):
            problem = 'micro_pip_size: is "auto", so each dataset has its own; pass one of DepthDataset.micro_pip_sizes'
            raise ConfigError(problem, problems=[problem])
        return cls(config.features, config.samples, config.ticks_per_bin, step)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(402, T) for one feature, (n, 402, T) for more; T = samples / ticks_per_bin."""
        return self._shape

    def process(self, rows: Any, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Computes the tensor of a table of exactly `samples` rows.

        The table can come from Polars, PyArrow, DuckDB or any other source of an Arrow stream.

        The table needs the columns `bid_px_00` … `ask_px_09` (float64 in price units or int64 in 1e-9, null for a
        missing level) and, if the features need them, `bid_sz_00` … and `bid_ct_00` …; other columns are ignored.

        An array given as `out` is filled and returned: float32 of `output_shape`, contiguous in C order. When many
        tensors are computed, this saves allocating memory for each, which can cost as much as the tensor itself.

        Raises:
            ValueError: for a wrong number of rows, a missing column, a last row without best bid or ask, or an `out`
                that has the wrong shape or order, or cannot be written to.
            TypeError: when `rows` provides no Arrow stream, or `out` is not an array of float32.
        """
        if out is None:
            out = np.empty(self._shape, np.float32)
        return self._processor.process(self._select(rows), out)

    def _select(self, rows: Any) -> Any:
        """Selects the columns needed if the table can select: passing a dataset's other columns costs half of the
        tensor's time. Returns a table that lacks a column unchanged; the engine reports which one is missing."""
        library = type(rows).__module__.partition(".")[0]
        try:
            if library == "polars" and hasattr(rows, "__arrow_c_stream__") and hasattr(rows, "width"):
                # Also index a range of rows: given only a list of names, Polars first tries it as a list of rows.
                return rows[:, self._columns] if rows.width > len(self._columns) else rows
            if library == "pyarrow" and hasattr(rows, "select"):
                return rows.select(self._columns)
        except Exception:
            names = rows.columns if library == "polars" else rows.schema.names
            if set(self._columns).issubset(names):
                raise
        return rows

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), self._arguments)

    def __repr__(self) -> str:
        features, samples, ticks, pip = self._arguments
        return (
            f"DepthProcessor(features={features!r}, samples={samples}, ticks_per_bin={ticks}, micro_pip_size={pip!r})"
        )
