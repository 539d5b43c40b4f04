"""Samples of datasets as NumPy arrays: one by one, in batches, or as a shuffled stream. `lobset.torch` builds on this
module.

There are three ways to read a dataset written by `lobset.process`:

- `DepthDataset`, `RowDataset` and `WindowDataset` return sample number i.
- `batches` iterates over one of them, in order or shuffled.
- `BlockStream` shuffles blocks of neighbouring samples, which share the work of decoding and of time bins. It is
  sharded over workers and ranks and resumes in mid-epoch.

All of them read from a cache file, which is built when a dataset is opened for the first time. With `cache=None` they
read from the dataset itself and keep a few of its row groups in memory. They yield the same order for the same seed and
can be pickled. Windows never cross a break or the start of the symbol. Rows under embargo and rows without a label of
the target are never returned.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lobset import _lobset, _numbers
from lobset._config import Feature
from lobset._engine import Progress
from lobset._files import PathLike
from lobset._lobset import CLASSIC
from lobset._moments import ColumnMoments, Moments
from lobset._orders import in_batches, uniform_order
from lobset._rows import RowDataset, WindowDataset
from lobset._samples import Batch, Bins, Dtype, Samples, Source, SplitName, at, label_at
from lobset._times import Moment

__all__ = [
    "Bins",
    "BlockStream",
    "ColumnMoments",
    "DepthDataset",
    "Moments",
    "RowDataset",
    "Samples",
    "Source",
    "WindowDataset",
    "batches",
    "paint",
    "uniform_order",
]


class DepthDataset(Samples):
    """Depth tensors: item i is (the tensor of the `samples` rows that end at a row, the class of that row).

    Args:
        path: Path or URL of a `*_dataset.parquet`, several of them, or an output folder for all datasets that its
            manifest names. Samples are numbered dataset by dataset; a warning names datasets without samples.
        split: `"fit"` or `"holdout"`.
        balanced: Use the same number of samples of every class, counted over all datasets and spread evenly over their
            samples in order.
        features: Channels. The default is the dataset's setting, as for `samples`, `ticks_per_bin` and
            `micro_pip_size`.
        samples: Rows of a window, a multiple of `ticks_per_bin`.
        stride: Distance in rows between neighbouring samples of an unbroken stretch, counted from its first whole
            window. With a stride that is a multiple of `ticks_per_bin`, samples share time bins.
        ticks_per_bin: Rows of a time bin.
        micro_pip_size: Price step of the ladder, in price units. If the dataset was written with `"auto"`, the default
            is the step that was chosen for its symbol.
        row_groups: Without a cache file: row groups of 131,072 rows to keep decoded, about 31 MB each with two features.
            The default, one more than a window spans, is enough to go through a file in order or in blocks.
        target: The target whose classes, splits and marks are used; by default the one that the flat settings describe.
            Rows that it does not label are not samples. With a list of targets, labels are a dict by name, samples are
            the rows that have a label for all targets and are in the split for all of them, and `balanced` counts the
            classes of the first.
        symbols: The datasets to take from an output folder.
        since: Take the rows received at this moment or later: an ISO 8601 text, a date or datetime, or nanoseconds
            since 1970; UTC without a time zone. Windows may begin earlier.
        until: Take the rows whose labels end before this moment, by the rule that separates `fit` from `holdout`: no
            sample's label looks at a row that `since` with the same moment takes. Class boundaries and normalisation
            still come from the whole fit half. The file does not contain the rows after its last one, so a holdout
            label that ends there is left out, however late the moment.
        output: `"tensor"`, or `"bins"` for what tensors are painted from, at a tenth of their size (`Bins`, `paint`).
        cache: Where the time bins of the whole dataset are kept, so that any sample takes one read: the user's cache
            folder (`"auto"`: `$LOBSET_CACHE`, else `~/.cache/lobset`), another folder, or None to decode row groups
            whenever they are needed, which is slow except in file order. The file is built when the dataset is opened
            for the first time. With two features it takes about 160 bytes per row, and a hundredth of that if `stride`
            is a multiple of `ticks_per_bin`. `lobset cache` lists and removes such files.
        progress: Show a bar while the cache file is built.

    Raises:
        InputError: when a file cannot be read or was written with `drop_unbalanced`, and when no file has samples. With
            `since` or `until`, when it lacks `ts_recv` (`columns = "book"`).
        OutputError: when there is no room for a cache file, or it cannot be written.
        ConfigError: for settings out of range, for a target or a symbol that does not exist, and for datasets whose
            samples differ in shape, columns or number of classes.
    """

    def __init__(
        self,
        path: PathLike | Iterable[PathLike],
        split: SplitName = "fit",
        balanced: bool = True,
        features: Sequence[Feature] | None = None,
        samples: int | None = None,
        stride: int = 1,
        ticks_per_bin: int | None = None,
        micro_pip_size: float | None = None,
        row_groups: int | None = None,
        target: str | Sequence[str] = CLASSIC,
        symbols: Sequence[str] | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        output: Literal["tensor", "bins"] = "tensor",
        cache: Literal["auto"] | PathLike | None = "auto",
        progress: bool = True,
    ) -> None:
        if output not in ("tensor", "bins"):
            raise ValueError(f'output must be "tensor" or "bins", not {output!r}')
        super().__init__(locals())

    def _open(self, built: list[bytes] | None, progress: Progress | None) -> _lobset.Samples:
        a = self._arguments
        tensor = (a["features"], a["samples"], a["ticks_per_bin"], a["micro_pip_size"], a["row_groups"])
        return _lobset.Samples.depth(self._paths, self._which(), *tensor, self._cache(), built, progress)

    @property
    def micro_pip_sizes(self) -> list[float]:
        """The price step of the ladder for each of `paths`, in price units."""
        return self._samples.micro_pip_sizes

    @property
    def coverages(self) -> list[float | None]:
        """For each of `paths`, the share of the book that is on the ladder, 0 to 1, in 64 samples spread evenly. It is
        the share of levels within the 402 steps around the last row's mid, among the levels of both sides that have a
        price, in all time bins. Tensors with little of the book are nearly blank; if so, choose a larger
        `micro_pip_size`. None if no level has a price."""
        return self._samples.coverages(64)

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
    """Paints the bins of one sample or of a batch. The tensors are those that `output="tensor"` gives, to the last bit.

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
    _lobset.paint(ladder_rows, values, out, time_bins, features, _numbers.threads_or_all(threads))
    return out


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
    for numbers in in_batches(len(dataset), batch_size, shuffle, (seed, epoch), drop_last):
        yield dataset.batch(numbers, threads)


class BlockStream:
    """A block-shuffled stream of this shard's share of one or more datasets, one epoch after another.

    The order of the blocks of neighbouring samples, and of the samples within each block, depends on `seed` and the
    epoch. Every shard takes every `shards`-th block, so that all shards together yield each sample once.

    Iterating yields (array, class) pairs, or (array, classes by target) with a list of targets, and ends with the
    epoch; the next iteration is the next epoch. After `load_state_dict`, iteration resumes where `state_dict` was
    taken, even in mid-epoch.

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
        if len({d._kind for d in self.datasets}) != 1:
            raise ValueError("a stream needs one dataset at least, and samples of one shape and with the same targets")
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

    def _chunks(self) -> Iterator[tuple[Any, Any, int]]:
        """Yields the rest of the epoch chunk by chunk: samples, classes, and the number of samples."""
        skip = self.position
        for number, start, stop in self._blocks():
            if skip >= stop - start:
                skip -= stop - start
                continue
            order = self._order(number, start, stop)[skip:]
            skip = 0
            for first in range(0, len(order), self.chunk):
                numbers = order[first : first + self.chunk]
                yield *self.datasets[number].batch(numbers, self.threads), len(numbers)

    def _end(self) -> None:
        self.epoch, self.position = self.epoch + 1, 0

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        for samples, labels, count in self._chunks():
            for number in range(count):
                self.position += 1
                yield at(samples, number), label_at(labels, number)
        self._end()

    def batches(self, batch_size: int, drop_last: bool = False) -> Iterator[Batch]:
        """Yields the rest of the epoch in batches."""
        held: list[Batch] = []
        count = 0
        for samples, labels, left in self._chunks():
            while left:
                take = min(batch_size - count, left)
                held.append((at(samples, slice(take)), at(labels, slice(take))))
                samples, labels = at(samples, slice(take, None)), at(labels, slice(take, None))
                count, left = count + take, left - take
                if count == batch_size:
                    self.position += count
                    yield _join(held)
                    held, count = [], 0
        if held and not drop_last:
            self.position += count
            yield _join(held)
        self._end()

    def set_epoch(self, epoch: int) -> None:
        """Starts an epoch, like samplers for distributed training."""
        self.epoch, self.position = epoch, 0

    def _fingerprint(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "block": self.block,
            "shuffle": self.shuffle,
            "shard": self.shard,
            "shards": self.shards,
            "samples": [len(dataset) for dataset in self.datasets],
            "targets": [dataset.targets for dataset in self.datasets],
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


def _join(parts: list[Batch]) -> Batch:
    return parts[0] if len(parts) == 1 else (_joined([p[0] for p in parts]), _joined([p[1] for p in parts]))


def _joined(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in first}
    if isinstance(first, Bins):
        return Bins(*map(np.concatenate, zip(*parts, strict=True)))
    return np.concatenate(parts)
