"""Results: small typed views of the library's JSON. To compare two results, compare their `json`."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lobset import _lobset
from lobset._config import Config


def _time(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "ns")


def _gaps(gaps: list[dict[str, str]]) -> list[tuple[np.datetime64, np.datetime64]]:
    return [(_time(gap["from"]), _time(gap["to"])) for gap in gaps]


def place(path: str | os.PathLike[str]) -> Path | str:
    """Returns a local path as a `Path`, and the URL of an object store as text."""
    text = os.fspath(path)
    return text.rstrip("/") if text.startswith(("s3://", "gs://", "az://")) else Path(text.removeprefix("file://"))


def _join(folder: Path | str, name: str) -> Path | str:
    return f"{folder}/{name}" if isinstance(folder, str) else folder / name


@dataclass(frozen=True, eq=False)
class Fit:
    """One set of boundaries and the movements behind it."""

    boundaries: NDArray[np.float64] = field(repr=False)
    """Increasing movements, one fewer than there are classes; by default the quantiles k / nbins."""
    fit_rows: int
    embargo_rows: int
    mean: float
    std: float
    min: float
    max: float
    median: float

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Self:
        known = {name: values[name] for name in cls.__dataclass_fields__ if name != "boundaries"}
        return cls(boundaries=np.array(values["boundaries"], dtype=np.float64), **known)


@dataclass(frozen=True, eq=False)
class TargetFits:
    """The boundaries of one target."""

    fit: Fit | None
    """The boundaries of all symbols, with `threshold_scope = "global"`."""
    symbols: dict[str, Fit]
    """The boundaries by symbol, with `threshold_scope = "symbol"`."""

    @property
    def boundaries(self) -> NDArray[np.float64]:
        """The boundaries of all symbols.

        Raises:
            ValueError: when each symbol has its own; see `symbols` then.
        """
        if self.fit is None:
            raise ValueError('threshold_scope = "symbol": each symbol has boundaries of its own, in .symbols')
        return self.fit.boundaries

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Self:
        return cls(
            fit=Fit._of(values) if "boundaries" in values else None,
            symbols={name: Fit._of(fit) for name, fit in values.get("symbols", {}).items()},
        )


@dataclass(frozen=True, eq=False)
class Thresholds:
    """The contents of `thresholds.json`."""

    version: str
    fit_until: np.datetime64
    """The boundary time T, UTC."""
    targets: dict[str, TargetFits]
    """The boundaries of each target, by its name. The first is `classic`, the target of the flat settings."""
    json: dict[str, Any] = field(repr=False)
    """Everything, as in the file."""

    @property
    def fit(self) -> Fit | None:
        """The boundaries of the classic target for all symbols, with `threshold_scope = "global"`."""
        return self.targets[_lobset.CLASSIC].fit

    @property
    def symbols(self) -> dict[str, Fit]:
        """The boundaries of the classic target by symbol, with `threshold_scope = "symbol"`."""
        return self.targets[_lobset.CLASSIC].symbols

    @property
    def boundaries(self) -> NDArray[np.float64]:
        """The boundaries of the classic target for all symbols.

        Raises:
            ValueError: when each symbol has its own; see `symbols` then.
        """
        return self.targets[_lobset.CLASSIC].boundaries

    @classmethod
    def _of(cls, text: str) -> Self:
        values = json.loads(text)
        targets = {_lobset.CLASSIC: values, **values.get("targets", {})}
        return cls(
            version=values["version"],
            fit_until=_time(values["fit_until"]),
            targets={name: TargetFits._of(fits) for name, fits in targets.items()},
            json=values,
        )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a `thresholds.json`.

        Raises:
            InputError: when it cannot be read, or is not a `thresholds.json`.
        """
        return cls._of(_lobset.thresholds(os.fspath(path)))


@dataclass(frozen=True, eq=False)
class Split:
    """The labels of one target in a split of a dataset."""

    rows: int
    classes: NDArray[np.int64] = field(repr=False)
    """Rows of each class."""
    balanced: NDArray[np.int64] = field(repr=False)
    """Marked rows of each class."""
    short: list[int]
    """Classes with fewer rows than the number marked in the other classes."""
    majority_accuracy: float | None
    """Accuracy of always predicting the class of most `fit` rows, 0 to 1; None if this split or `fit` has no rows."""
    known_accuracy: float | None
    """Accuracy of predicting from what is known at the row, 0 to 1; None if the split has no rows."""

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Self:
        return cls(
            rows=values["rows"],
            classes=np.array(values["classes"], dtype=np.int64),
            balanced=np.array(values["balanced"], dtype=np.int64),
            short=values["short"],
            majority_accuracy=values["majority_accuracy"],
            known_accuracy=values["known_accuracy"],
        )


@dataclass(frozen=True, eq=False)
class TargetCounts:
    """The labels of one target for one symbol."""

    labelled_rows: int
    undefined_rows: int
    """Rows whose windows are complete, but whose movement is not defined."""
    splits: dict[str, Split] = field(repr=False)
    """`fit`, `embargo` and `holdout`, if the dataset has labels of the target."""
    known_share: float | None
    """How much of the movement's variance over the `fit` rows is known at the row, 0 to 1."""
    reason: str | None
    """Why the dataset has no labels of the target."""

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Self:
        splits = values["splits"] or {}
        return cls(
            labelled_rows=values["labelled_rows"],
            undefined_rows=values["undefined_rows"],
            splits={name: Split._of(split) for name, split in splits.items()},
            known_share=values["known_share"],
            reason=values["reason"],
        )


@dataclass(frozen=True)
class Ladder:
    """The price ladder of a symbol's depth tensors."""

    tick: float
    """The greatest common divisor of the symbol's prices, in price units."""
    micro_pip_size: float
    """The price step, in price units: that of the settings, or with `auto` a round number of ticks."""
    coverage: float | None
    """The share of the book that is on the ladder, 0 to 1, in windows spread evenly over the fit half."""


@dataclass(frozen=True, eq=False)
class Symbol:
    """A symbol of the input."""

    symbol: str
    """The symbol's name, followed by `.publisher` if several publishers have the symbol."""
    publisher_id: int
    rows: int
    gaps: list[tuple[np.datetime64, np.datetime64]] = field(repr=False)
    """The longest gaps in `ts_recv`, longest first, at most three: the start and end of each."""
    path: Path | str | None
    """The symbol's dataset, if it has one; a string if it is in an object store."""
    reason: str | None
    """Why the symbol has no dataset."""
    targets: dict[str, TargetCounts] = field(repr=False)
    """The labels of each target, by its name. The first is `classic`, the target of the flat settings."""
    bytes: int = 0
    sha256: str | None = field(default=None, repr=False)
    ladder: Ladder | None = field(default=None, repr=False)
    """The price ladder of its depth tensors, if the symbol has a dataset."""
    moments: Path | str | None = field(default=None, repr=False)
    """The sums of the dataset's columns by input file, which `lobset.data.Moments` reads; a string if it is in an
    object store."""

    @property
    def labelled_rows(self) -> int:
        """Rows with a label of the classic target."""
        return self.targets[_lobset.CLASSIC].labelled_rows

    @property
    def splits(self) -> dict[str, Split]:
        """The labels of the classic target: `fit`, `embargo` and `holdout`, if the symbol has a dataset."""
        return self.targets[_lobset.CLASSIC].splits

    @classmethod
    def _of(cls, folder: Path | str, values: dict[str, Any]) -> Self:
        known = {name: values[name] for name in ("symbol", "publisher_id", "rows", "reason")}
        known["gaps"] = _gaps(values["gaps"])
        known["targets"] = {target["target"]: TargetCounts._of(target) for target in values["targets"]}
        dataset = values["dataset"]
        if dataset is None:
            return cls(path=None, **known)
        return cls(
            path=_join(folder, dataset["file"]),
            bytes=dataset["bytes"],
            sha256=dataset["sha256"],
            ladder=Ladder(**dataset["ladder"]),
            moments=_join(folder, dataset["moments"]["file"]),
            **known,
        )


@dataclass(frozen=True, eq=False)
class Manifest:
    """The contents of `manifest.json`."""

    folder: Path | str
    version: str
    config: Config
    symbols: list[Symbol]
    """Every symbol, by name."""
    delivery: dict[str, Any]
    """Whether the inputs are complete as Databento delivered them, and what was left out: `jobs`, `checked`,
    `unchecked`, `unlisted`, `hidden`, `days`."""
    warnings: list[str]
    timings: dict[str, float] = field(repr=False)
    json: dict[str, Any] = field(repr=False)
    """Everything, as in the file."""

    @property
    def datasets(self) -> dict[str, Path | str]:
        """The datasets by symbol."""
        return {symbol.symbol: symbol.path for symbol in self.symbols if symbol.path is not None}

    @classmethod
    def _of(cls, folder: Path | str, values: dict[str, Any]) -> Self:
        return cls(
            folder=folder,
            version=values["version"],
            config=Config._of(values["config"]),
            symbols=[Symbol._of(folder, symbol) for symbol in values["symbols"]],
            delivery=values["delivery"],
            warnings=values["warnings"],
            timings=values["timings"],
            json=values,
        )

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Self:
        """Reads the manifest of an output folder."""
        return cls._of(place(folder), json.loads(_lobset.manifest(os.fspath(folder))))


@dataclass(frozen=True, eq=False)
class Validation:
    """The result of `validate`."""

    datasets: int
    rows: int
    checks: list[str]
    """The checks that every dataset passed."""
    not_checked: list[str]
    """What was not checked, and why."""
    recomputed: int
    """Rows whose `price_movement` was recomputed from the mid prices in the files."""
    rows_against: int | None
    """Rows compared with the raw files, if requested."""
    seconds: float
    manifest: Manifest = field(repr=False)

    @classmethod
    def _of(cls, folder: Path | str, text: str) -> Self:
        values = json.loads(text)
        against = values["against"]
        return cls(
            **values["proved"],
            recomputed=values["recomputed"],
            rows_against=None if against is None else against["rows"],
            seconds=values["seconds"],
            manifest=Manifest._of(folder, values["manifest"]),
        )


@dataclass(frozen=True)
class Estimate:
    """What `process` would read and write. Sizes are usually right to a quarter, the time to a factor of two."""

    currency: str
    """The tag of the file names."""
    files: list[dict[str, Any]] = field(repr=False)
    """Every file, in order of time: name, bytes, first_ts."""
    bytes: int
    """Size of all files."""
    delivery: list[str] = field(repr=False)
    """Sentences about the files' completeness, and about what was skipped."""
    fit_until: np.datetime64 | None
    """The boundary time T, UTC; None if only a run can find it, in the middle of a single file."""
    records: int
    """Estimated number of records in all files. The numbers below are estimates too."""
    rows: int
    symbols: dict[str, int] = field(repr=False)
    """Labelled rows of each symbol in the sample, the largest symbol first. Symbols without records in the sample are
    missing."""
    min_symbol_samples: int
    """Labelled rows that a symbol needs to get a dataset."""
    datasets: int
    dataset_bytes: int
    work_bytes: int
    """Size of the work files. They are next to the output until the run ends."""
    free_bytes: int | None
    """Free space there; None for an object store."""
    threads: int
    seconds: float
    sampled_records: int

    @classmethod
    def _of(cls, text: str) -> Self:
        values = json.loads(text)
        until = values.pop("fit_until")
        symbols = {symbol["symbol"]: symbol["labelled_rows"] for symbol in values.pop("symbols")}
        return cls(fit_until=None if until is None else _time(until), symbols=symbols, **values)


@dataclass(frozen=True)
class InspectedSymbol:
    """The contents of files for one symbol."""

    symbol: str
    """The symbol's name, followed by `.publisher` if several publishers have the symbol."""
    publisher_id: int
    rows: int
    files: int
    first_ts: np.datetime64
    last_ts: np.datetime64
    steps_back: int
    """Number of times that `ts_recv` decreases within a file."""
    gaps: list[tuple[np.datetime64, np.datetime64]] = field(repr=False)
    """The longest gaps in `ts_recv`, longest first, at most three: the start and end of each."""


@dataclass(frozen=True)
class Inspection:
    """The contents of files, as counted by `inspect`."""

    files: list[dict[str, Any]] = field(repr=False)
    """Every file, in order of time: name, bytes, sha256, records, rows, drops and so on."""
    symbols: list[InspectedSymbol]
    drops: dict[str, int]
    """Records that do not become rows, by reason."""
    flags: dict[str, int]
    """Records under each of Databento's flags, by the flag's name; `other` for flags without a name."""
    delivery: dict[str, Any] = field(repr=False)
    """As in `Manifest`."""
    warnings: list[str]
    currency: str
    """The tag of the file names that `process` would write; empty if none follows from the files."""
    refusals: list[str]
    """Why `process` would refuse the files with these settings, as far as can be seen by reading them."""

    @property
    def records(self) -> int:
        """Number of records in all files."""
        return sum(file["records"] for file in self.files)

    @classmethod
    def _of(cls, text: str) -> Self:
        values = json.loads(text)
        symbols = [
            InspectedSymbol(
                **{**s, "first_ts": _time(s["first_ts"]), "last_ts": _time(s["last_ts"]), "gaps": _gaps(s["gaps"])}
            )
            for s in values["symbols"]
        ]
        return cls(
            files=values["files"],
            symbols=symbols,
            drops=values["drops"],
            flags=values["flags"],
            delivery=values["delivery"],
            warnings=values["warnings"],
            currency=values["currency"],
            refusals=values["refusals"],
        )
