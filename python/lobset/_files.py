"""Finds the dataset files that a caller asks for."""

import os
from collections.abc import Iterable, Sequence

from lobset._errors import ConfigError
from lobset._results import Manifest

PathLike = str | os.PathLike[str]


def dataset_files(path: PathLike | Iterable[PathLike], symbols: Sequence[str] | None) -> list[str]:
    """Returns dataset files, given by path or URL, or by an output folder whose manifest lists them. `symbols` selects
    among the datasets of folders.

    Raises:
        ConfigError: when there is no dataset, one is given twice, or a symbol has none.
        InputError: when a manifest cannot be read.
    """
    given = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    if isinstance(symbols, str):
        raise ConfigError(f"symbols: a list of symbols, such as [{symbols!r}], not {symbols!r}")
    files: list[str] = []
    known: dict[str, None] = {}
    for one in [os.fspath(one) for one in given]:
        if not _is_folder(one):
            if symbols is not None:
                raise ConfigError(f"symbols: select among the datasets of an output folder, and {one} is not a folder")
            files.append(one)
            continue
        datasets = Manifest.read(one).datasets
        known |= dict.fromkeys(datasets)
        files += [os.fspath(file) for symbol, file in datasets.items() if symbols is None or symbol in symbols]
    unknown = [symbol for symbol in symbols or () if symbol not in known]
    if unknown:
        raise ConfigError(f"symbols: {unknown[0]!r} has no dataset; those that have one: {', '.join(known)}")
    if not files:
        raise ConfigError("path: there is no dataset" if symbols is None else "symbols: name one at least")
    real = [file if "://" in file else os.path.realpath(file) for file in files]
    twice = next((file for place, file in enumerate(files) if real[place] in real[:place]), None)
    if twice is not None:
        raise ConfigError(f"path: {twice} is given twice")
    return files


def _is_folder(path: str) -> bool:
    if "://" in path and not path.startswith("file://"):
        return not path.endswith(".parquet")
    return os.path.isdir(path.removeprefix("file://"))
