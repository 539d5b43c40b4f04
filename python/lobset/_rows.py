"""Rows of datasets as vectors, and windows of rows."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from lobset import _lobset, _numbers
from lobset._engine import Progress
from lobset._files import PathLike
from lobset._lobset import CLASSIC
from lobset._samples import Dtype, Samples, SplitName
from lobset._times import Moment

MOST_ROWS = 1_000_000
"""The longest window, in rows."""


class _Vectors(Samples):
    """Samples whose last axis is the columns."""

    @property
    def columns(self) -> list[str]:
        """The columns, in order."""
        return self._samples.columns

    def arrays(self, dtype: Dtype = "float32") -> tuple[tuple[tuple[int, ...], Any], ...]:
        if dtype != "float32":
            raise ValueError(f"rows and windows are float32; {dtype!r} is a type of depth tensors")
        return super().arrays(dtype)


class RowDataset(_Vectors):
    """Rows: item i is (the row's columns as a vector of float32 with NaN for null, the row's class).

    Args:
        path, split, balanced: As in `DepthDataset`.
        columns: Numeric columns, in this order; by default the sixty columns of the book, the `derived` columns and
            `mid_price`.
        stride, symbols, since, until: As in `DepthDataset`.
        target: As in `DepthDataset`. Labels of any target are never part of a vector.
        cache: Where the columns of the whole dataset are kept row by row, so that any sample takes one read: as in
            `DepthDataset`. With the columns of the book, the file takes 60 to 130 bytes per row. Datasets with the same
            columns share it.
        progress: Show a bar while the cache file is built.

    Raises:
        InputError: when a file cannot be read or lacks a column, or when no file has samples.
        OutputError: when there is no room for a cache file, or it cannot be written.
        ConfigError: as `DepthDataset`.
    """

    def __init__(
        self,
        path: PathLike | Iterable[PathLike],
        split: SplitName = "fit",
        balanced: bool = True,
        columns: Sequence[str] | None = None,
        stride: int = 1,
        target: str | Sequence[str] = CLASSIC,
        symbols: Sequence[str] | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cache: Literal["auto"] | PathLike | None = "auto",
        progress: bool = True,
    ) -> None:
        super().__init__(locals())

    def _open(self, built: list[bytes] | None, progress: Progress | None) -> _lobset.Samples:
        columns = self._arguments["columns"]
        return _lobset.Samples.rows(self._paths, self._which(), columns, self._cache(), built, progress)


class WindowDataset(_Vectors):
    """Windows: item i is (the last `length` rows that end at a row, the class of that row), as float32 of shape
    (length, columns), the oldest row first. Windows never cross a break.

    A level that the book does not have is NaN. Models cannot learn from NaN, so choose fewer `levels` if books are
    thin, or replace it, for example with `torch.nan_to_num`: after normalisation, 0 is the mean.

    Args:
        path, split, balanced: As in `DepthDataset`.
        length: Rows of a window.
        columns: Numeric columns, in this order, such as those of `derived`. By default ask price, ask size, bid price and
            bid size of the best level, then of the next: the order of FI-2010.
        normalise: How values are normalised, by means and sample deviations from the file of moments next to the
            dataset, each dataset by its own:

            - `"group"`: all prices of levels by one mean and deviation over the `fit` rows of the target, all sizes of
              levels by another, so that levels keep their order; any other column by its own.
            - `"column"`: each column by its own.
            - `"days:5"`: each column by its own over the rows of the five input files before that of the window's last row;
              any number works. Rows with fewer files before them are not samples.
            - `"none"`: values are unchanged. With `price_type = "fixed"`, prices are in 1e-9.

            A constant column becomes 0. One with fewer than two values in the rows used for mean and deviation becomes
            NaN.
        levels: Levels of the default columns, 1 to 10.
        channels: Give windows the shape (1, length, columns), as convolutions such as DeepLOB's take them.
        stride: Distance in rows between neighbouring samples of an unbroken stretch, counted from its first whole window.
        target, symbols, since, until: As in `DepthDataset`. With several targets, normalisation is by the `fit` rows of the
            first.
        cache: As in `RowDataset`. With the default columns, the file takes 60 to 80 bytes per row.
        progress: Show a bar while the cache file is built.

    Raises:
        InputError: when a file or its file of moments cannot be read, lacks a column, or was written with
            `drop_unbalanced`, and when no file has samples.
        OutputError: when there is no room for a cache file, or it cannot be written.
        ConfigError: as `DepthDataset`.
    """

    def __init__(
        self,
        path: PathLike | Iterable[PathLike],
        split: SplitName = "fit",
        balanced: bool = True,
        length: int = 100,
        columns: Sequence[str] | None = None,
        normalise: str = "group",
        levels: int = 10,
        channels: bool = False,
        stride: int = 1,
        target: str | Sequence[str] = CLASSIC,
        symbols: Sequence[str] | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        cache: Literal["auto"] | PathLike | None = "auto",
        progress: bool = True,
    ) -> None:
        _numbers.whole("length", length, MOST_ROWS, 1)
        _numbers.whole("levels", levels, 10, 1)
        super().__init__(locals())

    def _open(self, built: list[bytes] | None, progress: Progress | None) -> _lobset.Samples:
        a = self._arguments
        window = (a["columns"], a["levels"], a["length"], a["normalise"])
        return _lobset.Samples.windows(self._paths, self._which(), *window, self._cache(), built, progress)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (length, columns), or (1, length, columns) with `channels`."""
        return (1, *super().shape) if self._arguments["channels"] else super().shape
