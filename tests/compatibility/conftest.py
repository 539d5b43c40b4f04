"""A market with nulls and large numbers, for readers of years past."""

import os
import subprocess
from pathlib import Path

import pytest

import market

ROOT = Path(__file__).resolve().parents[2]
LOBSET = os.environ.get("LOBSET", ROOT / "target/release/lobset")
SETTINGS = (
    "--lookback-rows 200 --lookforward-input 200 --lookforward-offset 20 --nbins 5 --min-symbol-samples 1000".split()
)


@pytest.fixture(scope="session")
def process(tmp_path_factory):
    """Makes the datasets of given settings, and returns their folder."""
    source = market.make(LOBSET, tmp_path_factory.mktemp("market"), 2, 12_000)

    def process(*settings):
        out = tmp_path_factory.mktemp("made") / "out"
        subprocess.run(
            [LOBSET, "process", source, "-o", out, "-q", *SETTINGS, *settings], check=True, capture_output=True
        )
        return out

    return process


@pytest.fixture(scope="session")
def default(process):
    return process()
