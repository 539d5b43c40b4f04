"""The dataset card: `datasets.load_dataset` finds every dataset by its symbol, whatever the symbol."""

import json
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from conftest import LOBSET, SETTINGS
from market import rename

# Characters that `datasets` refuses, that YAML and Markdown take for their own, and line breaks of all kinds.
HOSTILE = [
    'a"b\\c:d/e|f*?<g>',
    "- x: [y]",
    "---",
    "# no %",
    "null",
    "1e5",
    "é東\u202e\u2028\u0085z",
    "x\n---\ny",
    "../..",
    "`|_*[a](b)",
]


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """`datasets` keeps what it makes in a folder of the test and asks nobody."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))


def load(folder, name, cache):
    from datasets import load_dataset

    return load_dataset(str(folder), name, cache_dir=str(cache))


def test_each_symbol_loads_by_its_name(default, tmp_path):
    manifest = json.loads((default / "manifest.json").read_text())
    made = {s["symbol"]: s["dataset"] for s in manifest["symbols"] if s["dataset"]}
    assert len(made) >= 2 and manifest["card"]["file"] == "README.md"
    for symbol, dataset in made.items():
        loaded = load(default, symbol, tmp_path)
        assert set(loaded) == {"train"}
        want, have = pq.read_table(default / dataset["file"]), loaded["train"].data.table
        assert have.column_names == want.column_names
        assert all(
            have[name].equals(want[name]) for name in ("row", "ts_recv", "ts_event", "price_movement", "balanced")
        )
        assert set(loaded["train"].unique("symbol")) == {symbol}


def test_symbols_of_any_characters_load_too(tmp_path):
    source, out = tmp_path / "market", tmp_path / "out"
    subprocess.run(
        [LOBSET, "simulate", source, "-q", "--days", "2", "--rows", "24000", "--options", str(len(HOSTILE))],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    rename(source, {f"M6AM4 {'CP'[i % 2]}{i // 2:04}": symbol for i, symbol in enumerate(HOSTILE)})
    subprocess.run([LOBSET, "process", source, "-o", out, "-q", *SETTINGS[:-1], "200"], check=True, capture_output=True)
    manifest = json.loads((out / "manifest.json").read_text())
    made = {s["symbol"]: s["dataset"] for s in manifest["symbols"] if s["dataset"]}
    assert set(HOSTILE) <= set(made)
    for symbol in HOSTILE:
        name = re.sub(r"[<>:/\\|?*%\x00-\x1f\x7f-\x9f]", lambda c: "".join(f"%{b:02X}" for b in c[0].encode()), symbol)
        loaded = load(out, name, tmp_path / "cache")["train"]
        assert loaded.unique("symbol") == [symbol] and loaded.num_rows == made[symbol]["rows"]
    # One line a dataset in the table: nothing from outside breaks it.
    table = (out / "README.md").read_text(encoding="utf-8").split("## Datasets\n")[1].split("\n## ")[0]
    table = table.strip().split("\n\n")[0]
    lines = table.split("\n")
    assert len(lines) == 2 + len(made) and all(line.startswith("| ") for line in lines[2:])


def test_the_card_says_how_to_load_and_it_is_so(default, tmp_path, monkeypatch):
    monkeypatch.chdir(default)
    card = (default / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    # A fit half this short has no window for a depth tensor, so the card shows no line for PyTorch.
    assert len(blocks) == 4
    ran = []
    for block in blocks:
        module = re.search(r"^(?:import|from) (?!os)(\w+)", block, flags=re.MULTILINE)[1]
        if module == "duckdb":
            continue  # tests/python runs it.
        subprocess.run([sys.executable, "-c", block], check=True, capture_output=True)
        ran.append(module)
    assert ran == ["polars", "pandas", "datasets"]
