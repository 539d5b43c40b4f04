"""Exceptions, divided by what has to be fixed: settings, input files, data, cluster or output."""

from pathlib import Path
from typing import Any


def _again(kind: type["LobsetError"], message: str, known: dict[str, Any]) -> "LobsetError":
    return kind(message, **known)


class LobsetError(Exception):
    """Base of all errors of lobset. `help` suggests a remedy, if one is known."""

    help: str | None

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.help = help

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, unpickling passes only the positional arguments; these errors need keyword arguments too.
        known = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return _again, (type(self), super().__str__(), known)

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\nhelp: {self.help}" if self.help else message


class ConfigError(LobsetError):
    """Settings are unknown, impossible or in conflict. `problems` lists all of them."""

    problems: list[str]

    def __init__(self, message: str, *, help: str | None = None, problems: list[str] | None = None) -> None:
        super().__init__(message, help=help)
        self.problems = problems or [message]


class InputError(LobsetError):
    """A file cannot be used. `path` is the file; `record` and `byte` are the position of the problem, counted from 0.
    `others` has an error for each of the other files that were refused along with it."""

    path: Path
    record: int | None
    byte: int | None
    others: "list[InputError]"

    def __init__(
        self,
        message: str,
        *,
        path: Path,
        help: str | None = None,
        record: int | None = None,
        byte: int | None = None,
        others: "list[InputError] | None" = None,
    ) -> None:
        super().__init__(message, help=help)
        self.path = Path(path)
        self.record = record
        self.byte = byte
        self.others = others or []


class DataError(LobsetError):
    """The data is readable, but no dataset can be made from it with these settings."""


class ExecutorError(LobsetError):
    """Tasks could not be run: there is no cluster, or workers fail repeatedly."""


class OutputError(LobsetError):
    """Output cannot be written to `path`."""

    path: Path

    def __init__(self, message: str, *, path: Path, help: str | None = None) -> None:
        super().__init__(message, help=help)
        self.path = Path(path)


class ValidationError(LobsetError):
    """A dataset folder fails validation. `path` is the folder, `violations` has one line per violation."""

    path: Path
    violations: list[str]

    def __init__(self, message: str, *, path: Path, violations: list[str], help: str | None = None) -> None:
        super().__init__(message, help=help)
        self.path = Path(path)
        self.violations = violations
