"""The settings of a run."""

import datetime as dt
import json
import os
from collections.abc import Sequence
from typing import Any, Literal, Self

from lobset import _lobset

Feature = Literal["volume", "variance", "trade_counts"]


def _text(value: object) -> str:
    """A value as the library's settings table reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, dt.timedelta):
        return f"{round(value / dt.timedelta(microseconds=1))}us"
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise TypeError("fit_until: a datetime needs a time zone")
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Sequence):
        return ",".join(_text(item) for item in value)
    return str(value)


class Config:
    """The settings of a run, checked when made; they do not change afterwards.

    Settings that are left out take the preset of `currency` (AUDUSD, EURUSD, GBPUSD, USDJPY, EURJPY, GBPJPY) or the
    plain defaults.

    >>> config = Config(currency="AUDUSD", nbins=5)
    >>> config.nbins, config.lookback_rows
    (5, 5000)

    Raises:
        ConfigError: with all problems at once.
    """

    __slots__ = ("_values",)
    _values: dict[str, Any]

    def __init__(
        self,
        *,
        currency: str | None = None,
        features: Sequence[Feature] | None = None,
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
        compression: Literal["zstd", "snappy", "lz4", "none"] | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self" and value is not None}
        self._resolve(None, given)

    def _resolve(
        self, toml: tuple[str, str] | None, given: dict[str, Any], file: str | os.PathLike[str] | None = None
    ) -> None:
        values = json.loads(_lobset.resolve(toml, [(name, _text(value)) for name, value in given.items()], file))
        object.__setattr__(self, "_values", values)

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Self:
        """Settings that the library has resolved."""
        config = cls.__new__(cls)
        object.__setattr__(config, "_values", values)
        return config

    @classmethod
    def from_toml(cls, source: str | os.PathLike[str]) -> Self:
        """Settings of a TOML file, or of TOML text (any string with a line break or an equals sign).

        Raises:
            ConfigError: for unknown settings, impossible values, and a file that cannot be read.
        """
        config = cls.__new__(cls)
        if isinstance(source, str) and ("\n" in source or "=" in source):
            config._resolve(("TOML", source), {})
        else:
            config._resolve(None, {}, source)
        return config

    def to_toml(self) -> str:
        """All settings as TOML, in the order of the documentation."""
        lines = []
        for name in _lobset.setting_names():
            value = self._values[name]
            if value is None:
                continue
            if name == "max_gap":
                value = f"{value}ns"
            lines.append(f"{name} = {json.dumps(value)}\n")
        return "".join(lines)

    def replace(self, **changes: Any) -> Self:
        """The same settings with some changed. `None` takes a setting back to none, where that is a value."""
        config = type(self).__new__(type(self))
        changes = {name: "none" if value is None else value for name, value in changes.items()}
        config._resolve(("Config", self.to_toml()), changes)
        return config

    def to_dict(self) -> dict[str, Any]:
        """All settings by their names; `max_gap` in nanoseconds."""
        return json.loads(self._json())  # type: ignore[no-any-return]

    def _json(self) -> str:
        return json.dumps(self._values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Config does not change; make another one with replace({name}=…)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._values == other._values

    def __hash__(self) -> int:
        return hash(self._json())

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self)._of, (self._values,))

    def __repr__(self) -> str:
        preset = json.loads(_lobset.resolve(None, [("currency", self.currency)]))
        changed = {n: v for n, v in self._values.items() if n != "currency" and v != preset[n]}
        if "max_gap" in changed:
            changed["max_gap"] = f"{self.max_gap}ns"
        return "Config(" + ", ".join(f"{n}={v!r}" for n, v in {"currency": self.currency, **changed}.items()) + ")"

    @property
    def currency(self) -> str:
        """Tag in the file names, and the preset that fills the other defaults."""
        return self._values["currency"]  # type: ignore[no-any-return]

    @property
    def features(self) -> tuple[Feature, ...]:
        """Channels of the depth tensors made from the dataset."""
        return tuple(self._values["features"])

    @property
    def lookback_rows(self) -> int:
        """L, rows of the past window."""
        return self._values["lookback_rows"]  # type: ignore[no-any-return]

    @property
    def lookforward_input(self) -> int:
        """F, rows of the future window."""
        return self._values["lookforward_input"]  # type: ignore[no-any-return]

    @property
    def lookforward_offset(self) -> int:
        """O, rows skipped between the row and the future window."""
        return self._values["lookforward_offset"]  # type: ignore[no-any-return]

    @property
    def samples(self) -> int:
        """Rows in one depth tensor's window."""
        return self._values["samples"]  # type: ignore[no-any-return]

    @property
    def ticks_per_bin(self) -> int:
        """Rows per time bin of a depth tensor."""
        return self._values["ticks_per_bin"]  # type: ignore[no-any-return]

    @property
    def micro_pip_size(self) -> float:
        """Price step of a depth tensor's ladder, in price units."""
        return self._values["micro_pip_size"]  # type: ignore[no-any-return]

    @property
    def nbins(self) -> int:
        """Classes."""
        return self._values["nbins"]  # type: ignore[no-any-return]

    @property
    def sample_fraction(self) -> float:
        """Share of the fit half's files that the thresholds are fitted on."""
        return self._values["sample_fraction"]  # type: ignore[no-any-return]

    @property
    def threshold_scope(self) -> Literal["global", "symbol"]:
        """One set of boundaries for all symbols, or one each."""
        return self._values["threshold_scope"]  # type: ignore[no-any-return]

    @property
    def force_uniform(self) -> bool:
        """Whether an exactly uniform subset is marked in the column `balanced`."""
        return self._values["force_uniform"]  # type: ignore[no-any-return]

    @property
    def drop_unbalanced(self) -> bool:
        """Whether the marked rows alone are written."""
        return self._values["drop_unbalanced"]  # type: ignore[no-any-return]

    @property
    def min_symbol_samples(self) -> int:
        """Labelled rows that a symbol needs to get a dataset."""
        return self._values["min_symbol_samples"]  # type: ignore[no-any-return]

    @property
    def keep_intermediate(self) -> bool:
        """Whether the work folder is kept."""
        return self._values["keep_intermediate"]  # type: ignore[no-any-return]

    @property
    def fit_until(self) -> str | None:
        """The boundary time T, in RFC 3339; `None` for the start of the file in the middle."""
        return self._values["fit_until"]  # type: ignore[no-any-return]

    @property
    def keep_crossed(self) -> bool:
        """Whether quotes whose best bid is above the best ask are kept."""
        return self._values["keep_crossed"]  # type: ignore[no-any-return]

    @property
    def price_range(self) -> tuple[float, float] | None:
        """Quotes outside these prices are dropped."""
        found = self._values["price_range"]
        return None if found is None else (found[0], found[1])

    @property
    def unmapped(self) -> Literal["error", "drop"]:
        """What happens to an instrument without a mapping."""
        return self._values["unmapped"]  # type: ignore[no-any-return]

    @property
    def publishers(self) -> tuple[int, ...] | None:
        """The publishers whose records are kept; `None` for all."""
        found = self._values["publishers"]
        return None if found is None else tuple(found)

    @property
    def aliases(self) -> Literal["error", "keep"]:
        """What happens when one instrument stands under two symbols at the same time."""
        return self._values["aliases"]  # type: ignore[no-any-return]

    @property
    def max_gap(self) -> int | None:
        """A pause longer than this, in nanoseconds, breaks a symbol's stream."""
        return self._values["max_gap"]  # type: ignore[no-any-return]

    @property
    def strict(self) -> bool:
        """Whether files with impossible values are refused; they are counted and warned about otherwise."""
        return self._values["strict"]  # type: ignore[no-any-return]

    @property
    def price_type(self) -> Literal["float", "fixed"]:
        """How prices are written."""
        return self._values["price_type"]  # type: ignore[no-any-return]

    @property
    def columns(self) -> Literal["all", "book"]:
        """Which of a record's fields are written."""
        return self._values["columns"]  # type: ignore[no-any-return]

    @property
    def compression(self) -> Literal["zstd", "snappy", "lz4", "none"]:
        """The codec of the Parquet pages."""
        return self._values["compression"]  # type: ignore[no-any-return]
