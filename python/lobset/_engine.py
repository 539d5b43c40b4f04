"""The jobs."""

import datetime as dt
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lobset import _lobset, _numbers
from lobset._config import Config
from lobset._explanation import Explanation
from lobset._results import Estimate, Inspection, Manifest, Thresholds, Validation, place

PathLike = str | os.PathLike[str]
_MOST_SEED = _MOST_ROW = 2**64 - 1
_MOST_COUNT = 2**32 - 1
Progress = Callable[[str, int, int], object]
"""Called with the stage (scan, plan, write, validate, cache), the amount done, and the total."""


def _paths(inputs: PathLike | Iterable[PathLike]) -> list[str]:
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    return [os.fspath(path) for path in inputs]


def _path(path: PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)


def _settings(config: Config | Mapping[str, Any] | None) -> str:
    return Config._from(config)._json()


@contextmanager
def watched(progress: bool | Progress) -> Iterator[Progress | None]:
    """Yields the function to report progress to: the caller's, one that shows a bar, or None."""
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield None
        return
    from tqdm.auto import tqdm

    bars: list[Any] = []

    def show(stage: str, done: int, total: int) -> None:
        if not bars or bars[0].desc != stage or bars[0].total != total:
            close()
            unit = "B" if stage in _lobset.STAGES_IN_BYTES else "rows"
            bars.append(tqdm(desc=stage, total=total, unit=unit, unit_scale=True, leave=False))
        bars[0].update(done - bars[0].n)

    def close() -> None:
        while bars:
            bars.pop().close()

    try:
        yield show
    finally:
        close()


def process(
    inputs: PathLike | Iterable[PathLike],
    out: PathLike,
    config: Config | Mapping[str, Any] | None = None,
    *,
    thresholds: PathLike | None = None,
    symbology: PathLike | None = None,
    overwrite: bool = False,
    threads: int = 0,
    progress: bool | Progress = True,
) -> Manifest:
    """Runs the main job: fits the boundaries on the first half, writes a labelled dataset per symbol, and validates it.

    Args:
        inputs: DBN files, folders of them or globs; `s3://`, `gs://` and `az://` URLs of files and folders too.
        out: The folder to create, or its URL. It appears complete and validated, or not at all.
        config: The settings, as a `Config` or as a mapping (`{"nbins": 3}`); defaults if omitted.
        thresholds: A `thresholds.json` to apply instead of fitting; its label settings must match those of `config`.
        symbology: A `symbology.json` for files whose metadata has no mappings; by default, the one beside each file.
        overwrite: Replace an existing dataset folder, if it contains nothing else.
        threads: Number of threads; 0 for one per core.
        progress: A bar per stage (True), no bar (False), or a function to call with (stage, done, total).

    Raises:
        ConfigError, InputError, DataError, OutputError, ValidationError: all of them are LobsetErrors.
        KeyboardInterrupt: on Ctrl-C, after the work has stopped and cleaned up.
    """
    with watched(progress) as listener:
        text = _lobset.process(
            _paths(inputs),
            os.fspath(out),
            _settings(config),
            _path(thresholds),
            _path(symbology),
            _numbers.threads(threads),
            overwrite,
            listener,
        )
    return Manifest._of(place(out), json.loads(text))


def estimate(
    inputs: PathLike | Iterable[PathLike],
    out: PathLike,
    config: Config | Mapping[str, Any] | None = None,
    *,
    thresholds: PathLike | None = None,
    symbology: PathLike | None = None,
    overwrite: bool = False,
    threads: int = 0,
    progress: bool | Progress = True,
) -> Estimate:
    """Says what `process` would read and write with the same arguments, from the metadata of all files and a sample of
    their records. Writes nothing. Raises the same errors as `process`, as far as they show in the settings, the file
    names and the sample."""
    with watched(progress) as listener:
        text = _lobset.estimate(
            _paths(inputs),
            os.fspath(out),
            _settings(config),
            _path(thresholds),
            _path(symbology),
            _numbers.threads(threads),
            overwrite,
            listener,
        )
    return Estimate._of(text)


def build(
    inputs: PathLike | Iterable[PathLike],
    out: PathLike,
    thresholds: PathLike,
    config: Config | Mapping[str, Any] | None = None,
    *,
    symbology: PathLike | None = None,
    overwrite: bool = False,
    threads: int = 0,
    progress: bool | Progress = True,
) -> Manifest:
    """Writes datasets with existing boundaries, without validation. Arguments and errors as in `process`."""
    with watched(progress) as listener:
        text = _lobset.build(
            _paths(inputs),
            os.fspath(out),
            _settings(config),
            os.fspath(thresholds),
            _path(symbology),
            _numbers.threads(threads),
            overwrite,
            listener,
        )
    return Manifest._of(place(out), json.loads(text))


def fit_thresholds(
    inputs: PathLike | Iterable[PathLike],
    out: PathLike,
    config: Config | Mapping[str, Any] | None = None,
    *,
    symbology: PathLike | None = None,
    overwrite: bool = False,
    threads: int = 0,
    progress: bool | Progress = True,
) -> Thresholds:
    """Only fits the boundaries and writes them to the file `out`. Arguments and errors as in `process`."""
    with watched(progress) as listener:
        text = _lobset.fit_thresholds(
            _paths(inputs),
            os.fspath(out),
            _settings(config),
            _path(symbology),
            _numbers.threads(threads),
            overwrite,
            listener,
        )
    return Thresholds._of(text)


def validate(
    folder: PathLike,
    *,
    against: PathLike | Iterable[PathLike] = (),
    seed: int = 1,
    all: bool = False,
    certificate: PathLike | None = None,
    symbology: PathLike | None = None,
    threads: int = 0,
    progress: bool | Progress = True,
) -> Validation:
    """Validates a dataset folder and, with `against`, compares it with the raw files.

    Args:
        folder: The dataset folder, or its URL.
        against: Raw files to compare with: 1,000 random rows, or every row with `all`.
        seed: Determines which rows are compared.
        all: Compare every row with the raw files.
        certificate: A file to record what was validated.
        symbology: As in `process`, for the raw files.
        threads: As in `process`.
        progress: As in `process`.

    Raises:
        ValidationError: with every violation found, including damaged files of the folder.
        InputError: when the folder has no manifest, or the raw files cannot be read.
        OutputError: when `certificate` is in the folder, or is an existing file of another kind.
        ValueError: for `all` without `against`.
    """
    if all and not _paths(against):
        raise ValueError("all=True compares every row with the raw files: name them with against=")
    with watched(progress) as listener:
        text = _lobset.validate(
            os.fspath(folder),
            _paths(against),
            None if all else _numbers.whole("seed", seed, _MOST_SEED),
            _path(certificate),
            _path(symbology),
            _numbers.threads(threads),
            listener,
        )
    return Validation._of(place(folder), text)


def report(folder: PathLike, *, threads: int = 0, progress: bool | Progress = True) -> bool:
    """Regenerates the `report.html` of an output folder with this version of lobset. The manifest records the report's
    hash, so both are replaced in one step, or neither.

    Args:
        folder: The dataset folder; it must be local.
        threads: As in `process`.
        progress: As in `process`.

    Returns:
        Whether the report has changed.

    Raises:
        InputError: when a file of the folder cannot be read.
        ValidationError: when the manifest is not as lobset wrote it.
        OutputError: when the folder contains other files, or cannot be replaced.
    """
    with watched(progress) as listener:
        return _lobset.report(os.fspath(folder), _numbers.threads(threads), listener)


def explain(
    folder: PathLike,
    symbol: str,
    row: int,
    *,
    against: PathLike | Iterable[PathLike],
    symbology: PathLike | None = None,
    threads: int = 0,
    progress: bool | Progress = True,
) -> Explanation:
    """Shows how the labels of one row follow from the raw files, and compares them with the dataset.

    A row without a label, or one that is not in the dataset, is explained too. A dataset that differs from the raw
    files raises no error: see `agrees` and `differences` of the result. `print` shows it step by step.

    Args:
        folder: The dataset folder, or its URL.
        symbol: The symbol, as in the column `symbol`.
        row: The row's number in the symbol's stream, from 0, as in the column `row`.
        against: The raw files that the dataset was made from, all of them. They are read up to the end of the row's
            labels.
        symbology: As in `process`, for the raw files.
        threads: As in `process`.
        progress: As in `process`.

    Raises:
        ConfigError: when `row` is not a whole number of at least 0.
        InputError: when the folder has no manifest, the symbol or the row does not exist, or the raw files cannot be
            read or are not those that the manifest lists.
        ValidationError: when the folder is damaged.
    """
    with watched(progress) as listener:
        values, text = _lobset.explain(
            os.fspath(folder),
            symbol,
            _numbers.whole("row", row, _MOST_ROW),
            _paths(against),
            _path(symbology),
            _numbers.threads(threads),
            listener,
        )
    return Explanation._of(values, text)


def inspect(
    inputs: PathLike | Iterable[PathLike],
    config: Config | Mapping[str, Any] | None = None,
    *,
    symbology: PathLike | None = None,
    threads: int = 0,
    progress: bool | Progress = True,
) -> Inspection:
    """Counts the contents of DBN files, and compares the files with the `manifest.json` of a batch job beside them.

    `symbology` is as in `process`.

    Raises:
        InputError: for a file that cannot be used.
    """
    with watched(progress) as listener:
        text = _lobset.inspect(_paths(inputs), _settings(config), _path(symbology), _numbers.threads(threads), listener)
    return Inspection._of(text)


def simulate(
    folder: PathLike,
    *,
    days: int = 6,
    rows: int = 290_000,
    seed: int = 1,
    currency: str = "AUDUSD",
    options: int = 0,
    start: dt.date = dt.date(2024, 4, 1),
    signal: float = 0.0,
) -> list[Path]:
    """Writes a simulated market, one DBN file per weekday, and returns the files. The same seed gives the same bytes.

    Args:
        folder: Where the files go; created if it is missing.
        days: Number of weekdays, one file each.
        rows: Records per file, of all instruments together.
        seed: Chooses the market.
        currency: Chooses price, tick and the root of the symbols.
        options: Number of options besides the futures; they share nine tenths of the rows evenly.
        start: The first day.
        signal: How much a model can learn, 0 to 1: how far the fair value drifts away from the longer queues, in
            standard deviations of its own noise for each tenth by which the front month's bids exceed its asks. With 0,
            queues say nothing about the next price.
    """
    day = (start.year, start.timetuple().tm_yday)
    count = {"days": days, "rows": rows, "options": options}
    days, rows, options = (_numbers.whole(name, value, _MOST_COUNT) for name, value in count.items())
    return _lobset.simulate(
        os.fspath(folder), days, rows, _numbers.whole("seed", seed, _MOST_SEED), currency, options, day, float(signal)
    )


def read_dbn(path: PathLike, symbol: str | None = None, *, symbology: PathLike | None = None) -> _lobset.RowStream:
    """Reads the records of a DBN file as an Arrow stream, which any consumer of such streams can take without a copy.

    Use it as `pl.DataFrame(read_dbn(path))` or `pa.table(read_dbn(path))`; DuckDB accepts it too. Columns have
    Databento's names, prices are float64 in price units, undefined prices and times are null. Every record is included,
    whatever its quote; `symbol` selects the records of one symbol. A file without mappings uses those of `symbology`,
    or of the `symbology.json` beside it. Reading a truncated or damaged file raises an error.

    Raises:
        InputError: when the file cannot be used, or does not contain the symbol.
    """
    return _lobset.RowStream(os.fspath(path), symbol, None if symbology is None else os.fspath(symbology))
