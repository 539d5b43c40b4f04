"""Hugging Face datasets."""

import os
import tempfile

from columns import from_arrow, probe


def read(path, names):
    with tempfile.TemporaryDirectory() as cache:
        os.environ.update(HF_HOME=cache, HF_HUB_OFFLINE="1")
        from datasets import load_dataset

        rows = load_dataset("parquet", data_files=str(path), split="train", columns=names, cache_dir=cache)
        return from_arrow(rows.data.table)


if __name__ == "__main__":
    probe(read)
