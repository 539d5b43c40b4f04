"""Means and deviations of a dataset's columns, from the sums in the file next to it."""

import os
from dataclasses import dataclass

from lobset import _lobset
from lobset._lobset import CLASSIC


@dataclass(frozen=True)
class ColumnMoments:
    """Mean and deviation of a column, in the unit of the dataset."""

    count: int
    """Values that are not null."""
    mean: float | None
    """`None` if there are no values, or if a sum has more than 38 digits."""
    deviation: float | None
    """The sample standard deviation (divisor `count` - 1); `None` with fewer than two values."""


class Moments:
    """Means and deviations of a dataset's numeric columns, from the sums in the file next to it.

    Args:
        path: Path or URL of a `*_dataset.parquet`.

    >>> lobset.data.Moments(manifest.datasets["M6AM4"]).fit()["bid_px_00"].mean  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._moments = _lobset.Moments(os.fspath(path))

    @property
    def symbol(self) -> str:
        """The dataset's symbol, as the exchange writes it."""
        return self._moments.symbol

    @property
    def files(self) -> list[str]:
        """The names of the input files that the dataset's rows come from, in order."""
        return self._moments.files

    @property
    def rows(self) -> list[int]:
        """How many of the dataset's rows come from each of the files. The rows are in the order of the files."""
        return [self._moments.rows_of(place) for place in range(len(self.files))]

    def _named(self, rows: list[tuple[int, float | None, float | None]]) -> dict[str, ColumnMoments]:
        return {name: ColumnMoments(*row) for name, row in zip(self._moments.columns, rows, strict=True)}

    def fit(self, target: str = CLASSIC) -> dict[str, ColumnMoments]:
        """Returns the moments of each column over the rows whose split of the target is `fit`."""
        return self._named(self._moments.of_fit(target))

    def of_files(self, start: int, stop: int) -> dict[str, ColumnMoments]:
        """Returns the moments over the rows of files number `start` to `stop` - 1."""
        return self._named(self._moments.of_files(start, stop))

    def before(self, file: int, days: int) -> dict[str, ColumnMoments] | None:
        """Returns the moments over the rows of the `days` files before file number `file`; `None` if there are
        fewer."""
        rows = self._moments.before(file, days)
        return None if rows is None else self._named(rows)
