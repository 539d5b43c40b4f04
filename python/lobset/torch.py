"""Datasets for PyTorch (the extra `torch`).

>>> from torch.utils.data import DataLoader  # doctest: +SKIP
>>> DataLoader(lobset.torch.DepthDataset("AUDUSD_M6AM4_dataset.parquet"), batch_size=32, shuffle=True)  # doctest: +SKIP
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from lobset import data
from lobset._config import Feature
from lobset._lobset import CLASSIC

__all__ = ["DepthDataset", "RowDataset", "SampleStream", "UniformSampler"]

PathLike = str | os.PathLike[str]


class _Mapped(Dataset):
    """Samples as tensors: item i is (float32 tensor, class)."""

    samples: data.Samples
    """The same samples as NumPy arrays."""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        sample, label = self.samples[index]
        return torch.from_numpy(sample), label

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.samples.shape

    def labels(self) -> torch.Tensor:
        """The classes of all samples, in order: uint8."""
        return torch.from_numpy(self.samples.labels())

    def __repr__(self) -> str:
        return f"lobset.torch.{self.samples!r}"


class DepthDataset(_Mapped):
    """A map-style dataset of depth tensors. Arguments and errors as in `lobset.data.DepthDataset`."""

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
    ) -> None:
        self.samples = data.DepthDataset(
            path, split, balanced, features, samples, stride, ticks_per_bin, micro_pip_size, row_groups, target
        )


class RowDataset(_Mapped):
    """A map-style dataset of rows as vectors. Arguments and errors as in `lobset.data.RowDataset`."""

    def __init__(
        self,
        path: PathLike,
        split: Literal["fit", "holdout"] = "fit",
        balanced: bool = True,
        columns: Sequence[str] | None = None,
        stride: int = 1,
        target: str = CLASSIC,
    ) -> None:
        self.samples = data.RowDataset(path, split, balanced, columns, stride, target)


class UniformSampler(Sampler):
    """Draws every class that occurs equally often, without losing a row.

    An epoch has as many samples as the largest class times the number of classes. Samples of smaller classes repeat, in
    another order each time. The order depends on `seed` and the epoch, which increases with each iteration or is set by
    `set_epoch`.

    >>> DataLoader(dataset, batch_size=32, sampler=UniformSampler(dataset, seed=1))  # doctest: +SKIP
    """

    def __init__(self, dataset: DepthDataset | RowDataset, seed: int = 0) -> None:
        self._labels = dataset.samples.labels()
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        counts = np.unique(self._labels, return_counts=True)[1]
        return int(counts.max() * len(counts)) if len(counts) else 0

    def __iter__(self) -> Iterator[int]:
        order = data.uniform_order(self._labels, self.seed, self.epoch)
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
        datasets: DepthDataset | RowDataset | Sequence[DepthDataset | RowDataset],
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

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        self._take_share()
        for sample, label in self._stream:
            yield torch.from_numpy(sample), label

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
            ValueError: when the state is from another stream, or from another worker's or rank's share.
        """
        self._take_share()
        self._stream.load_state_dict(state)
