"""Datasets of `lobset.torch`, their subsets and their concatenations, as numbered samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, Subset

from lobset._samples import Samples


class Parts:
    """The numbered samples of a dataset, each of which is a sample of one of `parts`."""

    def __init__(self, dataset: Any) -> None:
        self.parts: list[Samples]
        self._which: NDArray[np.intp] | None = None
        """The part of each sample; None if all samples are those of a single part, in order."""
        self._numbers: NDArray[np.int64] | None = None
        """The number of each sample in its part."""
        if isinstance(dataset, Subset):
            base, indices = Parts(dataset.dataset), np.asarray(dataset.indices, np.int64)
            self.parts = base.parts
            self._which, self._numbers = base._at(indices)
        elif isinstance(dataset, ConcatDataset):
            bases = [Parts(one) for one in dataset.datasets]
            self.parts = [part for base in bases for part in base.parts]
            firsts = np.cumsum([0] + [len(base.parts) for base in bases])
            found = [base._at(np.arange(len(base))) for base in bases]
            self._which = np.concatenate([which + first for (which, _), first in zip(found, firsts, strict=False)])
            self._numbers = np.concatenate([numbers for _, numbers in found])
        elif isinstance(samples := getattr(dataset, "samples", None), Samples):
            self.parts = [samples]
        else:
            raise TypeError(
                f"{type(dataset).__name__}: not a dataset of lobset.torch, nor a Subset or ConcatDataset of such datasets"
            )
        if len({part._kind for part in self.parts}) != 1:
            raise ValueError("samples of several datasets need one shape and the same targets")

    def __len__(self) -> int:
        return len(self.parts[0]) if self._numbers is None else len(self._numbers)

    def _at(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Returns the parts of samples, and the numbers of the samples in their parts."""
        if self._which is None or self._numbers is None:
            numbers = self.parts[0]._numbers(indices)
            return np.zeros(len(numbers), np.intp), numbers
        return self._which[indices], self._numbers[indices]

    def labels(self, target: int = 0) -> NDArray[np.uint8]:
        """Returns the classes of all samples for target number `target`."""
        of_parts = [part._samples.labels(target) for part in self.parts]
        if self._which is None or self._numbers is None:
            return of_parts[0]
        out = np.empty(len(self), np.uint8)
        for place, labels in enumerate(of_parts):
            mine = self._which == place
            out[mine] = labels[self._numbers[mine]]
        return out

    def fill(
        self, indices: NDArray[np.int64], out: Sequence[NDArray[Any]], labels: NDArray[np.int64], threads: int | None
    ) -> None:
        """Writes several samples into existing arrays, like `Samples.fill`. If they are from several parts, they are
        copied."""
        which, numbers = self._at(indices)
        if (which == which[:1]).all():
            self.parts[int(which[0])].fill(numbers, out, labels, threads)
            return
        for place in np.unique(which):
            mine = which == place
            arrays = [np.empty((int(mine.sum()), *array.shape[1:]), array.dtype) for array in out]
            of_part = np.empty((len(labels), int(mine.sum())), np.int64)
            self.parts[place].fill(numbers[mine], arrays, of_part, threads)
            for array, found in zip(out, arrays, strict=True):
                array[mine] = found
            labels[:, mine] = of_part
