"""The Python of the documentation runs as it stands."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import matplotlib

import lobset
from small import SMALL, TOML

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "python.md"


def test_the_python_page_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        import torch  # noqa: F401

        has_torch = True
    except ImportError:
        has_torch = False
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 8
    names = {}
    for block in blocks:
        if "torch" in block and not has_torch:
            continue  # test_torch.py's environment runs these.
        exec(compile(block, str(PAGE), "exec"), names)
    assert (tmp_path / "depth.png").stat().st_size > 10_000
    assert isinstance(names["manifest"], lobset.Manifest)


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
    script = ROOT / "examples" / "process_production.py"
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
