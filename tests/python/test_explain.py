"""Explanations of rows through Python."""

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

import lobset
import small


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    lobset.simulate(folder / "market", days=2, rows=6_000)
    targets = ["t=time,lookback=10m,ahead=10m,classes=share", "b=barrier,up=3sigma,horizon=50,lookback_rows=30"]
    config = lobset.Config(**small.SMALL, targets=targets)
    lobset.process(folder / "market", folder / "out", config, progress=False)
    return folder


def explain(place, row, **options):
    return lobset.explain(place / "out", "M6AM4", row, against=place / "market", progress=False, **options)


def test_a_row_is_explained_as_it_is_stored(place):
    rows = pl.read_parquet(place / "out" / "AUDUSD_M6AM4_dataset.parquet")
    stored = rows.filter(pl.col("classification_label").is_not_null()).row(1_000, named=True)
    found = explain(place, stored["row"])
    assert (found.agrees, found.present, found.differences, found.absent_because) == (True, True, [], None)
    assert (found.symbol, found.row, found.rows) == ("M6AM4", stored["row"], found.json["rows"])
    assert found.mid_price == stored["mid_price"]
    assert found.ts_recv.astype("M8[us]") == np.datetime64(stored["ts_recv"].replace(tzinfo=None), "us")
    for name, target in found.targets.items():
        end = "" if name == "classic" else f"_{name}"
        want = [stored[column + end] for column in ("price_movement", "classification_label", "split", "balanced")]
        assert [target.movement, target.label, target.split, target.balanced] == want
        fraction = float(Fraction(target.numerator, target.denominator))
        assert fraction == pytest.approx(target.movement, rel=1e-15, abs=1e-30)
    steps = found.targets["classic"].steps
    behind, ahead = (Fraction(int(steps[side]["sum"]), steps[side]["weight"]) for side in ("behind", "ahead"))
    assert ahead / behind - 1 == Fraction(found.targets["classic"].numerator, found.targets["classic"].denominator)
    assert str(found).startswith(f"row {stored['row']:,} of M6AM4 (") and "Explanation(symbol='M6AM4'" in repr(found)


def test_text_and_json_are_those_of_the_command(place):
    command = [sys.executable, "-m", "lobset", "explain", "out", "M6AM4", "2000", "--against", "market"]
    texts = [
        subprocess.run([*command, *flags], cwd=place, check=True, capture_output=True, text=True).stdout
        for flags in ([], ["--json"])
    ]
    found = explain(place, 2_000)
    assert texts[0] == str(found)
    assert json.loads(texts[1]) == found.json


def test_rows_without_a_label_say_why(place):
    found = explain(place, 0)
    assert found.agrees
    assert "the stream begins with row 0" in found.targets["classic"].no_label
    assert found.targets["classic"].movement is None


def test_mistakes_are_errors(place):
    with pytest.raises(lobset.InputError, match="no row") as beyond:
        explain(place, 10**9)
    assert "numbered from 0" in beyond.value.help
    with pytest.raises(lobset.InputError, match="no symbol") as unknown:
        lobset.explain(place / "out", "M6AM5", 0, against=place / "market", progress=False)
    assert "M6AM4" in unknown.value.help
    for row in (-1, 2**64, 1.5):
        with pytest.raises(lobset.ConfigError, match="row"):
            explain(place, row)
