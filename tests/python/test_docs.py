"""The Python of the documentation runs as it stands."""

import re
from pathlib import Path

import matplotlib

import lobset

matplotlib.use("Agg")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


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
