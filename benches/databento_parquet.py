#!/usr/bin/env python3
"""Converts every file to Parquet with databento's own converter. No labels.

databento_parquet.py FOLDER OUT
"""

import sys
import warnings
from pathlib import Path

import databento


def main():
    warnings.simplefilter("ignore")  # databento enables the warnings of pandas.
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir()
    for path in sorted(folder.glob("*.dbn*")):
        databento.DBNStore.from_file(path).to_parquet(out / f"{path.name}.parquet")


if __name__ == "__main__":
    main()
