"""Datasets made by the lobset command, for readers that share no code with it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Keeps cache files out of the home folder, including those of subprocesses."""
    os.environ["LOBSET_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def lobset(*arguments):
    command = [os.environ.get("LOBSET", ROOT / "target" / "release" / "lobset"), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def windows(lookback, ahead, offset):
    return ["--lookback-rows", lookback, "--lookforward-input", ahead, "--lookforward-offset", offset]


@pytest.fixture(scope="session", params=["simulated", "es", "crypto"])
def output(request, tmp_path_factory):
    """(input folder, output folder, manifest) of a run over simulated or real data."""
    out = tmp_path_factory.mktemp(request.param) / "out"
    if request.param == "simulated":
        source = tmp_path_factory.mktemp("market")
        lobset("simulate", source, "--days", 4, "--rows", 60_000)
        settings = [*windows(2000, 1500, 200), "--min-symbol-samples", 2000]
    else:
        source = REAL / request.param
        if not source.is_dir():
            pytest.skip(f"no {source} on this machine")
        if request.param == "es":
            settings = ["--currency", "ES", *windows(500, 500, 50), "--min-symbol-samples", 2000, "--nbins", 13]
        else:
            settings = [
                "--currency",
                "CRYPTO",
                *windows(5000, 5000, 500),
                "--min-symbol-samples",
                20_000,
                "--nbins",
                21,
            ]
    manifest = json.loads(lobset("process", source, "-o", out, "--json", *settings))
    return source, out, manifest


@pytest.fixture(scope="session")
def round_trip_pairs():
    """Files written by our page writer, and the same rows written by arrow-rs's ArrowWriter; `cargo test` leaves them
    behind."""
    folder = ROOT / "target" / "tmp" / "round_trip"
    pairs = [
        (ours, ours.with_suffix(".plain.parquet"))
        for ours in sorted(folder.glob("*.parquet"))
        if ".plain" not in ours.name
    ]
    assert len(pairs) >= 13, f"run `cargo test -p lobset --test round_trip` first: {folder}"
    return pairs
