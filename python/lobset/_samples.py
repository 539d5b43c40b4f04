"""Code shared by all datasets of samples."""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobset import _lobset, _numbers
from lobset._config import Config
from lobset._engine import Progress, watched
from lobset._errors import InputError
from lobset._files import PathLike, dataset_files
from lobset._times import nanoseconds

Array = NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]
"""Samples of one type: any cell type for tensors, float32 for vectors."""
Dtype = Literal["float32", "float16", "int8"]
"""Types of the cells of depth tensors: float16 is the nearest number, int8 the nearest of 255 levels from -127 to 127."""


class Bins(NamedTuple):
    """The time bins of depth tensors before they are painted, as arrays of NumPy or tensors of PyTorch. Batches have an
    additional first axis."""

    ladder_rows: Any
    """Row of each level on the ladder, or -1 where it is missing or off the ladder: (2, 10, T) int16; bids first."""
    values: Any
    """Value of each feature: (n, 2, 10, T) float32."""


SplitName = Literal["fit", "holdout"]
"""The splits that samples can come from. Rows under embargo are never samples."""
Labels = NDArray[np.int64] | dict[str, NDArray[np.int64]]
"""Classes of samples; with a list of targets, those of each by its name."""
Batch = tuple[Any, Labels]
"""Samples along the first axis, and their classes. With `output="bins"` the samples are `Bins`."""


class Source(NamedTuple):
    """Where one sample comes from or, as arrays, where several do."""

    path: Any
    """The dataset file."""
    symbol: Any
    """The dataset's symbol, as the exchange writes it."""
    row: Any
    """The column `row`: the number of the sample's last row in its symbol's stream, which `lobset.explain` takes."""


_MOST_STRIDE = 2**63 - 1


class Samples:
    """Samples of datasets, by number. Create a `DepthDataset`, a `RowDataset` or a `WindowDataset` to get one."""

    def __init__(self, given: dict[str, Any]) -> None:
        """Opens datasets with the arguments of the constructor, given as its `locals()`."""
        outside = ("self", "path", "symbols", "progress", "__class__")
        self._arguments = {name: value for name, value in given.items() if name not in outside}
        for name in ("since", "until"):
            if self._arguments[name] is not None:
                self._arguments[name] = nanoseconds(name, self._arguments[name])
        self._arguments["stride"] = _numbers.whole("stride", given["stride"], _MOST_STRIDE, 1)
        self._paths = dataset_files(given["path"], given["symbols"])
        identities = [_lobset.identity(path) for path in self._paths]
        with watched(given["progress"]) as show:
            self._samples = self._open(None, show)
        without = self._samples.without
        if without:
            text = "\n  ".join(without)
            warnings.warn(f"{len(without)} of {len(self._paths)} datasets have no sample:\n  {text}", stacklevel=3)
        self._paths = [self._paths[place] for place in self._samples.kept]
        self._identities = [identities[place] for place in self._samples.kept]

    def _open(self, built: list[bytes] | None, progress: Progress | None) -> _lobset.Samples:
        raise NotImplementedError("create a DepthDataset, a RowDataset or a WindowDataset")

    def _which(self) -> dict[str, object]:
        """Which rows are samples."""
        names = ("split", "balanced", "stride", "since", "until")
        return {name: self._arguments[name] for name in names} | {"targets": self.targets}

    def _cache(self) -> PathLike | None:
        """The folder of the cache files."""
        cache: PathLike | None = self._arguments["cache"]
        return _lobset.cache_folder() if cache == "auto" else cache

    @property
    def paths(self) -> list[str]:
        """The dataset files with samples, in the order in which their samples are numbered."""
        return self._paths

    @property
    def symbols(self) -> list[str]:
        """The symbol of each of `paths`, as the exchange writes it."""
        return self._samples.symbols

    @property
    def configs(self) -> list[Config]:
        """The settings that each of `paths` was created with."""
        return [Config._of(json.loads(config)) for config in self._samples.configs]

    @property
    def targets(self) -> list[str]:
        """The targets whose classes and splits are used. The first one decides what is balanced."""
        target = self._arguments["target"]
        return [target] if isinstance(target, str) else list(target)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: a tensor (even with `output="bins"`), a vector, or a window."""
        return tuple(self._samples.shape)

    def arrays(self, dtype: Dtype = "float32") -> tuple[tuple[tuple[int, ...], Any], ...]:
        """Returns the shape and type of the arrays that make up one sample: two for bins, otherwise one."""
        return ((self.shape, np.dtype(dtype)),)

    @property
    def _kind(self) -> tuple[Any, ...]:
        """What must be equal for samples to be in one batch."""
        target = self._arguments["target"]
        return (self.arrays(), None if isinstance(target, str) else tuple(target))

    def __len__(self) -> int:
        return len(self._samples)

    def _number(self, index: int) -> int:
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return number

    def _numbers(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Returns sample numbers, where negative ones count from the end."""
        numbers = np.array(indices, np.int64)
        numbers[numbers < 0] += len(self)
        outside = (numbers < 0) | (numbers >= len(self))
        if outside.any():
            raise IndexError(f"sample {indices[int(np.argmax(outside))]} of {len(self)}")
        return numbers

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        samples, labels = self.batch([self._number(int(index))], threads=1)
        return at(samples, 0), label_at(labels, 0)

    def position(self, index: int) -> int:
        """Returns the position of a sample's row in its file, counted from 0."""
        return self._samples.position(self._number(int(index)))

    def source(self, index: int | Sequence[int] | NDArray[np.integer[Any]]) -> Source:
        """Returns the file, the symbol and the row of a sample, or arrays of them for several samples."""
        one = isinstance(index, (int, np.integer))
        numbers = self._numbers(np.atleast_1d(np.asarray(index)))
        places, rows = self._samples.source(numbers)
        if one:
            return Source(self.paths[int(places[0])], self.symbols[int(places[0])], int(rows[0]))
        return Source(np.array(self.paths)[places], np.array(self.symbols)[places], rows)

    def _by_target(self, of: Callable[[int], Any]) -> Any:
        """Returns the values by target name if a list of targets was given, otherwise the only one."""
        if isinstance(self._arguments["target"], str):
            return of(0)
        return {name: of(place) for place, name in enumerate(self.targets)}

    def labels(self) -> Any:
        """Returns the classes of all samples, in order: one byte each. With a list of targets: by name."""
        return self._by_target(self._samples.labels)

    def weights(self) -> Any:
        """Returns a weight for each class, as `CrossEntropyLoss(weight=…)` takes them: the number of samples, divided by
        the number of classes that occur and by the number of samples of the class, as float32. So the mean weight of a
        sample is 1. A class without a sample gets 0. With a list of targets: by name."""

        def of_target(place: int) -> NDArray[np.float32]:
            counts = np.bincount(self._samples.labels(place), minlength=self._samples.classes(place))
            there = counts > 0
            weights = counts.sum() / (there.sum() * np.maximum(counts, 1))
            return np.where(there, weights, 0).astype(np.float32)

        return self._by_target(of_target)

    def batch(
        self,
        indices: Sequence[int] | NDArray[np.integer[Any]],
        threads: int | None = None,
        dtype: Dtype = "float32",
    ) -> Batch:
        """Computes several samples on several threads (all cores by default), without the interpreter's lock."""
        numbers = np.ascontiguousarray(indices, dtype=np.int64)
        out = [np.empty((len(numbers), *shape), kind) for shape, kind in self.arrays(dtype)]
        labels = np.empty((len(self.targets), len(numbers)), dtype=np.int64)
        self.fill(numbers, out, labels, threads)
        return self._joined(out), self._named(labels)

    def fill(
        self,
        indices: NDArray[np.int64],
        out: Sequence[NDArray[Any]],
        labels: NDArray[np.int64],
        threads: int | None = None,
    ) -> None:
        """Writes several samples and their classes into existing arrays. Those of `out` are in C order and as `arrays`
        describes them, with an additional first axis; `labels` has a row for each target, or one axis if there is one
        target. Allocating new memory for each batch can take as long as computing the samples."""
        self._fill(indices, out, labels, _numbers.threads_or_all(threads))

    def _fill(self, indices: NDArray[np.int64], out: Sequence[Any], labels: NDArray[np.int64], threads: int) -> None:
        self._samples.fill(indices, out[0], labels, threads)

    def _joined(self, arrays: Sequence[Any]) -> Any:
        """Returns a batch made of the arrays of `arrays`, NumPy's or PyTorch's."""
        return arrays[0]

    def _named(self, labels: Any) -> Any:
        """Returns the classes of a batch, from a NumPy or PyTorch array with a row for each target."""
        return self._by_target(lambda place: labels[place])

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "_samples"}
        return {**state, "_built": self._samples.index_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        built = state.pop("_built")
        self.__dict__.update(state)
        for path, identity in zip(self._paths, self._identities, strict=True):
            if _lobset.identity(path) != identity:
                message = f"{path}: is no longer the file that this dataset was opened from"
                raise InputError(message, path=Path(path))
        self._samples = self._open(built, None)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments.items() if value is not None)
        paths = self._paths if len(self._paths) > 1 else self._paths[0]
        return f"{type(self).__name__}({paths!r}, {arguments})"


def at(samples: Any, which: int | slice) -> Any:
    """Returns one sample of a batch, or several, or the classes of several."""
    if isinstance(samples, dict):
        return {name: of[which] for name, of in samples.items()}
    return Bins(*(array[which] for array in samples)) if isinstance(samples, Bins) else samples[which]


def label_at(labels: Any, which: int) -> Any:
    """Returns the class of one sample of a batch, or its classes by target."""
    return {name: int(of[which]) for name, of in labels.items()} if isinstance(labels, dict) else int(labels[which])
