"""The table of settings, as the library returns it, and the class derived from it."""

import copy
import datetime as dt
import inspect
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lobset import _lobset
from lobset._errors import ConfigError


@dataclass(frozen=True)
class Setting:
    """A line of the table."""

    name: str
    choices: tuple[str, ...]
    """The allowed names for the value, or for each item of a list."""
    optional: bool
    default: Any
    """As in JSON."""
    meaning: str
    unit: str | None
    """The unit or form of the value, if its type does not say it."""

    def value(self, values: dict[str, Any]) -> Any:
        """The setting's value in a configuration read from JSON: a copy, with a tuple in place of a list."""
        found = copy.deepcopy(values.get(self.name, self.default))
        return tuple(found) if isinstance(found, list) else found

    def documentation(self) -> str:
        """The meaning of the setting, and the unit and default of its value in Python."""
        unit = f" {self.unit}." if self.unit else ""
        return f"{self.meaning}.{unit} By default {self.value({})!r}."


SETTINGS = {
    line["name"]: Setting(**{**line, "choices": tuple(line["choices"])}) for line in json.loads(_lobset.settings())
}
"""Every setting by its name, in the order of the documentation."""


def default(name: str) -> Any:
    """The default of a setting."""
    return SETTINGS[name].value({})


def _text(name: str, value: object) -> str:
    """Formats a single value as text."""
    if isinstance(value, np.datetime64):
        return f"{np.datetime_as_string(value, unit='ns')}Z"  # NumPy's times have no zone; lobset's are UTC.
    if isinstance(value, np.timedelta64):
        return f"{value.astype('timedelta64[ns]').astype(np.int64)}ns"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, dt.timedelta):
        return f"{round(value / dt.timedelta(microseconds=1))}us"
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ConfigError(f"{name}: a datetime needs a time zone")
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else str(value)


def _raw(name: str, value: object) -> Any:
    """Converts the value of a setting to a form of JSON that the library parses: text, or lists and objects of text."""
    if isinstance(value, (np.generic, np.ndarray)) and not isinstance(value, (np.datetime64, np.timedelta64)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _raw(name, item) for key, item in value.items() if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_raw(name, item) for item in value]
    return _text(name, value)


class Settings:
    """Base of `Config`, which knows no particular settings. It has a property for each setting in the table."""

    __slots__ = ("_held", "_values")
    _values: dict[str, Any]
    _held: tuple[str, ...]
    """Settings that the data's preset must not change, even though they have their default values."""

    def __init__(self, **given: Any) -> None:
        # A misspelled name is refused whatever its value.
        self._resolve(None, {name: value for name, value in given.items() if value is not None or name not in SETTINGS})

    def _resolve(
        self, toml: tuple[str, str] | None, given: dict[str, Any], file: str | os.PathLike[str] | None = None
    ) -> None:
        values = {name: _raw(name, value) for name, value in given.items()}
        self._take(json.loads(_lobset.resolve(toml, json.dumps(values), file)))

    def _take(self, values: dict[str, Any]) -> None:
        """Stores the values of all settings, and the keys that the data's preset must not change."""
        object.__setattr__(self, "_values", {name: values[name] for name in SETTINGS})
        object.__setattr__(self, "_held", tuple(values.get("held", ())))

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Self:
        """Creates settings from values that the library has resolved, as in its files. Settings that affect only how to
        run are not in these files and get their defaults."""
        config = cls.__new__(cls)
        config._take(json.loads(_lobset.values(json.dumps(values))))
        return config

    @classmethod
    def _from(cls, config: "Self | Mapping[str, Any] | None") -> Self:
        """Returns the settings that a caller passed as a `Config`, as a mapping, or not at all."""
        if isinstance(config, cls):
            return config
        if config is None or isinstance(config, Mapping):
            return cls(**{str(name): value for name, value in (config or {}).items()})
        raise ConfigError(f"config: must be a Config or a mapping of settings, not {type(config).__name__}")

    @classmethod
    def from_toml(cls, source: str | os.PathLike[str]) -> Self:
        """Reads settings from a TOML file, or from TOML text (any string with a line break or an equals sign).

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
        """Returns all settings that have a value as TOML, in the order of the documentation."""
        return _lobset.to_toml(self._json())

    def replace(self, **changes: Any) -> Self:
        """Returns a copy with some settings changed. `None` unsets an optional setting.

        Raises:
            ConfigError: with all problems at once.
        """
        config = type(self).__new__(type(self))
        unset = [name for name, value in changes.items() if value is None]
        required = [name for name in unset if name in SETTINGS and not SETTINGS[name].optional]
        if required:
            problems = [f"{name}: cannot be None" for name in required]
            raise ConfigError("; ".join(problems), problems=problems)
        changes = {name: "none" if value is None else value for name, value in changes.items()}
        config._resolve(("Config", self.to_toml()), changes)
        return config

    def to_dict(self) -> dict[str, Any]:
        """Returns settings by name, with values that `Config` and JSON accept. As in `to_toml`, settings that will take
        their values from the data's preset are left out: passed to `Config`, their values would be kept whatever the
        data.
        """
        written = tomllib.loads(self.to_toml())
        kept = {name: value for name, value in self._values.items() if value is None or name in written}
        return copy.deepcopy(kept)

    def _json(self) -> str:
        return json.dumps({**self._values, "held": self._held})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Config is immutable; use replace({name}=…) for a changed copy")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._json() == other._json()

    def __hash__(self) -> int:
        return hash(self._json())

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self)._of, ({**self._values, "held": self._held},))

    def __repr__(self) -> str:
        """The currency, if one is named, and the settings that differ from its preset."""
        values = tomllib.loads(self.to_toml())
        preset = tomllib.loads(type(self)(currency=values.get("currency")).to_toml())
        shown = {name: value for name, value in values.items() if name == "currency" or value != preset.get(name)}
        return f"{type(self).__name__}(" + ", ".join(f"{name}={value!r}" for name, value in shown.items()) + ")"


def _signature() -> inspect.Signature:
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    keywords = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in SETTINGS]
    return inspect.Signature([this, *keywords])


def _property(setting: Setting) -> property:
    return property(lambda config: setting.value(config._values), doc=setting.documentation())


Settings.__init__.__signature__ = _signature()  # type: ignore[attr-defined]
for _setting in SETTINGS.values():
    setattr(Settings, _setting.name, _property(_setting))
