"""The explanation of a row: a small typed view of the library's JSON."""

import json
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from lobset._results import _time


def _number(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


@dataclass(frozen=True, eq=False)
class ExplainedTarget:
    """How the label of one target is derived, as far as possible."""

    name: str
    definition: str = field(repr=False)
    """The target's kind and settings."""
    movement: float | None
    """`numerator / denominator`, each rounded once; `None` if a window is incomplete or the movement is undefined."""
    numerator: int | None = field(repr=False)
    """The exact numerator of the movement."""
    denominator: int | None = field(repr=False)
    label: int | None
    """The class."""
    split: str | None
    """`fit`, `embargo` or `holdout`."""
    balanced: bool | None
    """The mark; `None` without `force_uniform`, or if it cannot be determined."""
    end: int | None
    """The last row that the label may look at."""
    no_label: str | None
    """Why the row has no label of the target."""
    steps: dict[str, Any] | None = field(repr=False)
    """Windows with rows, times, sums and means, or the barriers and the touch; sums are exact integers as digits."""

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Self:
        movement = values["movement"] or {}
        label, split, end, mark = (values[name] or {} for name in ("class", "split", "end", "mark"))
        return cls(
            name=values["name"],
            definition=values["definition"],
            movement=movement.get("value"),
            numerator=_number(movement.get("numerator")),
            denominator=_number(movement.get("denominator")),
            label=label.get("class"),
            split=split.get("split"),
            balanced=mark.get("balanced"),
            end=end.get("row"),
            no_label=values["no_label"],
            steps=values["steps"],
        )


@dataclass(frozen=True, eq=False)
class Explanation:
    """The result of `explain`. `str()` gives the text that the command prints."""

    symbol: str
    row: int
    rows: int
    """Number of rows of the symbol's stream."""
    file: str
    """The file that contains the row's record, by its name in the manifest."""
    record: int
    """The number of the record in the file, from 0."""
    ts_recv: np.datetime64
    mid_price: float
    targets: dict[str, ExplainedTarget]
    """The targets by name; the first is `classic`."""
    present: bool
    """Whether the dataset contains the row."""
    absent_because: str | None
    """Why the dataset does not contain the row, by the definition."""
    agrees: bool
    """Whether the dataset agrees with the raw files about the row."""
    differences: list[str]
    text: str = field(repr=False)
    json: dict[str, Any] = field(repr=False)
    """Everything, as `lobset explain --json` prints it."""

    def __str__(self) -> str:
        return self.text

    @classmethod
    def _of(cls, values: str, text: str) -> Self:
        found = json.loads(values)
        record, stored = found["record"], found["stored"]
        return cls(
            symbol=found["symbol"],
            row=found["row"],
            rows=found["rows"],
            file=record["file"],
            record=record["record"],
            ts_recv=_time(record["ts_recv"]),
            mid_price=record["mid_price"],
            targets={target["name"]: ExplainedTarget._of(target) for target in found["targets"]},
            present=stored["present"],
            absent_because=stored["absent_because"],
            agrees=found["agrees"],
            differences=found["differences"],
            text=text,
            json=found,
        )
