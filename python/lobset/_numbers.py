"""Whole numbers that callers pass."""

import operator
import os

from lobset._errors import ConfigError

MOST_THREADS = 2**16 - 1


def whole(name: str, value: object, most: int, least: int = 0) -> int:
    """Returns a whole number from `least` to `most`, given as any integer type: Python's or NumPy's.

    Raises:
        ConfigError: for anything else.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(f"{name}: must be a whole number, not {value!r}") from None
    if not least <= number <= most:
        raise ConfigError(f"{name}: {number} is outside the range {least} to {most}")
    return number


def threads(value: object, least: int = 0) -> int:
    """Returns a number of threads, where 0 stands for one per core."""
    return whole("threads", value, MOST_THREADS, least)


def threads_or_all(value: object | None) -> int:
    """Returns a number of threads; one per core for None."""
    return threads((os.cpu_count() or 1) if value is None else value)
