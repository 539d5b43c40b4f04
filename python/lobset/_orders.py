"""Orders in which samples are drawn."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TURNS = 4096
"""Number of rounds drawn at once."""


def in_batches(
    count: int, batch_size: int, shuffle: bool, seed: tuple[int, int], drop_last: bool
) -> Iterator[NDArray[np.int64]]:
    """Yields the numbers below `count` in batches, in order or shuffled by a seed and an epoch."""
    order = np.random.default_rng(seed).permutation(count) if shuffle else None
    for start in range(0, count, batch_size):
        stop = min(start + batch_size, count)
        if drop_last and stop - start < batch_size:
            return
        yield np.arange(start, stop) if order is None else order[start:stop]


def uniform_order(labels: NDArray[np.uint8], seed: int, epoch: int = 0) -> Iterator[int]:
    """Yields sample numbers so that every class that occurs comes equally often and every sample at least once.

    Each round has one sample of each class. A class that runs out before the largest one starts again in a different
    order. Uses eight bytes of memory per sample.
    """
    for numbers in uniform_arrays(labels, seed, epoch):
        yield from numbers.tolist()


def uniform_arrays(labels: NDArray[np.uint8], seed: int, epoch: int = 0) -> Iterator[NDArray[np.int64]]:
    """Yields the numbers of `uniform_order` in arrays of whole rounds."""
    rng = np.random.default_rng([seed, epoch])
    drawn = [_Endless(np.flatnonzero(labels == label), rng) for label in np.unique(labels)]
    largest = max((len(of_class.members) for of_class in drawn), default=0)
    for start in range(0, largest, _TURNS):
        rounds = np.stack([of_class.take(min(_TURNS, largest - start)) for of_class in drawn], axis=1)
        yield rng.permuted(rounds, axis=1).ravel()


class _Endless:
    """Endless samples of one class, in a random order that changes each time all have been drawn."""

    def __init__(self, members: NDArray[np.int64], rng: Any) -> None:
        self.members, self._rng = members, rng
        self._order, self._at = rng.permutation(members), 0

    def take(self, count: int) -> NDArray[np.int64]:
        parts = []
        while count > 0:
            if self._at == len(self._order):
                self._order, self._at = self._rng.permutation(self.members), 0
            parts.append(self._order[self._at : self._at + count])
            self._at += len(parts[-1])
            count -= len(parts[-1])
        return np.concatenate(parts)
