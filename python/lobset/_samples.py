"""What all datasets of samples have in common."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobset import _lobset, _numbers
from lobset._config import Config
from lobset._engine import Progress, watched
from lobset._errors import InputError

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
    """Samples of one dataset, by number. Create a `DepthDataset`, a `RowDataset` or a `WindowDataset` to get one."""

    def __init__(self, given: dict[str, Any]) -> None:
        """Opens a dataset with what its constructor was given: its `locals()`."""
        self._path: str = os.fspath(given["path"])
        outside = ("self", "path", "progress", "__class__")
        self._arguments = {name: value for name, value in given.items() if name not in outside}
        self._identity = _lobset.identity(self._path)
        with watched(given["progress"]) as show:
            self._samples = self._open(None, show)

    def _open(self, built: bytes | None, progress: Progress | None) -> _lobset.Samples:
        raise NotImplementedError("create a DepthDataset, a RowDataset or a WindowDataset")

    def _which(self) -> tuple[str, bool, int, str]:
        """Which rows are samples."""
        a = self._arguments
        return a["split"], a["balanced"], a["stride"], a["target"]

    def _cache(self) -> PathLike | None:
        """The folder of the cache file."""
        cache: PathLike | None = self._arguments["cache"]
        return _lobset.cache_folder() if cache == "auto" else cache

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
        """The shape of one sample: of a tensor, also with `output="bins"`, of a vector, or of a window."""
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

    def _numbers(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """The numbers of samples, of which negative ones count from the end."""
        numbers = np.array(indices, np.int64)
        numbers[numbers < 0] += len(self)
        outside = (numbers < 0) | (numbers >= len(self))
        if outside.any():
            raise IndexError(f"sample {indices[int(np.argmax(outside))]} of {len(self)}")
        return numbers

    def __getitem__(self, index: int) -> tuple[Any, int]:
        samples, labels = self.batch([self._number(int(index))], threads=1)
        return at(samples, 0), int(labels[0])

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
        self._fill(indices, out, labels, _numbers.threads_or_all(threads))

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


def at(samples: Any, which: int | slice) -> Any:
    """One sample of a batch, or several."""
    return Bins(*(array[which] for array in samples)) if isinstance(samples, Bins) else samples[which]
