"""The Python of the documentation runs as it stands."""

import importlib.util
import re
import subprocess
import sys
import types
from pathlib import Path

import matplotlib

import lobset
from small import SMALL, TOML

matplotlib.use("Agg")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_python_page_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        import torch  # noqa: F401

        has_torch = True
    except ImportError:
        has_torch = False
    if not has_torch or importlib.util.find_spec("lightning") is None:
        # Debian's PyTorch is too old for Lightning. The hooks of a data module are those of a plain class.
        monkeypatch.setitem(sys.modules, "lightning", types.SimpleNamespace(LightningDataModule=object))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 8
    names = {}
    for block in blocks:
        if "torch" in block and not has_torch:
            continue  # test_torch.py's environment runs these.
        exec(compile(block, str(PAGE), "exec"), names)
    assert (tmp_path / "depth.png").stat().st_size > 10_000
    assert isinstance(names["manifest"], lobset.Manifest)
    if has_torch:
        book = names["book"]
        book.setup("fit")
        for batches in (book.train_dataloader(), book.val_dataloader(), book.test_dataloader()):
            windows, labels = next(iter(batches))
            assert windows.shape == (256, 1, 100, 40) and labels.shape == (256,)


def test_the_python_of_a_dataset_card_runs(tmp_path, monkeypatch):
    lobset.simulate(tmp_path / "market", days=2, rows=15_000)
    config = lobset.Config(**SMALL, samples=400, ticks_per_bin=20)
    lobset.process(tmp_path / "market", tmp_path / "out", config, progress=False)
    monkeypatch.chdir(tmp_path / "out")
    blocks = re.findall(
        r"```python\n(.*?)```", (tmp_path / "out/README.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    names, ran = {}, []
    for block in blocks:
        modules = re.findall(r"^(?:import|from) (\w+)", block, flags=re.MULTILINE)
        # tests/compatibility runs the block of datasets, and test_torch.py's environment that of torch.
        if all(importlib.util.find_spec(module) for module in modules):
            exec(compile(block, "README.md", "exec"), names)
            ran += modules
    assert len(blocks) == 5 and "polars" in ran
    assert ("duckdb" in ran and sum(count for *_, count in names["classes"]) > 1_000) or (
        "torch" in ran and len(names["loader"]) > 10
    )


def test_the_production_example_runs(tmp_path):
    lobset.simulate(tmp_path / "market", days=2, rows=15_000)
    settings = tmp_path / "lobset.toml"
    settings.write_text(TOML)
    script = PAGE.parents[1] / "examples" / "process_production.py"
    words = [
        sys.executable,
        script,
        tmp_path / "market",
        tmp_path / "audusd",
        "--config",
        settings,
        "--currency",
        "EURUSD",
    ]
    ran = subprocess.run([*map(str, words)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "fitted on data before 2024-04-02T" in ran.stdout and "1,000 of them against the raw files" in ran.stdout
    assert lobset.Manifest.read(tmp_path / "audusd").config == lobset.Config(**SMALL, currency="EURUSD")
    assert (tmp_path / "audusd.thresholds.json").is_file() and (tmp_path / "audusd" / "manifest.json").is_file()
