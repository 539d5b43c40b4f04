import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import CapsuleType

CLASSIC: str
STAGES_IN_BYTES: list[str]
__version__: str
__all__ = [
    "CLASSIC",
    "STAGES_IN_BYTES",
    "DepthProcessor",
    "Moments",
    "RowGroup",
    "RowStream",
    "Samples",
    "__version__",
    "build",
    "cache_folder",
    "command",
    "estimate",
    "explain",
    "fit_thresholds",
    "identity",
    "inspect",
    "manifest",
    "paint",
    "process",
    "process_as_tasks",
    "report",
    "resolve",
    "row_groups",
    "run_task",
    "settings",
    "simulate",
    "thresholds",
    "to_toml",
    "try_task",
    "validate",
    "values",
]

_Path: TypeAlias = str | os.PathLike[str]
_Progress: TypeAlias = Callable[[str, int, int], object]

def command(words: Sequence[str]) -> int: ...
def settings() -> str: ...
def to_toml(config: str) -> str: ...
def values(config: str) -> str: ...
def resolve(toml: tuple[str, str] | None, values: str, file: _Path | None = None) -> str: ...
def process(
    inputs: Sequence[_Path],
    out: _Path,
    config: str,
    thresholds: _Path | None,
    symbology: _Path | None,
    threads: int,
    overwrite: bool,
    progress: _Progress | None,
) -> str: ...
def estimate(
    inputs: Sequence[_Path],
    out: _Path,
    config: str,
    thresholds: _Path | None,
    symbology: _Path | None,
    threads: int,
    overwrite: bool,
    progress: _Progress | None,
) -> str: ...
def process_as_tasks(
    executor: object,
    inputs: Sequence[_Path],
    out: _Path,
    work: _Path | None,
    config: str,
    thresholds: _Path | None,
    symbology: _Path | None,
    threads: int,
    overwrite: bool,
    progress: _Progress | None,
) -> str: ...
def run_task(kind: str, spec: str) -> str: ...
def try_task(kind: str, spec: str) -> tuple[bool, str, bool]: ...
def manifest(folder: _Path) -> str: ...
def identity(path: _Path) -> str | None: ...
def cache_folder() -> Path: ...
def paint(
    ladder_rows: NDArray[np.int16],
    values: NDArray[np.float32],
    out: NDArray[np.float32],
    time_bins: int,
    features: int,
    threads: int,
) -> None: ...
def thresholds(path: _Path) -> str: ...
def build(
    inputs: Sequence[_Path],
    out: _Path,
    config: str,
    thresholds: _Path,
    symbology: _Path | None,
    threads: int,
    overwrite: bool,
    progress: _Progress | None,
) -> str: ...
def fit_thresholds(
    inputs: Sequence[_Path],
    out: _Path,
    config: str,
    symbology: _Path | None,
    threads: int,
    overwrite: bool,
    progress: _Progress | None,
) -> str: ...
def validate(
    folder: _Path,
    against: Sequence[_Path],
    seed: int | None,
    certificate: _Path | None,
    symbology: _Path | None,
    threads: int,
    progress: _Progress | None,
) -> str: ...
def report(folder: _Path, threads: int, progress: _Progress | None) -> bool: ...
def explain(
    folder: _Path,
    symbol: str,
    row: int,
    against: Sequence[_Path],
    symbology: _Path | None,
    threads: int,
    progress: _Progress | None,
) -> tuple[str, str]: ...
def inspect(
    inputs: Sequence[_Path], config: str, symbology: _Path | None, threads: int, progress: _Progress | None
) -> str: ...
def simulate(
    folder: _Path, days: int, rows: int, seed: int, currency: str, options: int, start: tuple[int, int], signal: float
) -> list[Path]: ...

@final
class RowStream:
    def __new__(cls, path: _Path, symbol: str | None, symbology: _Path | None) -> RowStream: ...
    def __arrow_c_stream__(self, requested_schema: object = None) -> CapsuleType: ...

@final
class RowGroup:
    def __new__(cls, path: _Path, group: int, columns: Sequence[str] | None) -> RowGroup: ...
    def __arrow_c_stream__(self, requested_schema: object = None) -> CapsuleType: ...

def row_groups(path: _Path, columns: Sequence[str]) -> list[int]: ...

@final
class DepthProcessor:
    def __new__(
        cls, features: Sequence[str], samples: int, ticks_per_bin: int, micro_pip_size: float
    ) -> DepthProcessor: ...
    @property
    def output_shape(self) -> list[int]: ...
    @property
    def columns(self) -> list[str]: ...
    def process(self, rows: Any, out: NDArray[np.float32]) -> NDArray[np.float32]: ...

@final
class Moments:
    def __new__(cls, path: _Path) -> Moments: ...
    @property
    def symbol(self) -> str: ...
    @property
    def files(self) -> list[str]: ...
    @property
    def columns(self) -> list[str]: ...
    def rows_of(self, file: int) -> int: ...
    def of_fit(self, target: str) -> list[tuple[int, float | None, float | None]]: ...
    def of_files(self, start: int, stop: int) -> list[tuple[int, float | None, float | None]]: ...
    def before(self, file: int, days: int) -> list[tuple[int, float | None, float | None]] | None: ...

@final
class Samples:
    @staticmethod
    def depth(
        paths: Sequence[_Path],
        which: Mapping[str, object],
        features: Sequence[str] | None,
        samples: int | None,
        ticks_per_bin: int | None,
        micro_pip_size: float | None,
        row_groups: int | None,
        cache: _Path | None,
        built: Sequence[bytes] | None,
        progress: _Progress | None,
    ) -> Samples: ...
    @staticmethod
    def rows(
        paths: Sequence[_Path],
        which: Mapping[str, object],
        columns: Sequence[str] | None,
        cache: _Path | None,
        built: Sequence[bytes] | None,
        progress: _Progress | None,
    ) -> Samples: ...
    @staticmethod
    def windows(
        paths: Sequence[_Path],
        which: Mapping[str, object],
        columns: Sequence[str] | None,
        levels: int,
        length: int,
        normalise: str,
        cache: _Path | None,
        built: Sequence[bytes] | None,
        progress: _Progress | None,
    ) -> Samples: ...
    def __len__(self) -> int: ...
    @property
    def shape(self) -> list[int]: ...
    @property
    def bins(self) -> tuple[int, int] | None: ...
    @property
    def micro_pip_sizes(self) -> list[float]: ...
    def coverages(self, most: int) -> list[float | None]: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def kept(self) -> list[int]: ...
    @property
    def without(self) -> list[str]: ...
    @property
    def symbols(self) -> list[str]: ...
    @property
    def configs(self) -> list[str]: ...
    def classes(self, target: int) -> int: ...
    def index_bytes(self) -> list[bytes]: ...
    def position(self, sample: int) -> int: ...
    def source(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]: ...
    def labels(self, target: int) -> NDArray[np.uint8]: ...
    def fill(self, samples: NDArray[np.int64], out: NDArray[Any], labels: NDArray[np.int64], threads: int) -> None: ...
    def fill_bins(
        self,
        samples: NDArray[np.int64],
        ladder_rows: NDArray[np.int16],
        values: NDArray[np.float32],
        labels: NDArray[np.int64],
        threads: int,
    ) -> None: ...
