#!/usr/bin/env python3
"""Measures samples per second of a dataset and the memory of each process, and compares them with handwritten loaders,
in one run.

    scripts/torch-env .venv-loaders && .venv-loaders/bin/pip install -r benches/loaders-requirements.txt target/wheels/*.whl
    .venv-loaders/bin/python benches/loaders.py OUT [--seconds 2]

OUT is an output folder; its largest dataset is read. Handwritten loaders draw samples from as many of its first rows as
fit into memory: from a memory map of float32 rows, from Polars or PyArrow with the columns in memory, and from Hugging
Face `datasets`.
"""

import argparse
import gc
import itertools
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from by_hand import plain
from torch.utils.data import DataLoader, Dataset

import lobset.torch

MIB = 1 << 20
BATCHES = {"tensors": 32, "bins": 32, "windows": 256, "rows": 256}


class Blank(Dataset):
    """Tensors that cost nothing to compute, to measure the most that PyTorch can transport."""

    def __init__(self, shape: tuple[int, ...], count: int) -> None:
        self.shape, self.count = shape, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.ones(self.shape), 0


class Sliced(Dataset):
    """Handwritten samples: the result of a function for the rows that end at a place."""

    def __init__(self, take: Callable[[int], Any], places: np.ndarray, labels: np.ndarray) -> None:
        self.take, self.places, self.labels = take, places, labels

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.take(int(self.places[index]))), int(self.labels[index])


def rate(batches: Iterable[Any], seconds: float, workers: int = 0) -> tuple[float, float]:
    """Samples per second, starting with the second batch, and the USS in MiB of the largest worker, or of this
    process."""
    drawn = iter(batches)
    next(drawn)
    count, started = 0, time.perf_counter()
    for _, labels in drawn:
        count += len(labels)
        if time.perf_counter() - started > seconds:
            break
    found = count / (time.perf_counter() - started)
    processes = psutil.Process().children() if workers else [psutil.Process()]
    most = max(process.memory_full_info().uss for process in processes)
    return found, most / MIB


def hold(cache: Path, caches: Path) -> None:
    """Reads the files of a cache folder and drops all others from memory, so that the files measured are in memory."""
    for file in caches.glob("*/*"):
        with file.open("rb") as source, open(os.devnull, "wb") as nowhere:
            if file.parent == cache:
                shutil.copyfileobj(source, nowhere, MIB)
            else:
                os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def head(title: str, columns: list[str]) -> None:
    print(f"\n| {title} | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))


def row(name: str, cells: list[str]) -> None:
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def with_workers(
    make: Callable[[], Any], batch: int, order: bool, seconds: float, ways: list[tuple[int, str]]
) -> list[str]:
    cells = []
    for workers, method in ways:
        context = multiprocessing.get_context(method) if workers else None
        loader = DataLoader(make(), batch, shuffle=order, num_workers=workers, multiprocessing_context=context)
        found, memory = rate(loader, seconds, workers)
        cells.append(f"{found:,.0f} ({memory:,.0f})")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--by-hand-rows", type=int, default=6_000_000, help="rows that are drawn from by hand")
    options = parser.parse_args()
    seconds = options.seconds
    symbol = max((s for s in lobset.Manifest.read(options.out).symbols if s.path), key=lambda s: s.rows)
    path = symbol.path
    folder = options.out.parent / "cache"
    kinds: dict[str, tuple[Path, Callable[..., Any]]] = {
        "tensors": (folder / "depth", lobset.torch.DepthDataset),
        "bins": (folder / "depth", partial(lobset.torch.DepthDataset, output="bins")),
        "windows": (folder / "windows", lobset.torch.WindowDataset),
        "rows": (folder / "rows", lobset.torch.RowDataset),
    }

    def opened(kind: str) -> Any:
        return kinds[kind][1](path, cache=kinds[kind][0])

    ways = [(0, ""), (1, "fork"), (2, "fork"), (1, "spawn"), (2, "spawn")]
    names_of_ways = ["0 workers", "1, fork", "2, fork", "1, spawn", "2, spawn", "`loader`"]
    head("samples a second (MiB of a worker, or of this process)", names_of_ways)
    for kind, (cache, _) in kinds.items():
        started = time.perf_counter()
        dataset = opened(kind)
        seconds_to_open = time.perf_counter() - started
        size = sum(file.stat().st_size for file in cache.iterdir()) / 1e9
        print(
            f"{kind}: {len(dataset):,} samples, opened in {seconds_to_open:.1f} s; {size:.1f} GB of cache",
            file=sys.stderr,
        )
        if kind == "tensors":
            blank = Blank(dataset.shape, len(dataset))
            row("blank tensors, random", [*with_workers(lambda blank=blank: blank, 32, True, seconds, ways), "–"])
        hold(cache, folder)
        for order in ("random", "in order"):
            cells = with_workers(lambda d=dataset: d, BATCHES[kind], order == "random", seconds, ways)
            loader = lobset.torch.loader(dataset, BATCHES[kind], shuffle=order == "random")
            cells.append(f"{rate(loader, seconds)[0]:,.0f}")
            row(f"{kind}, {order}", cells)
            if kind == "rows" and order == "random":
                sampler = lobset.torch.UniformSampler(dataset, seed=1)
                loader = lobset.torch.loader(dataset, BATCHES[kind], sampler=sampler)
                row("rows, `UniformSampler`", ["–"] * len(ways) + [f"{rate(loader, seconds)[0]:,.0f}"])
        del dataset, loader
        gc.collect()
    tensors, windows, rows = (opened(kind) for kind in ("tensors", "windows", "rows"))
    names = windows.samples.columns

    # The same rows by hand.
    config = tensors.samples.configs[0]
    columns = list(dict.fromkeys([*rows.samples.columns, *names, "classification_label"]))
    frame = pl.read_parquet(path, columns=columns, n_rows=options.by_hand_rows)
    print(f"\nby hand: {len(frame):,} rows")
    plain_columns = [name for name in frame.columns if name != "classification_label"]
    labels = frame["classification_label"].to_numpy()

    def places(dataset: Any) -> np.ndarray:
        drawn = np.random.default_rng(1).permutation(len(dataset))
        found = (dataset.samples.position(int(index)) for index in drawn)
        return np.array(list(itertools.islice((place for place in found if place < len(frame)), 50_000)))

    with tempfile.TemporaryDirectory(dir=options.out.parent) as folder:
        started = time.perf_counter()
        shape = (len(frame), len(rows.samples.columns))
        mapped = np.memmap(f"{folder}/rows.f32", np.float32, "w+", shape=shape)
        for column, name in enumerate(rows.samples.columns):
            mapped[:, column] = frame[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()
        mapped.flush()
        print(f"\nmemory map: {mapped.nbytes / 1e9:.1f} GB, written in {time.perf_counter() - started:.0f} s")
        mapped = np.memmap(f"{folder}/rows.f32", np.float32, "r", shape=shape)
        window = [rows.samples.columns.index(name) for name in names]
        arrow = frame.select(plain_columns).to_arrow()
        frame.write_parquet(f"{folder}/rows.parquet")
        copy = datasets.Dataset.from_parquet(f"{folder}/rows.parquet", cache_dir=folder, columns=plain_columns)
        hugging = copy.with_format("numpy")

        def of_arrow(start: int, stop: int, columns: list[str]) -> np.ndarray:
            part = arrow.slice(start, stop - start)
            return np.stack([part[name].to_numpy() for name in columns], axis=1).astype(np.float32)

        def of_hugging(start: int, stop: int, columns: list[str]) -> np.ndarray:
            part = hugging[start:stop]
            return np.stack([part[name] for name in columns], axis=1).astype(np.float32)

        def of_polars(start: int, stop: int, columns: list[str]) -> np.ndarray:
            return frame[start:stop, columns].to_numpy().astype(np.float32)

        depth = lobset.DepthProcessor.from_config(config)._columns
        step, pip = config.ticks_per_bin, config.micro_pip_size

        def tensor(of: Callable[[int, int], Any]) -> Callable[[int], np.ndarray]:
            return lambda place: plain(of(place + 1 - config.samples, place + 1), config.features, step, pip)

        hands: dict[str, dict[str, tuple[Any, Callable[[int], np.ndarray]]]] = {
            "rows": {
                "NumPy memory map": (rows, lambda p: np.array(mapped[p])),
                "Polars, in memory": (rows, lambda p: of_polars(p, p + 1, rows.samples.columns)[0]),
                "PyArrow, in memory": (rows, lambda p: of_arrow(p, p + 1, rows.samples.columns)[0]),
                "Hugging Face `datasets`": (rows, lambda p: of_hugging(p, p + 1, rows.samples.columns)[0]),
            },
            "windows": {
                "NumPy memory map": (windows, lambda p: mapped[p - 99 : p + 1][:, window]),
                "Polars, in memory": (windows, lambda p: of_polars(p - 99, p + 1, names)),
                "PyArrow, in memory": (windows, lambda p: of_arrow(p - 99, p + 1, names)),
                "Hugging Face `datasets`": (windows, lambda p: of_hugging(p - 99, p + 1, names)),
            },
            "tensors": {
                "Polars, in memory": (tensors, tensor(lambda a, b: frame[a:b, depth])),
                "PyArrow, in memory": (tensors, tensor(lambda a, b: arrow.select(depth).slice(a, b - a))),
                "Hugging Face `datasets`": (
                    tensors,
                    tensor(lambda a, b: pl.DataFrame(dict(hugging[a:b])).select(depth)),
                ),
            },
        }
        head("by hand, random: samples a second (MiB of a worker, or of this process)", names_of_ways[:3])
        for kind, by_hand in hands.items():
            for way, (dataset, take) in by_hand.items():
                where = places(dataset)
                sliced = Sliced(take, where, labels[where])
                # A handwritten tensor takes so long that batches of 32 would never end.
                batch = 2 if kind == "tensors" else BATCHES[kind]
                # Workers may hang if they are forked after threads of Polars or PyArrow, which `datasets` uses, have
                # run.
                forks = 3 if way == "NumPy memory map" else 1
                cells = with_workers(lambda s=sliced: s, batch, True, seconds, ways[:forks])
                row(f"{kind}, {way}", cells + ["–"] * (3 - forks))

        # Whole batches by hand, without a loader: the best case of each library.
        where = places(rows)
        where = where[: len(where) // 256 * 256].reshape(-1, 256)

        def whole(take: Callable[[np.ndarray], Any]) -> list[str]:
            rates = []
            for batch in where[:60]:
                started = time.perf_counter()
                take(batch)
                rates.append(len(batch) / (time.perf_counter() - started))
            return [f"{statistics.median(rates):,.0f}"]

        head("rows in whole batches of 256, random", ["samples a second"])
        row("NumPy memory map", whole(lambda batch: torch.from_numpy(mapped[batch])))
        row("Polars, in memory", whole(lambda batch: torch.from_numpy(frame[batch, rows.samples.columns].to_numpy())))
        row(
            "PyArrow, in memory",
            whole(lambda batch: np.stack([c.to_numpy() for c in arrow.take(pa.array(batch)).columns], axis=1)),
        )
        row("Hugging Face `datasets`", whole(lambda batch: hugging[batch.tolist()]))
        row("lobset, `batch`", whole(lambda batch: rows.samples.batch(batch % len(rows))))
    print(
        f"\nthis process: {psutil.Process().memory_full_info().rss / MIB:,.0f} MiB RSS; {pq.read_metadata(path).num_rows:,} rows"
    )


if __name__ == "__main__":
    main()
