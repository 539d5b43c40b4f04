#!/usr/bin/env python3
"""Compares depth tensors, loaders and read_dbn with handwritten equivalents in alternating runs; prints medians.

make wheel && scripts/python-env .venv-bench benches/requirements.txt
.venv-bench/bin/pip install target/wheels/*.whl && .venv-bench/bin/python benches/python.py
"""

import statistics
import tempfile
import time
import warnings
from pathlib import Path

import databento
import numpy as np
import polars as pl
from by_hand import plain

import lobset
from lobset.data import BlockStream, DepthDataset, RowDataset, WindowDataset, batches

FEATURES = ("volume", "variance", "trade_counts")


def alternate(runs, row=1, **ways):
    """Runs each way `row` times in a row, in turn. Returns its median seconds over all runs, and over the first in a row."""
    seconds = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            for _ in range(row):
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
    return {name: (statistics.median(s), statistics.median(s[::row])) for name, s in seconds.items()}


def main():
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        files = lobset.simulate(scratch / "market")
        path = lobset.process(scratch / "market", scratch / "out", progress=False).datasets["M6AM4"]
        rows = pl.read_parquet(path)[:50_000].rechunk()
        out = np.empty((3, 402, 500), dtype=np.float32)
        for features in (FEATURES[:1], FEATURES):
            processor = lobset.DepthProcessor(features)
            assert np.abs(processor.process(rows).reshape(-1, 402, 500) - plain(rows, features)).max() < 1e-6
            into = np.empty(processor.output_shape, np.float32)
            found = alternate(
                12,
                row=25,
                plain=lambda: plain(rows, features),
                lobset=lambda: processor.process(rows),
                into=lambda: processor.process(rows, out=into),
                limit=lambda: out[: len(features)].fill(1.0),
            )
            line = ", ".join(f"{name} {s * 1e3:.2f} ({first * 1e3:.2f})" for name, (s, first) in found.items())
            print(f"depth tensor of 50,000 rows, {len(features)} channels, ms (first run in a row): {line}")

        depth = DepthDataset(path, balanced=False, stride=100)
        random, roomy = DepthDataset(path), DepthDataset(path, row_groups=16)
        vectors, windows = RowDataset(path, balanced=False), WindowDataset(path, balanced=False)

        def rate(source, most):
            done, started = 0, time.perf_counter()
            for _, labels in source:
                done += len(labels)
                if done >= most:
                    break
            return done / (time.perf_counter() - started)

        rates = {
            "depth tensors, 2 channels, stride of one bin, in order": lambda: rate(batches(depth, 32), 5_000),
            "the same, one by one": lambda: rate((([0], [i]) for i in range(2_000) if depth[i]), 2_000),
            "the same, BlockStream with 2 threads": lambda: rate(
                BlockStream(depth, threads=2, chunk=32).batches(32), 5_000
            ),
            "depth tensors of marked rows at random": lambda: rate(batches(random, 32, shuffle=True), 500),
            "the same with 16 row groups kept": lambda: rate(batches(roomy, 32, shuffle=True), 3_000),
            "rows as vectors, in order": lambda: rate(batches(vectors, 256), 300_000),
            "rows as vectors, at random": lambda: rate(batches(vectors, 256, shuffle=True), 300_000),
            "windows of 100 rows by 40 columns, at random": lambda: rate(batches(windows, 256, shuffle=True), 200_000),
        }
        for name, measure in rates.items():
            print(f"{name}: {statistics.median(measure() for _ in range(3)):,.0f} per second")

        found = alternate(
            5,
            databento=lambda: databento.DBNStore.from_file(files[0]).to_df(),
            lobset=lambda: pl.DataFrame(lobset.read_dbn(files[0])),
        )
        print(
            "290,000 records from a file to a data frame: " + ", ".join(f"{n} {s:.2f} s" for n, (s, _) in found.items())
        )


if __name__ == "__main__":
    main()
