"""The settings of a run. Their types are in `_config.pyi`, which is generated from the table of settings."""

from typing import Literal

from lobset._settings import SETTINGS, Settings

__all__ = ["Config", "Feature"]

Feature = Literal[SETTINGS["features"].choices]


class Config(Settings):
    """The settings of a run: checked when created, immutable afterwards.

    Settings that are left out get their values from the preset of `currency` (AUDUSD, EURUSD, GBPUSD, USDJPY, EURJPY,
    GBPJPY, in letters of any case) or from the plain defaults. Without a currency, each run derives it from its data:
    from the symbols' roots at CME, or else the code of the dataset. Its preset then fills in what is left out.

    >>> config = Config(currency="AUDUSD", nbins=5)
    >>> config.nbins, config.lookback_rows
    (5, 5000)

    Raises:
        ConfigError: with all problems at once.
    """

    __slots__ = ()
