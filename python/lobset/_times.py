"""Points in time that callers pass."""

import datetime as dt
import re

import numpy as np

from lobset._errors import ConfigError

Moment = dt.datetime | dt.date | np.datetime64 | str | int
"""A point in time: nanoseconds since 1970, an ISO 8601 text, a datetime, or a date for its midnight. UTC without a time zone."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def nanoseconds(name: str, moment: Moment) -> int:
    """Returns nanoseconds since 1970, UTC, without rounding.

    Raises:
        ConfigError: for anything that is not a moment between 1970 and 2554.
    """
    wrong = f'{name}: must be a date or time such as "2024-10-01" or "2024-10-01T12:00:00Z", not {moment!r}'
    below = 0
    if isinstance(moment, np.datetime64):
        exact = moment.astype("datetime64[ns]")
        if exact.astype(moment.dtype) != moment:  # Beyond 2262, or not a time.
            raise ConfigError(wrong)
        moment = int(exact.astype(np.int64))
    elif isinstance(moment, str):
        try:
            # The digits below a microsecond, which Python drops.
            digits = re.search(r"[.,](\d{1,9})", moment)
            below = int(digits[1].ljust(9, "0")) % 1000 if digits else 0
            moment = dt.datetime.fromisoformat(moment)
        except ValueError:
            raise ConfigError(wrong) from None
    if isinstance(moment, dt.date) and not isinstance(moment, dt.datetime):
        moment = dt.datetime.combine(moment, dt.time())
    if isinstance(moment, dt.datetime):
        below = below or getattr(moment, "nanosecond", 0)  # The nanoseconds of a pandas timestamp.
        zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
        moment = (zoned - _EPOCH) // dt.timedelta(microseconds=1) * 1000 + below
    if isinstance(moment, bool) or not isinstance(moment, (int, np.integer)) or not 0 <= moment < 2**64:
        raise ConfigError(wrong)
    return int(moment)
