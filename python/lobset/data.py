"""Samples of datasets as NumPy arrays: one by one, in batches, or as a shuffled stream. `lobset.torch` uses it.

There are three ways to read a dataset written by `lobset.process`:

- `DepthDataset` and `RowDataset` return sample number i.
- `batches` iterates over one of them, in order or shuffled.
- `BlockStream` shuffles blocks of neighbouring samples, which share the work of decoding and of time bins. It is
  sharded over workers and ranks and resumes in mid-epoch.

All of them read the file lazily, keep a few row groups in memory, yield the same order for the same seed, and can be
pickled. No window crosses a break or the start of the symbol. Rows under embargo and rows without a label of the target
are never returned.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobset import _lobset, _numbers
from lobset._config import Config, Feature
from lobset._engine import Progress, watched
from lobset._errors import InputError
from lobset._lobset import CLASSIC
from lobset._moments import ColumnMoments, Moments

__all__ = [
    "Bins",
    "BlockStream",
    "ColumnMoments",
    "DepthDataset",
    "Moments",
    "RowDataset",
    "Samples",
    "batches",
    "paint",
    "uniform_order",
]

PathLike = str | os.PathLike[str]
Array = NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]
"""Samples of one type: tensors of any, vectors of float32."""
Dtype = Literal["float32", "float16", "int8"]
"""Types of the cells of depth tensors: float16 is the nearest number, int8 the nearest of 255 levels from -127 to 127."""


class Bins(NamedTuple):
    """The time bins of depth tensors before they are painted, as arrays of NumPy or tensors of PyTorch. Batches have one more
    axis in front."""

    ladder_rows: Any
    """Row of each level on the ladder, or -1 where it is missing or off the ladder: (2, 10, T) int16; bids first."""
    values: Any
    """Value of each feature: (n, 2, 10, T) float32."""


Batch = tuple[Any, NDArray[np.int64]]
"""Samples along the first axis, and their classes. With `output="bins"` the samples are `Bins`."""


class Samples:
    """Samples of one dataset, by number. Create a `DepthDataset` or a `RowDataset` to get one."""

    def __init__(self, path: PathLike, arguments: dict[str, Any], progress: bool = False) -> None:
        self._path = os.fspath(path)
        self._arguments = arguments
        self._identity = _lobset.identity(self._path)
        with watched(progress) as show:
            self._samples = self._open(None, show)

    def _open(self, built: bytes | None, progress: Progress | None) -> _lobset.Samples:
        raise NotImplementedError("create a DepthDataset or a RowDataset")

    @property
    def path(self) -> str:
        """The dataset file."""
        return self._path

    @property
    def symbol(self) -> str:
        """The dataset's symbol, as the exchange writes it."""
        return self._samples.symbol

    @property
    def config(self) -> Config:
        """The settings that the dataset was created with."""
        return Config._of(json.loads(self._samples.config))

    @property
    def target(self) -> str:
        """The target that classes, splits and marks are of."""
        return str(self._arguments["target"])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: of a tensor, also with `output="bins"`, or of a vector."""
        return tuple(self._samples.shape)

    def arrays(self, dtype: Dtype = "float32") -> tuple[tuple[tuple[int, ...], Any], ...]:
        """Returns shape and type of the arrays that one sample consists of: two for bins, else one."""
        return ((self.shape, np.dtype(dtype)),)

    def __len__(self) -> int:
        return len(self._samples)

    def _number(self, index: int) -> int:
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return number

    def __getitem__(self, index: int) -> tuple[Any, int]:
        samples, labels = self.batch([self._number(int(index))], threads=1)
        return _at(samples, 0), int(labels[0])

    def position(self, index: int) -> int:
        """Returns the number of a sample's row in the file, counted from 0."""
        return self._samples.position(self._number(int(index)))

    def labels(self) -> NDArray[np.uint8]:
        """Returns the classes of all samples, in order: one byte each."""
        return self._samples.labels()

    def batch(
        self,
        indices: Sequence[int] | NDArray[np.integer[Any]],
        threads: int | None = None,
        dtype: Dtype = "float32",
    ) -> Batch:
        """Computes several samples on several threads (all cores by default), without the interpreter's lock."""
        numbers = np.ascontiguousarray(indices, dtype=np.int64)
        out = [np.empty((len(numbers), *shape), kind) for shape, kind in self.arrays(dtype)]
        labels = np.empty(len(numbers), dtype=np.int64)
        self.fill(numbers, out, labels, threads)
        return self._joined(out), labels

    def fill(
        self,
        indices: NDArray[np.int64],
        out: Sequence[NDArray[Any]],
        labels: NDArray[np.int64],
        threads: int | None = None,
    ) -> None:
        """Writes several samples and their classes into existing arrays, in C order and as `arrays` describes them, each
        with one more axis in front. New memory for each batch can cost as much as the samples."""
        self._fill(indices, out, labels, _numbers.threads((os.cpu_count() or 1) if threads is None else threads))

    def _fill(self, indices: NDArray[np.int64], out: Sequence[Any], labels: NDArray[np.int64], threads: int) -> None:
        self._samples.fill(indices, out[0], labels, threads)

    def _joined(self, arrays: Sequence[Any]) -> Any:
        """A batch of the arrays of `arrays`, of NumPy or PyTorch."""
        return arrays[0]

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "_samples"}
        return {**state, "_built": self._samples.index_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        built = state.pop("_built")
        self.__dict__.update(state)
        if _lobset.identity(self._path) != self._identity:
            message = f"{self._path}: is no longer the file that this dataset was opened from"
            raise InputError(message, path=Path(self._path))
        self._samples = self._open(built, None)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments.items() if value is not None)
        return f"{type(self).__name__}({self._path!r}, {arguments})"


class DepthDataset(Samples):
    """Depth tensors: item i is (the tensor of the `samples` rows that end at a row, the class of that row).

    Args:
        path: Path or URL of a `*_dataset.parquet`.
        split: `"fit"` or `"holdout"`.
        balanced: Use only the rows of the uniform subset.
        features: Channels. By default the dataset's own, as for `samples`, `ticks_per_bin` and `micro_pip_size`.
        samples: Rows of a window, a multiple of `ticks_per_bin`.
        stride: Distance in rows between neighbouring samples of an unbroken stretch, counted from its first whole
            window. With a stride that is a multiple of `ticks_per_bin`, samples share time bins.
        ticks_per_bin: Rows of a time bin.
        micro_pip_size: Price step of the ladder, in price units.
        row_groups: Without a cache file: row groups of 131,072 rows to keep decoded, about 31 MB each with two features.
            The default, one more than a window spans, is enough to go through a file in order or in blocks.
        target: The target that classes, splits and marks are of; by default the one that the flat settings describe.
            Rows without a label of it are no samples.
        output: `"tensor"`, or `"bins"`: what tensors are painted from, a tenth of their size (`Bins`, `paint`).
        cache: Where the time bins of the whole dataset are kept, so that any sample is one read: the user's cache folder
            (`"auto"`: `$LOBSET_CACHE`, else `~/.cache/lobset`), another folder, or None to decode row groups whenever
            they are needed, which is slow in any but the file's order. The file is built when the dataset is opened for
            the first time. It takes about 160 bytes for each row with two features, and a hundredth of that if `stride`
            is a multiple of `ticks_per_bin`. `lobset cache` lists and removes such files.
        progress: Show a bar while the cache file is built.

    Raises:
        InputError: when the file cannot be read, was written with `drop_unbalanced`, or has no marks although
            `balanced` needs them.
        OutputError: when there is no room for the cache file, or it cannot be written.
        ConfigError: for settings out of range, and for a target that the dataset does not have.
    """

    def __init__(
        self,
        path: PathLike,
        split: Literal["fit", "holdout"] = "fit",
        balanced: bool = True,
        features: Sequence[Feature] | None = None,
        samples: int | None = None,
        stride: int = 1,
        ticks_per_bin: int | None = None,
        micro_pip_size: float | None = None,
        row_groups: int | None = None,
        target: str = CLASSIC,
        output: Literal["tensor", "bins"] = "tensor",
        cache: Literal["auto"] | PathLike | None = "auto",
        progress: bool = True,
    ) -> None:
        if output not in ("tensor", "bins"):
            raise ValueError(f'output must be "tensor" or "bins", not {output!r}')
        outside = ("self", "path", "progress", "__class__")
        arguments = {name: value for name, value in locals().items() if name not in (*outside, "outside")}
        super().__init__(path, arguments, progress)

    def _open(self, built: bytes | None, progress: Progress | None) -> _lobset.Samples:
        a = self._arguments
        which = (a["split"], a["balanced"], a["stride"], a["target"])
        tensor = (a["features"], a["samples"], a["ticks_per_bin"], a["micro_pip_size"], a["row_groups"])
        cache = _lobset.cache_folder() if a["cache"] == "auto" else a["cache"]
        return _lobset.Samples.depth(self._path, which, *tensor, cache, built, progress)

    def arrays(self, dtype: Dtype = "float32") -> tuple[tuple[tuple[int, ...], Any], ...]:
        if self._arguments["output"] == "tensor":
            return super().arrays(dtype)
        if dtype != "float32":
            raise ValueError(f"bins are float32; {dtype!r} is a type of tensors")
        time_bins, features = self._samples.bins or (0, 0)
        rows = (2, 10, time_bins)
        return ((rows, np.dtype(np.int16)), ((features, *rows), np.dtype(np.float32)))

    def _fill(self, indices: NDArray[np.int64], out: Sequence[Any], labels: NDArray[np.int64], threads: int) -> None:
        if self._arguments["output"] == "tensor":
            super()._fill(indices, out, labels, threads)
        else:
            ladder_rows, values = out
            self._samples.fill_bins(indices, ladder_rows, values, labels, threads)

    def _joined(self, arrays: Sequence[Any]) -> Any:
        return arrays[0] if self._arguments["output"] == "tensor" else Bins(*arrays)


def paint(bins: Bins, threads: int | None = None) -> NDArray[np.float32]:
    """Paints bins, of one sample or of a batch: the tensors that `output="tensor"` gives, to the last bit.

    Returns:
        (…, 402, T) for one feature, (…, n, 402, T) for more.

    Raises:
        ValueError: when the shapes are not those of `Bins`.
    """
    ladder_rows, values = (np.ascontiguousarray(array) for array in bins)
    *batch, sides, levels, time_bins = ladder_rows.shape
    features = values.shape[-4] if values.ndim == ladder_rows.ndim + 1 else 0
    if (sides, levels) != (2, 10) or values.shape != (*batch, features, 2, 10, time_bins):
        raise ValueError(
            f"bins have shapes (…, 2, 10, T) and (…, n, 2, 10, T), not {ladder_rows.shape} and {values.shape}"
        )
    channels = () if features == 1 else (features,)
    out = np.empty((*batch, *channels, 402, time_bins), np.float32)
    threads = _numbers.threads((os.cpu_count() or 1) if threads is None else threads)
    _lobset.paint(ladder_rows, values, out, time_bins, features, threads)
    return out


class RowDataset(Samples):
    """Rows: item i is (the row's columns as a vector of float32 with NaN for null, the row's class).

    Args:
        path: Path or URL of a `*_dataset.parquet`.
        split: `"fit"` or `"holdout"`.
        balanced: Use only the rows of the uniform subset.
        columns: Numeric columns, in this order; by default the sixty columns of the book, those of
            `derived` and `mid_price`.
        stride: As in `DepthDataset`.
        target: As in `DepthDataset`. Labels of any target are never part of a vector.

    Raises:
        InputError: when the file cannot be read, lacks a column, or has no marks although `balanced` needs them.
        ConfigError: for a target that the dataset does not have.
    """

    def __init__(
        self,
        path: PathLike,
        split: Literal["fit", "holdout"] = "fit",
        balanced: bool = True,
        columns: Sequence[str] | None = None,
        stride: int = 1,
        target: str = CLASSIC,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "path", "__class__")}
        super().__init__(path, arguments)

    def _open(self, built: bytes | None, progress: Progress | None) -> _lobset.Samples:
        a = self._arguments
        which = (a["split"], a["balanced"], a["stride"], a["target"])
        return _lobset.Samples.rows(self._path, which, a["columns"], built)

    @property
    def columns(self) -> list[str]:
        """The columns of a vector."""
        return self._samples.columns


def batches(
    dataset: Samples,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    epoch: int = 0,
    drop_last: bool = False,
    threads: int | None = None,
) -> Iterator[Batch]:
    """Yields one epoch of a dataset in batches. When shuffled, the order depends only on `seed` and `epoch`."""
    count = len(dataset)
    order = np.random.default_rng([seed, epoch]).permutation(count) if shuffle else None
    for start in range(0, count, batch_size):
        stop = min(start + batch_size, count)
        if drop_last and stop - start < batch_size:
            return
        yield dataset.batch(np.arange(start, stop) if order is None else order[start:stop], threads)


def uniform_order(labels: NDArray[np.uint8], seed: int, epoch: int = 0) -> Iterator[int]:
    """Yields sample numbers so that every class that occurs comes equally often and every sample at least once.

    Each round has one sample of each class. A class that runs out before the largest one starts again in another order.
    Uses eight bytes of memory per sample.
    """
    rng = np.random.default_rng([seed, epoch])
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    orders = [rng.permutation(m) for m in members]
    for turn in range(max((len(m) for m in members), default=0)):
        for place in rng.permutation(len(members)):
            at = turn % len(members[place])
            if at == 0 and turn > 0:
                orders[place] = rng.permutation(members[place])
            yield int(orders[place][at])


class BlockStream:
    """A block-shuffled stream of this shard's share of one or more datasets, one epoch after another.

    The order of the blocks of neighbouring samples, and of the samples within each block, depends on `seed` and the
    epoch. Every shard takes every `shards`-th block, so that all shards together yield each sample once.

    Iterating yields (array, class) pairs and ends with the epoch; the next iteration is the next epoch. After
    `load_state_dict`, iteration resumes where `state_dict` was taken, even in mid-epoch.

    Args:
        datasets: Datasets to draw samples from.
        seed: Determines the orders.
        block: Samples per block: larger blocks mix better, smaller ones share less work.
        shuffle: Whether to shuffle; False keeps the order of the files.
        shard: This shard's number, from 0.
        shards: Number of shards.
        chunk: Samples computed at once.
        threads: Threads that compute them.
    """

    def __init__(
        self,
        datasets: Samples | Sequence[Samples],
        *,
        seed: int = 0,
        block: int = 1024,
        shuffle: bool = True,
        shard: int = 0,
        shards: int = 1,
        chunk: int = 16,
        threads: int = 1,
    ) -> None:
        self.datasets = [datasets] if isinstance(datasets, Samples) else list(datasets)
        if not self.datasets or len({d.arrays() for d in self.datasets}) != 1:
            raise ValueError("a stream needs one dataset at least, and samples of one shape")
        if not 0 <= shard < shards:
            raise ValueError(f"shard {shard} of {shards}")
        if block < 1 or chunk < 1:
            raise ValueError("block and chunk must be at least 1")
        self.seed, self.block, self.shuffle = seed, block, shuffle
        self.shard, self.shards, self.chunk, self.threads = shard, shards, chunk, threads
        self.epoch, self.position = 0, 0

    def _blocks(self) -> list[tuple[int, int, int]]:
        """This shard's blocks of the current epoch, in order: dataset, first sample, end."""
        blocks = [
            (number, start, min(start + self.block, len(dataset)))
            for number, dataset in enumerate(self.datasets)
            for start in range(0, len(dataset), self.block)
        ]
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(len(blocks))
            blocks = [blocks[i] for i in order]
        return blocks[self.shard :: self.shards]

    def _order(self, number: int, start: int, stop: int) -> NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(start, stop)
        return start + np.random.default_rng([self.seed, self.epoch, number, start]).permutation(stop - start)

    def __len__(self) -> int:
        """Number of samples of this shard in the epoch."""
        return sum(stop - start for _, start, stop in self._blocks())

    def _chunks(self) -> Iterator[Batch]:
        """Yields the rest of the epoch, chunk by chunk."""
        skip = self.position
        for number, start, stop in self._blocks():
            if skip >= stop - start:
                skip -= stop - start
                continue
            order = self._order(number, start, stop)[skip:]
            skip = 0
            for at in range(0, len(order), self.chunk):
                yield self.datasets[number].batch(order[at : at + self.chunk], self.threads)

    def _end(self) -> None:
        self.epoch, self.position = self.epoch + 1, 0

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        for samples, labels in self._chunks():
            for number, label in enumerate(labels):
                self.position += 1
                yield _at(samples, number), int(label)
        self._end()

    def batches(self, batch_size: int, drop_last: bool = False) -> Iterator[Batch]:
        """Yields the rest of the epoch in batches."""
        held: list[Batch] = []
        count = 0
        for samples, labels in self._chunks():
            while len(labels):
                take = min(batch_size - count, len(labels))
                held.append((_at(samples, slice(take)), labels[:take]))
                samples, labels, count = _at(samples, slice(take, None)), labels[take:], count + take
                if count == batch_size:
                    self.position += count
                    yield _join(held)
                    held, count = [], 0
        if held and not drop_last:
            self.position += count
            yield _join(held)
        self._end()

    def set_epoch(self, epoch: int) -> None:
        """Starts an epoch, as samplers of distributed training do."""
        self.epoch, self.position = epoch, 0

    def _fingerprint(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "block": self.block,
            "shuffle": self.shuffle,
            "shard": self.shard,
            "shards": self.shards,
            "samples": [len(dataset) for dataset in self.datasets],
            "targets": [dataset.target for dataset in self.datasets],
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns the position of the stream: plain numbers, suitable for JSON."""
        return {"epoch": self.epoch, "position": self.position, **self._fingerprint()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes where `state_dict` was taken.

        Raises:
            ValueError: when the state is from another stream.
        """
        for name, value in self._fingerprint().items():
            if state.get(name) != value:
                raise ValueError(f"the state is of another stream: {name} was {state.get(name)!r}, and is {value!r}")
        self.epoch, self.position = int(state["epoch"]), int(state["position"])


def _at(samples: Any, which: int | slice) -> Any:
    """One sample of a batch, or several."""
    return Bins(*(array[which] for array in samples)) if isinstance(samples, Bins) else samples[which]


def _join(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    samples = [part[0] for part in parts]
    if isinstance(samples[0], Bins):
        joined: Any = Bins(*(np.concatenate(arrays) for arrays in zip(*samples, strict=True)))
    else:
        joined = np.concatenate(samples)
    return joined, np.concatenate([part[1] for part in parts])
