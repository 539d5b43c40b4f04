"""Datasets for PyTorch (the extra `torch`).

>>> from torch.utils.data import DataLoader  # doctest: +SKIP
>>> DataLoader(lobset.torch.DepthDataset("AUDUSD_M6AM4_dataset.parquet"), batch_size=32, shuffle=True)  # doctest: +SKIP
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from itertools import islice
from typing import Any, Concatenate, ParamSpec

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, Sampler, default_collate, get_worker_info
from torch.utils.data._utils.collate import default_collate_fn_map

from lobset import data
from lobset._orders import in_batches, uniform_order
from lobset._parts import Parts
from lobset._samples import Dtype, at, label_at

__all__ = ["DepthDataset", "Paint", "RowDataset", "SampleStream", "UniformSampler", "WindowDataset", "loader"]

_P = ParamSpec("_P")
_TYPES = {kind: getattr(torch, kind) for kind in ("float32", "float16", "int8", "int16")}


class _Sample(tuple[Any, Any]):
    """A sample and its class, or its classes by target. It refers to its batch, so that collating needs no copy."""

    batch: tuple[Any, Any]
    number: int
    size: int
    """Samples of the batch."""


class _Batch(Sequence[_Sample]):
    """The samples of a batch. Single samples are created only on access, and PyTorch's default collate never accesses
    them."""

    def __init__(self, samples: Any, labels: Any, size: int) -> None:
        self.batch, self.size = (samples, labels), size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any) -> Any:
        numbers = range(len(self))[index]
        return [self._at(number) for number in numbers] if isinstance(index, slice) else self._at(numbers)

    def _at(self, number: int) -> _Sample:
        sample = _Sample((at(self.batch[0], number), label_at(self.batch[1], number)))
        sample.batch, sample.number, sample.size = self.batch, number, self.size
        return sample


def _collate(samples: Sequence[Any], *, collate_fn_map: Any = None) -> list[Any]:
    """Returns the batch that the samples belong to, if they make up all of it."""
    if isinstance(samples, _Batch):
        return list(samples.batch)
    batch = samples[0].batch
    whole = len(samples) == samples[0].size
    if whole and all(s.batch is batch and s.number == number for number, s in enumerate(samples)):
        return list(batch)
    stacked: list[Any] = default_collate([tuple(sample) for sample in samples])
    return stacked


default_collate_fn_map[_Sample] = _collate


def _new(shape: tuple[int, ...], kind: np.dtype[Any]) -> torch.Tensor:
    """Allocates memory for a batch; in a worker of a `DataLoader`, memory shared between processes, as for PyTorch's
    own batches."""
    if get_worker_info() is None:
        # NumPy asks the system for large pages, PyTorch does not.
        return torch.from_numpy(np.empty(shape, kind))
    of_kind = _TYPES[kind.name]
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * kind.itemsize)
    shared = torch.empty(0, dtype=of_kind).set_(storage, 0, shape, torch.empty(shape, device="meta").stride())
    # Touch all pages now: the system provides them faster to a loop that does nothing else.
    return shared.zero_()


class _Mapped(Dataset):
    """Samples as tensors: item i is (float32 tensor, class); with a list of targets, (float32 tensor, classes by name)."""

    samples: data.Samples
    """The same samples as NumPy arrays."""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        sample, label = self.samples[index]
        return _tensors(sample), label

    def __getitems__(self, indices: Sequence[int]) -> Sequence[_Sample]:
        """Returns the samples of a batch, computed at once: PyTorch's loaders call this."""
        threads = 1 if get_worker_info() is not None else None
        numbers = self.samples._numbers(indices)
        arrays = [_new((len(numbers), *shape), kind) for shape, kind in self.samples.arrays()]
        labels = torch.empty((len(self.samples.targets), len(numbers)), dtype=torch.int64)
        self.samples.fill(numbers, [array.numpy() for array in arrays], labels.numpy(), threads)
        return _Batch(self.samples._joined(arrays), self.samples._named(labels), len(numbers))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.samples.shape

    def source(self, index: Any) -> data.Source:
        """Returns the file, the symbol and the row of a sample, or arrays of them for several samples."""
        return self.samples.source(index.numpy() if isinstance(index, torch.Tensor) else index)

    def labels(self) -> Any:
        """The classes of all samples, in order: uint8. With a list of targets: by name."""
        return _tensors(self.samples.labels())

    def weights(self) -> Any:
        """Returns a weight for each class: float32, for `CrossEntropyLoss(weight=…)`, as `lobset.data.Samples.weights`
        describes."""
        return _tensors(self.samples.weights())

    def __repr__(self) -> str:
        return f"lobset.torch.{self.samples!r}"


def _tensors(sample: Any) -> Any:
    if isinstance(sample, dict):
        return {name: torch.from_numpy(of) for name, of in sample.items()}
    return data.Bins(*map(torch.from_numpy, sample)) if isinstance(sample, data.Bins) else torch.from_numpy(sample)


def _like(constructor: Callable[Concatenate[Any, _P], None]) -> Callable[[Any], Callable[Concatenate[Any, _P], None]]:
    """Gives a constructor the signature of another one."""
    return wraps(constructor)


class DepthDataset(_Mapped):
    """A map-style dataset of depth tensors. Arguments and errors as in `lobset.data.DepthDataset`."""

    @_like(data.DepthDataset.__init__)
    def __init__(self, *args: Any, **keywords: Any) -> None:
        self.samples = data.DepthDataset(*args, **keywords)


class RowDataset(_Mapped):
    """A map-style dataset of rows as vectors. Arguments and errors as in `lobset.data.RowDataset`."""

    @_like(data.RowDataset.__init__)
    def __init__(self, *args: Any, **keywords: Any) -> None:
        self.samples = data.RowDataset(*args, **keywords)


class WindowDataset(_Mapped):
    """A map-style dataset of windows of rows. Arguments and errors as in `lobset.data.WindowDataset`."""

    @_like(data.WindowDataset.__init__)
    def __init__(self, *args: Any, **keywords: Any) -> None:
        self.samples = data.WindowDataset(*args, **keywords)


class loader:
    """Loads whole batches of a dataset as fast as possible: threads of this process compute them into memory that is
    reused.

    Iterating yields (tensor, classes) pairs and ends with the epoch; with `output="bins"` the tensor is
    `lobset.data.Bins` of tensors, and with a list of targets the classes are a dict. A batch is valid until the loop
    has advanced by `buffers - 1` batches: copy anything that you keep longer.

    >>> for tensors, labels in lobset.torch.loader(dataset, batch_size=32, seed=1):  # doctest: +SKIP
    ...     loss = criterion(model(tensors), labels)

    Args:
        dataset: A dataset of this module, or a `Subset` or `ConcatDataset` of such datasets. Combining several datasets
            in a batch takes a copy; to mix symbols, give one dataset several paths instead.
        batch_size: Samples of a batch; the last one may have fewer.
        shuffle: Whether to shuffle, in an order that depends on `seed` and the epoch. False keeps the order of the file.
        seed: Determines the orders.
        sampler: Sample numbers in the order in which they are wanted, such as a `UniformSampler`, in place of `shuffle`.
        drop_last: Leave out the last batch if it is smaller than the others.
        dtype: Type of the cells of tensors: `"float32"`, `"float16"` or `"int8"` (-127 to 127).
        threads: Threads that compute batches; all cores by default.
        pin_memory: Use pinned memory, from which a GPU copies faster; the default is to do so if there is a GPU.
        buffers: Batches in memory: one that the loop works with, and those computed ahead; at least 2.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int = 32,
        *,
        shuffle: bool = True,
        seed: int = 0,
        sampler: Sampler | None = None,
        drop_last: bool = False,
        dtype: Dtype = "float32",
        threads: int | None = None,
        pin_memory: bool | None = None,
        buffers: int = 3,
    ) -> None:
        if batch_size < 1 or buffers < 2:
            raise ValueError("batch_size must be at least 1, and buffers at least 2")
        self.dataset, self.batch_size, self.shuffle, self.seed = dataset, batch_size, shuffle, seed
        self._parts = Parts(dataset)
        self.sampler, self.drop_last, self.dtype, self.threads = sampler, drop_last, dtype, threads
        self.pin_memory = torch.cuda.is_available() if pin_memory is None else pin_memory
        self.buffers = buffers
        self.epoch = 0
        self._arrays = self._parts.parts[0].arrays(dtype)

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        count = len(self._parts if self.sampler is None else self.sampler)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Starts an epoch, as samplers of distributed training do."""
        self.epoch = epoch

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """The sample numbers of each batch of the epoch."""
        if self.sampler is None:
            seed = (self.seed, epoch)
            yield from in_batches(len(self._parts), self.batch_size, self.shuffle, seed, self.drop_last)
            return
        drawn = iter(self.sampler)
        least = self.batch_size if self.drop_last else 1
        while len(batch := np.fromiter(islice(drawn, self.batch_size), np.int64)) >= least:
            yield batch

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        batches = self._batches(self.epoch)
        self.epoch += 1
        parts = self._parts
        samples = parts.parts[0]
        targets = len(samples.targets)

        def new() -> tuple[list[torch.Tensor], torch.Tensor]:
            size = self.batch_size
            arrays = [torch.empty((size, *shape), dtype=_TYPES[kind.name]) for shape, kind in self._arrays]
            labels = torch.empty(targets * size, dtype=torch.int64)
            return ([a.pin_memory() for a in arrays], labels.pin_memory()) if self.pin_memory else (arrays, labels)

        def fill(held: tuple[list[torch.Tensor], torch.Tensor], numbers: NDArray[np.int64]) -> tuple[Any, Any]:
            count = len(numbers)
            arrays, labels = [array[:count] for array in held[0]], held[1][: targets * count].view(targets, count)
            parts.fill(numbers, [array.numpy() for array in arrays], labels.numpy(), self.threads)
            return samples._joined(arrays), samples._named(labels)

        with ThreadPoolExecutor(1, "lobset-loader") as worker:
            # The caller uses one of the buffers; the others are being filled, or are ready to be taken.
            free = deque(new() for _ in range(self.buffers))
            running: deque[tuple[Any, Any]] = deque()
            while True:
                while free and (numbers := next(batches, None)) is not None:
                    held = free.popleft()
                    running.append((held, worker.submit(fill, held, numbers)))
                if not running:
                    return
                held, batch = running.popleft()
                yield batch.result()
                free.append(held)


class Paint(torch.nn.Module):
    """Paints bins as depth tensors, on the device where they are, as a first layer of a model.

    The input is `lobset.data.Bins` of tensors, as in datasets with `output="bins"` and their batches: rows of the
    ladder (…, 2, 10, T) int16 and values (…, n, 2, 10, T). The output is (…, n, 402, T) float32, or (…, 402, T) for one
    feature. Cells of `volume` and `trade_counts` have the same bits as with `output="tensor"`; those of `variance`
    differ by at most 1e-6, because a GPU adds in a different order.
    """

    def forward(self, bins: "data.Bins | Sequence[torch.Tensor]") -> torch.Tensor:
        ladder_rows, values = bins
        rows = ladder_rows.long().unsqueeze(-4)
        there = rows >= 0
        # If two levels of a side are on one row, the deeper one is kept.
        deeper = torch.ones(10, 10, dtype=torch.bool, device=rows.device).triu(1)
        hidden = (rows.unsqueeze(-2) == rows.unsqueeze(-3)) & deeper[:, :, None]
        values = torch.where(there & ~hidden.any(-2), values.double(), 0.0)
        # Levels off the ladder go to an extra row, which is dropped.
        rows = torch.where(there, rows, 402).expand(values.shape)
        *batch, _, _, time_bins = values.shape
        steps = torch.zeros((*batch, 2, 403, time_bins), dtype=torch.float64, device=values.device)
        steps = steps.scatter_add_(-2, rows, values)[..., :402, :]
        bids, asks = steps.unbind(-3)
        picture = asks.flip(-2).cumsum(-2).flip(-2) - bids.cumsum(-2)
        largest = picture.abs().amax((-2, -1), keepdim=True)
        # Adding 0 turns -0, which a quotient may round to, into 0.
        picture = (picture / torch.where(largest > 0, largest, 1.0)).float() + 0.0
        return picture.squeeze(-3) if picture.shape[-3] == 1 else picture


class UniformSampler(Sampler):
    """Draws every class that occurs equally often without leaving out a row. With a list of targets, uses the classes
    of the first.

    `dataset` is one of this module, or a `Subset` or `ConcatDataset` of such datasets.

    An epoch has as many samples as the largest class times the number of classes. Samples of smaller classes repeat, in
    a different order each time. The order depends on `seed` and the epoch, which increases with each iteration or is
    set by `set_epoch`.

    >>> DataLoader(dataset, batch_size=32, sampler=UniformSampler(dataset, seed=1))  # doctest: +SKIP
    """

    def __init__(self, dataset: Dataset[Any], seed: int = 0) -> None:
        self._labels = Parts(dataset).labels()
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        counts = np.unique(self._labels, return_counts=True)[1]
        return int(counts.max() * len(counts)) if len(counts) else 0

    def __iter__(self) -> Iterator[int]:
        order = uniform_order(self._labels, self.seed, self.epoch)
        self.epoch += 1
        return order

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""
        self.epoch = epoch


class SampleStream(IterableDataset):
    """An iterable dataset for data larger than memory: blocks of neighbouring samples in shuffled order.

    The stream is sharded over the workers of a `DataLoader` and the ranks of `torch.distributed`, if that is
    initialised: together they yield each sample once per epoch. `state_dict` and `load_state_dict` (with torchdata's
    `StatefulDataLoader`, or without workers) resume in mid-epoch.

    Without workers, the epoch increases with each iteration. Workers live for one epoch, so with them call `set_epoch`
    before each epoch.

    Args:
        datasets: Datasets to draw samples from: depth tensors or rows, all of one shape.
        seed, block, shuffle: As in `lobset.data.BlockStream`.
    """

    def __init__(
        self,
        datasets: _Mapped | Sequence[_Mapped],
        *,
        seed: int = 0,
        block: int = 1024,
        shuffle: bool = True,
    ) -> None:
        mapped = [datasets] if isinstance(datasets, _Mapped) else list(datasets)
        self._stream = data.BlockStream([d.samples for d in mapped], seed=seed, block=block, shuffle=shuffle)

    def _take_share(self) -> None:
        worker = get_worker_info()
        workers, number = (1, 0) if worker is None else (worker.num_workers, worker.id)
        ranks, rank = 1, 0
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            ranks, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        self._stream.shard, self._stream.shards = rank * workers + number, ranks * workers

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        self._take_share()
        for sample, label in self._stream:
            yield _tensors(sample), label

    def set_epoch(self, epoch: int) -> None:
        """Starts an epoch."""
        self._stream.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Returns the position of the stream: plain numbers, suitable for JSON."""
        self._take_share()
        return self._stream.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes where `state_dict` was taken.

        Raises:
            ValueError: when the state is from another stream, or from the share of another worker or rank.
        """
        self._take_share()
        self._stream.load_state_dict(state)
