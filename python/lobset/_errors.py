"""What can go wrong, by whose hands it can be mended."""

from pathlib import Path
from typing import Any


def _again(kind: type["LobsetError"], message: str, known: dict[str, Any]) -> "LobsetError":
    return kind(message, **known)


class LobsetError(Exception):
    """Base of all errors of lobset. `help` says what to do, where that is known."""

    help: str | None

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.help = help

    def __reduce__(self) -> tuple[Any, ...]:
        # Keywords alone bring an error back from another process.
        known = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return _again, (type(self), super().__str__(), known)

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\nhelp: {self.help}" if self.help else message


class ConfigError(LobsetError):
    """Settings that are unknown, impossible or in conflict. `problems` lists them all."""

    problems: list[str]

    def __init__(self, message: str, *, help: str | None = None, problems: list[str] | None = None) -> None:
        super().__init__(message, help=help)
        self.problems = problems or [message]


class InputError(LobsetError):
    """A file that cannot be used: `path`, and the `record` and `byte` where the trouble lies, counted from 0. `others` holds
    an error for each of the other files that were refused with it."""

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
    """The data is readable, but no dataset can be made of it with these settings."""


class ExecutorError(LobsetError):
    """Tasks that could not be run: no cluster, workers that die again and again."""


class OutputError(LobsetError):
    """A place that cannot be written to: `path`."""

    path: Path

    def __init__(self, message: str, *, path: Path, help: str | None = None) -> None:
        super().__init__(message, help=help)
        self.path = Path(path)


class ValidationError(LobsetError):
    """A dataset folder that breaks a promise: `path`, and one line a violation in `violations`."""

    path: Path
    violations: list[str]

    def __init__(self, message: str, *, path: Path, violations: list[str], help: str | None = None) -> None:
        super().__init__(message, help=help)
        self.path = Path(path)
        self.violations = violations
