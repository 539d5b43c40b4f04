"""The jobs through Python: the same bytes as the command, typed errors, progress, Ctrl-C."""

import datetime as dt
import hashlib
import inspect as reflection
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import lobset
import small
from lobset import _lobset

SMALL = lobset.Config(**small.SMALL)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python") / "market"
    lobset.simulate(folder, days=3, rows=20_000)
    return folder


@pytest.fixture(scope="module")
def manifest(market):
    return lobset.process(market, market.parent / "out", SMALL, progress=False)


def contents(folder):
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.suffix == ".parquet" or f.name == "thresholds.json"}


def test_python_and_both_commands_give_the_same_bytes(market, manifest, tmp_path):
    want = contents(manifest.folder)
    # A dataset and its sums for each symbol, and the boundaries.
    assert len(want) == 2 * len(manifest.datasets) + 1 >= 5
    script = os.path.join(os.path.dirname(sys.executable), "lobset")
    commands = {
        "wheel": [script],
        "module": [sys.executable, "-m", "lobset"],
        "binary": [os.environ.get("LOBSET", "target/release/lobset")],
    }
    for name, command in commands.items():
        subprocess.run(
            [*command, "process", market, "-o", tmp_path / name, "-q", *small.FLAGS],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        assert contents(tmp_path / name) == want
    subprocess.run(
        [script, "simulate", tmp_path / "market", "-q", "--days", "3", "--rows", "20000"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    files = {f.name: f.read_bytes() for f in market.iterdir()}
    assert {f.name: f.read_bytes() for f in (tmp_path / "market").iterdir()} == files
    ran = subprocess.run(
        [script, "process", market, "-o", tmp_path / "x", "--nbins", "1"], capture_output=True, text=True
    )
    assert ran.returncode == 2 and "nbins" in ran.stderr


def batch_job(folder):
    """The files that Databento puts beside the data of a batch job."""
    (folder / "condition.json").write_text(
        json.dumps([{"date": "2024-04-02", "condition": "degraded", "last_modified_date": "2024-04-09"}])
    )
    files = [
        {
            "filename": path.name,
            "size": path.stat().st_size,
            "hash": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
            "urls": {"https": f"https://api.databento.com/v0/batch/download/X/G/{path.name}"},
        }
        for path in sorted(folder.iterdir())
    ]
    (folder / "manifest.json").write_text(json.dumps({"job_id": "GLBX-20240719-5DEFXVTMSM", "files": files}))


def test_a_batch_job_is_held_against_its_manifest(tmp_path):
    files = lobset.simulate(tmp_path / "job", days=2, rows=20_000)
    unknown = lobset.inspect(tmp_path / "job", progress=False)
    assert (unknown.delivery["checked"], unknown.delivery["unchecked"]) == (0, 2) and unknown.warnings == []
    batch_job(tmp_path / "job")
    found = lobset.inspect(tmp_path / "job", progress=False)
    made = lobset.process(tmp_path / "job", tmp_path / "out", SMALL, progress=False)
    for result in (found, made):
        assert result.delivery["checked"] == 2 and result.delivery["jobs"] == ["GLBX-20240719-5DEFXVTMSM"]
        assert "condition.json: 1 day of the input is degraded: 2024-04-02" in result.warnings
    files[1].write_bytes(files[1].read_bytes()[:-1])
    with pytest.raises(lobset.InputError, match="manifest.json says") as caught:
        lobset.process(tmp_path / "job", tmp_path / "other", SMALL, progress=False)
    assert caught.value.path == files[1] and caught.value.help == "download it again"


def test_symbols_may_come_from_a_symbology_file(market, manifest, tmp_path):
    names = tmp_path / "symbology.json"
    names.write_text(json.dumps({"result": {}, "stype_in": "raw_symbol", "stype_out": "instrument_id"}))
    # Files with their own mappings keep them.
    made = lobset.process(market, tmp_path / "out", SMALL, symbology=names, progress=False)
    assert contents(made.folder) == contents(manifest.folder)
    names.write_text("{")
    calls = [
        lambda: lobset.process(market, tmp_path / "x", SMALL, symbology=names, progress=False),
        lambda: lobset.build(
            market, tmp_path / "x", manifest.folder / "thresholds.json", SMALL, symbology=names, progress=False
        ),
        lambda: lobset.fit_thresholds(market, tmp_path / "x", SMALL, symbology=names, progress=False),
        lambda: lobset.inspect(market, symbology=names, progress=False),
        lambda: lobset.validate(manifest.folder, against=market, symbology=names, progress=False),
    ]
    for call in calls:
        with pytest.raises(lobset.InputError, match="cannot be read as Databento's symbology.json") as caught:
            call()
        assert caught.value.path == names


def test_an_estimate_says_what_a_run_does_and_writes_nothing(market, manifest, tmp_path):
    found = lobset.estimate(market, tmp_path / "out", SMALL, progress=False)
    assert found.records == found.sampled_records == 60_000, "this market is smaller than a sample"
    assert found.fit_until == lobset.Thresholds.read(manifest.folder / "thresholds.json").fit_until
    # The calendar spread has rows, but no movement: only a run finds out.
    assert found.datasets == len(manifest.datasets) + 1 and found.currency == "AUDUSD"
    assert [file["name"] for file in found.files] == sorted(file.name for file in market.iterdir())
    assert set(manifest.datasets) <= set(found.symbols) and found.seconds > 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(lobset.OutputError):
        lobset.estimate(market, manifest.folder, SMALL, progress=False)
    again = lobset.estimate(market, manifest.folder, SMALL, overwrite=True, progress=False)
    assert again.rows == found.rows
    script = os.path.join(os.path.dirname(sys.executable), "lobset")
    command = [script, "process", market, "-o", tmp_path / "out", "--dry-run", "--json", *small.FLAGS]
    said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert (said["rows"], said["dataset_bytes"]) == (found.rows, found.dataset_bytes)


def test_results_are_typed(market, manifest, tmp_path):
    assert manifest.config == SMALL.replace(currency="AUDUSD") and manifest.version == lobset.__version__
    symbol = next(s for s in manifest.symbols if s.path)
    assert symbol.splits["fit"].classes.sum() == symbol.splits["fit"].rows > 0
    assert symbol.path.stat().st_size == symbol.bytes
    found = symbol.targets["classic"]
    assert 0 < found.known_share < 1 and 0 < found.splits["holdout"].known_accuracy < 1
    majority = int(np.argmax(found.splits["fit"].classes))
    holdout = found.splits["holdout"]
    assert holdout.majority_accuracy == pytest.approx(holdout.classes[majority] / holdout.rows)
    assert any(s.reason for s in manifest.symbols if s.path is None)
    assert lobset.Manifest.read(str(manifest.folder)).json == manifest.json
    thresholds = lobset.Thresholds.read(manifest.folder / "thresholds.json")
    assert thresholds.boundaries.shape == (4,) and np.all(np.diff(thresholds.boundaries) > 0)
    assert thresholds.fit.fit_rows == sum(s.splits["fit"].rows for s in manifest.symbols if s.path)
    proof = lobset.validate(manifest.folder, against=market, progress=False)
    assert (proof.datasets, proof.rows_against) == (len(manifest.datasets), 1_000)
    assert 0 < proof.recomputed < proof.rows
    certificate = tmp_path / "proof.json"
    proof = lobset.validate(manifest.folder, against=market, all=True, certificate=certificate, progress=False)
    assert proof.rows_against == proof.rows and not proof.not_checked
    certified = json.loads(certificate.read_text())
    digest = hashlib.sha256((manifest.folder / "manifest.json").read_bytes()).hexdigest()
    assert certified["manifest"]["sha256"] == digest and certified["against"]["all"]
    with pytest.raises(lobset.OutputError, match="is not a lobset certificate"):
        lobset.validate(manifest.folder, certificate=manifest.folder.parent / "market", progress=False)
    found = lobset.inspect(market, progress=False)
    assert found.records == 60_000 and sum(s.rows for s in found.symbols) + sum(found.drops.values()) == 60_000
    assert 0 < found.flags["F_LAST"] < 60_000 and found.flags["F_MAYBE_BAD_BOOK"] == 0
    assert found.symbols[0].first_ts < found.symbols[0].last_ts


def test_thresholds_and_build_in_two_steps_give_the_same_datasets(market, manifest, tmp_path):
    thresholds = lobset.fit_thresholds([market], tmp_path / "t.json", SMALL, progress=False)
    assert np.array_equal(thresholds.boundaries, lobset.Thresholds.read(tmp_path / "t.json").boundaries)
    built = lobset.build(market, tmp_path / "out", tmp_path / "t.json", SMALL, progress=False)
    assert contents(built.folder) == contents(manifest.folder)
    own = lobset.process(market, tmp_path / "own", SMALL.replace(threshold_scope="symbol"), progress=False)
    each = lobset.Thresholds.read(own.folder / "thresholds.json")
    assert set(each.symbols) == set(own.datasets)
    with pytest.raises(ValueError, match="symbols"):
        _ = each.boundaries


def test_config_knows_every_setting():
    names = {line["name"] for line in json.loads(_lobset.settings())}
    assert set(reflection.signature(lobset.Config).parameters) == names
    assert all(
        isinstance(getattr(lobset.Config, name), property) and getattr(lobset.Config, name).__doc__ for name in names
    )
    assert "Returned as text (15m)." in lobset.Config.max_gap.__doc__
    config = lobset.Config(
        currency="USDJPY", features=["trade_counts"], price_range=(90.5, 200.0), max_gap="15m", fit_until="2024-10-01"
    )
    assert (config.nbins, config.micro_pip_size, config.max_gap) == (9, 0.001, "15m")
    assert lobset.Config.from_toml(config.to_toml()) == config == pickle.loads(pickle.dumps(config))
    assert eval(repr(config), {"Config": lobset.Config}) == config and "nbins" not in repr(config)
    # Without a currency, a setting that was set to its default stays set through every copy.
    held, open = lobset.Config(nbins=21), lobset.Config()
    assert held != open and (held.nbins, open.nbins, open.currency) == (21, 21, None) and repr(open) == "Config()"
    for copy in [
        pickle.loads(pickle.dumps(held)),
        lobset.Config.from_toml(held.to_toml()),
        held.replace(samples=50_000),
    ]:
        assert copy == held and copy.replace(currency="usdjpy").nbins == 21
    assert eval(repr(held), {"Config": lobset.Config}) == held and "held" not in held.to_dict()
    jpy = open.replace(currency="usdjpy")
    assert (jpy.currency, jpy.nbins) == ("USDJPY", 9) == (config.currency, config.nbins)
    assert (config.features, config.price_range, config.publishers) == (("trade_counts",), (90.5, 200.0), None)
    assert 'max_gap = "15m"\n' in config.to_toml() and "max_gap='15m'" in repr(config)
    assert config.replace(max_gap=None, nbins=5).max_gap is None and hash(config) != hash(config.replace(nbins=5))
    with pytest.raises(AttributeError, match="replace"):
        config.nbins = 7
    with pytest.raises(lobset.ConfigError) as caught:
        lobset.Config(nbins=1, lookback_rows=0, compression="gzip")
    assert len(caught.value.problems) == 3 and isinstance(caught.value, lobset.LobsetError)
    with pytest.raises(lobset.ConfigError, match="nbins: cannot be None"):
        config.replace(nbins=None, compression=None)
    for misspelled in [
        lambda: lobset.Config.from_toml("nbin = 5\n"),
        lambda: lobset.Config(nbin=5),
        lambda: lobset.Config(nbin=None),
        lambda: config.replace(nbin=5),
    ]:
        with pytest.raises(lobset.ConfigError, match="nbin: unknown setting; did you mean nbins"):
            misspelled()
    for unreadable, reason in {"absent.toml": "does not exist", "/dev/zero": "cannot be read"}.items():
        with pytest.raises(lobset.ConfigError, match=reason):
            lobset.Config.from_toml(unreadable)


TARGETS = [
    "h10=means,lookback_rows=1,include_row=true,lookforward_offset=0,lookforward_input=10",
    "d20=deeplob(20)",
    {"name": "r30", "kind": "return(30)", "classes": "fixed", "boundaries": [-1e-4, 1e-4]},
    {"name": "tlob", "kind": "tlob(30,5)", "classes": "share", "stationary": 0.5, "threshold_scope": "symbol"},
    "past=time,lookback=2m,offset=0ns,ahead=500s,classes=share",
    "touch=barrier,up=2spread,down=0.0005,horizon=1h",
]


def test_targets_are_read_back_as_they_can_be_passed():
    config = lobset.Config(targets=TARGETS)
    assert [target["name"] for target in config.targets] == ["h10", "d20", "r30", "tlob", "past", "touch"]
    assert config.targets[0] == {
        "name": "h10",
        "kind": "means",
        "lookback_rows": 1,
        "include_row": True,
        "lookforward_offset": 0,
        "lookforward_input": 10,
        "classes": "quantiles",
        "nbins": 21,
        "threshold_scope": "global",
    }
    assert config.targets[2]["boundaries"] == [-1e-4, 1e-4] and config.targets[3]["stationary"] == 0.5
    tables = "".join(
        "[[targets]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in target.items())
        for target in config.targets
    )
    copies = {
        "as mappings": lobset.Config(targets=config.targets),
        "by replace": lobset.Config().replace(targets=config.targets),
        "with another setting replaced": config.replace(samples=100).replace(samples=config.samples),
        "pickled": pickle.loads(pickle.dumps(config)),
        "as TOML": lobset.Config.from_toml(config.to_toml()),
        "as tables of TOML": lobset.Config.from_toml(tables),
        "as a dict": lobset.Config(**config.to_dict()),
        "as its text": eval(repr(config), {"Config": lobset.Config}),
        "of NumPy's scalars": lobset.Config(
            targets=[*TARGETS[:2], {**TARGETS[2], "boundaries": np.array([-1e-4, 1e-4])}, *TARGETS[3:]]
        ),
    }
    for way, copy in copies.items():
        assert copy == config and hash(copy) == hash(config), way
    config.targets[2]["boundaries"][0] = 7.0
    assert config == copies["pickled"], "what a Config returns cannot change it"
    assert lobset.Config(targets=[]).targets == () == config.replace(targets=()).targets
    assert lobset.Config(targets=TARGETS[2]).targets == (config.targets[2],)
    for wrong, why in [
        ({"name": "h10"}, "a target needs a kind"),
        ({"kind": "means"}, "a target needs a name"),
        ({"name": "h10", "kind": "median"}, 'h10: "median" is not one of'),
        ({"name": "h10", "kind": "deeplob(5)", "horizon": 7}, 'h10: "horizon" is not a key of'),
        ({"name": "h10", "kind": "deeplob(5)", "nbins": {"a": 1}}, "nbins: must be a number, a text or a list"),
        ({"name": "classic", "kind": "deeplob(5)"}, "choose another name"),
        (["d20=deeplob(20)"], "not a list"),
        ("h10=deeplob(0)", "is outside 1 to"),
    ]:
        with pytest.raises(lobset.ConfigError, match=why) as caught:
            lobset.Config(targets=[wrong])
        assert caught.value.problems[0].startswith("Config: targets: ")


def test_targets_have_columns_counts_and_boundaries_of_their_own(market, manifest, tmp_path):
    texts = [TARGETS[0] + ",classes=share", TARGETS[1] + ",classes=spread"]
    config = SMALL.replace(targets=[*texts, *TARGETS[2:4]])
    made = lobset.process(market, tmp_path / "out", config, progress=False)
    assert made.config.targets == config.targets
    flags = [
        f"--target={target}"
        for target in [
            *texts,
            "r30=return(30),classes=fixed,boundaries=-1e-4/1e-4",
            "tlob=tlob(30,5),classes=share,stationary=0.5,threshold_scope=symbol",
        ]
    ]
    command = [sys.executable, "-m", "lobset", "process", market, "-o", tmp_path / "command", "-q"]
    subprocess.run([*command, *small.FLAGS, *flags], check=True, stdout=subprocess.DEVNULL)
    assert contents(tmp_path / "command") == contents(made.folder)

    thresholds = lobset.Thresholds.read(made.folder / "thresholds.json")
    names = ["classic", *(target["name"] for target in config.targets)]
    assert list(thresholds.targets) == ["classic", *sorted(names[1:])]
    alone = lobset.Thresholds.read(manifest.folder / "thresholds.json")
    assert np.array_equal(thresholds.boundaries, alone.boundaries)
    assert thresholds.fit is thresholds.targets["classic"].fit and thresholds.symbols == {}
    assert thresholds.targets["r30"].boundaries.tolist() == [-1e-4, 1e-4]
    assert set(thresholds.targets["tlob"].symbols) == set(made.datasets) and thresholds.targets["tlob"].fit is None
    with pytest.raises(ValueError, match="symbols"):
        _ = thresholds.targets["tlob"].boundaries
    for symbol in made.symbols:
        assert list(symbol.targets) == names
        assert symbol.splits is symbol.targets["classic"].splits
        assert symbol.labelled_rows == symbol.targets["classic"].labelled_rows
        if symbol.path is None:
            continue
        frame = pl.read_parquet(symbol.path).with_columns(pl.selectors.starts_with("split").cast(pl.String))
        for name, counts in symbol.targets.items():
            of = "" if name == "classic" else f"_{name}"
            movement, label = frame[f"price_movement{of}"], frame[f"classification_label{of}"]
            assert len(movement) - movement.null_count() == counts.labelled_rows and counts.reason is None
            fits = thresholds.targets[name]
            boundaries = fits.symbols[symbol.symbol].boundaries if fits.fit is None else fits.boundaries
            there = movement.is_not_null()
            assert np.array_equal(np.digitize(movement.filter(there), boundaries), label.filter(there)), name
            for split, entry in counts.splits.items():
                rows = frame.filter(pl.col(f"split{of}") == split)
                found = np.bincount(rows[f"classification_label{of}"], minlength=len(boundaries) + 1)
                assert np.array_equal(found, entry.classes) and len(rows) == entry.rows, (name, split)
    # The classic target is the same as in a run with only that target.
    for name, path in manifest.datasets.items():
        columns = ["row", "price_movement", "classification_label", "split", "balanced"]
        several = pl.read_parquet(made.datasets[name], columns=columns).filter(pl.col("price_movement").is_not_null())
        assert several.equals(pl.read_parquet(path, columns=columns))


def test_targets_in_time_and_with_barriers(market, tmp_path):
    made = lobset.process(market, tmp_path / "out", SMALL.replace(targets=TARGETS[4:], label_end=True), progress=False)
    thresholds = lobset.Thresholds.read(made.folder / "thresholds.json")
    assert list(thresholds.targets) == ["classic", "past", "touch"]
    assert len(thresholds.targets["past"].boundaries) == 2
    for path in made.datasets.values():
        frame = pl.read_parquet(path).filter(pl.col("label_touch_touch").is_not_null())
        assert set(frame["classification_label_touch"]) <= {0, 2}
        assert ((frame["price_movement_touch"] > 0) == (frame["classification_label_touch"] == 2)).all()
        assert (frame["label_touch_touch"] > frame["row"]).all() and len(frame) > 0
    lobset.validate(made.folder)


def test_a_setting_is_read_back_as_it_can_be_passed():
    config = lobset.Config(max_gap=dt.timedelta(minutes=15), fit_until=dt.date(2024, 10, 1), price_range=(1, 2))
    assert config.max_gap == "15m" and config == lobset.Config(**config.to_dict())
    assert lobset.Config(**lobset.Config(currency="USDJPY").to_dict()) == lobset.Config(currency="USDJPY")
    # A setting that is left to the data's preset remains so, and one that is set to its default remains set.
    assert "nbins" not in lobset.Config().to_dict() and lobset.Config(nbins=21).to_dict()["nbins"] == 21
    assert config == lobset.Config(max_gap=config.max_gap, fit_until=config.fit_until, price_range=config.price_range)
    assert config == pickle.loads(pickle.dumps(config)) and config.replace(nbins=5).max_gap == "15m"
    with pytest.raises(lobset.ConfigError, match='max_gap: "15" has no unit: write 15s, 15m or 15h'):
        lobset.Config(max_gap=15)
    with pytest.raises(lobset.ConfigError, match="fit_until: a datetime needs a time zone"):
        lobset.Config(fit_until=dt.datetime(2024, 10, 1))


def test_numpys_scalars_are_settings():
    config = lobset.Config(
        nbins=np.int64(5),
        sample_fraction=np.float64(0.5),
        micro_pip_size=np.float32(0.25),
        keep_crossed=np.True_,
        publishers=np.array([39, 40]),
        price_range=np.array([0.5, 1.5]),
        fit_until=np.datetime64("2024-10-01T00:00:00.000000001"),
        max_gap=np.timedelta64(1_500, "ms"),
    )
    same = lobset.Config(
        nbins=5,
        sample_fraction=0.5,
        micro_pip_size=0.25,
        keep_crossed=True,
        publishers=[39, 40],
        price_range=(0.5, 1.5),
        fit_until="2024-10-01T00:00:00.000000001Z",
        max_gap="1500ms",
    )
    assert config == same and config.publishers == (39, 40)
    for wrong in [{"nbins": np.float64(5.5)}, {"fit_until": np.datetime64("NaT")}, {"max_gap": np.timedelta64("NaT")}]:
        with pytest.raises(lobset.ConfigError, match=next(iter(wrong))):
            lobset.Config(**wrong)


def test_a_mapping_is_welcome_where_a_config_is(market, manifest, tmp_path):
    given = {name: value for name, value in SMALL.to_dict().items() if value is not None}
    assert contents(lobset.process(market, tmp_path / "out", given, progress=False).folder) == contents(manifest.folder)
    assert lobset.inspect(market, {"publishers": [9]}, progress=False).records == 60_000
    assert lobset.DepthProcessor.from_config({"samples": 200}, 1e-5).output_shape == (2, 402, 2)
    with pytest.raises(lobset.ConfigError, match="nbinz: unknown setting; did you mean nbins"):
        lobset.process(market, tmp_path / "other", {"nbinz": 3}, progress=False)
    with pytest.raises(lobset.ConfigError, match="config: must be a Config or a mapping of settings, not str"):
        lobset.process(market, tmp_path / "other", "nbins = 3", progress=False)
    assert not (tmp_path / "other").exists()


def test_numbers_out_of_range_are_config_errors(market, manifest, tmp_path):
    for threads in [-1, 65_536, 2.5, "two"]:
        for job in [
            lambda n: lobset.process(market, tmp_path / "out", SMALL, threads=n, progress=False),
            lambda n: lobset.build(market, tmp_path / "out", manifest.folder / "thresholds.json", threads=n),
            lambda n: lobset.fit_thresholds(market, tmp_path / "t.json", SMALL, threads=n),
            lambda n: lobset.validate(manifest.folder, threads=n),
            lambda n: lobset.inspect(market, threads=n),
        ]:
            with pytest.raises(lobset.ConfigError, match="threads: "):
                job(threads)
    assert lobset.inspect(market, threads=np.int8(1), progress=False).records == 60_000
    with pytest.raises(lobset.ConfigError, match="seed: -1 is outside the range 0 to 18446744073709551615"):
        lobset.validate(manifest.folder, against=market, seed=-1)
    for name in ["days", "rows", "options", "seed"]:
        with pytest.raises(lobset.ConfigError, match=f"{name}: -1 is outside the range 0 to "):
            lobset.simulate(tmp_path / "none", **{name: -1})
    assert not (tmp_path / "none").exists() and not (tmp_path / "out").exists()


def test_errors_have_types_and_name_the_file(market, manifest, tmp_path):
    file = sorted(market.iterdir())[1]
    cut = tmp_path / "cut.dbn.zst"
    cut.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(lobset.InputError, match="truncated|ends within") as caught:
        lobset.process(cut, tmp_path / "out", SMALL, progress=False)
    assert caught.value.path == cut and caught.value.help
    with pytest.raises(lobset.OutputError, match="exists") as caught:
        lobset.process(market, manifest.folder, SMALL, progress=False)
    assert caught.value.path == manifest.folder
    with pytest.raises(lobset.DataError, match="no symbol qualifies"):
        lobset.process(market, tmp_path / "out", SMALL.replace(min_symbol_samples=10**9), progress=False)
    broken = tmp_path / "broken"
    broken.mkdir()
    for f in manifest.folder.iterdir():
        data = bytearray(f.read_bytes())
        if f.suffix == ".parquet":
            data[len(data) // 2] ^= 1
        (broken / f.name).write_bytes(data)
    with pytest.raises(lobset.ValidationError, match="its SHA-256 is") as caught:
        lobset.validate(broken, progress=False)
    assert caught.value.path == broken and caught.value.violations


def test_all_refused_files_are_told_and_so_is_what_is_kept(market, tmp_path):
    files, folder = sorted(market.iterdir()), tmp_path / "market"
    folder.mkdir()
    for number, file in enumerate(files):
        (folder / file.name).write_bytes(file.read_bytes()[: -1000 if number < 2 else None])
    with pytest.raises(lobset.InputError) as caught:
        lobset.process(folder, tmp_path / "out", SMALL, progress=False)
    assert caught.value.path == folder / files[0].name
    assert [other.path for other in caught.value.others] == [folder / files[1].name]
    assert isinstance(caught.value.others[0], lobset.InputError)
    assert pickle.loads(pickle.dumps(caught.value)).others[0].path == folder / files[1].name
    (note,) = caught.value.__notes__
    assert "for the next run" in note and ".out.lobset-work" in note
    # Foreign entries in the work folder are kept, and a successful run warns about them.
    (tmp_path / ".out.lobset-work" / "notes.txt").write_text("mine")
    with pytest.warns(UserWarning, match="no run of lobset has created"):
        result = lobset.process(files, tmp_path / "out", SMALL, progress=False)
    assert result.folder == tmp_path / "out"
    assert (tmp_path / ".out.lobset-work" / "notes.txt").read_text() == "mine"


def test_all_rows_are_compared_with_something(manifest):
    with pytest.raises(ValueError, match="against="):
        lobset.validate(manifest.folder, all=True, progress=False)


def test_progress_is_told_and_other_threads_go_on(market, tmp_path):
    heard, ticks, over = [], [], threading.Event()

    def tick():
        while not over.wait(0.001):
            ticks.append(None)

    thread = threading.Thread(target=tick)
    thread.start()
    lobset.process(market, tmp_path / "out", SMALL, progress=lambda *news: heard.append(news))
    over.set()
    thread.join()
    assert {stage for stage, _, _ in heard} == {"scan", "plan", "write", "validate"}
    assert all(done <= total for _, done, total in heard) and len(ticks) > 5

    def refuse(stage, done, total):
        raise RuntimeError(f"enough of {stage}")

    with pytest.raises(RuntimeError, match="enough of scan"):
        lobset.process(market, tmp_path / "stopped", SMALL, progress=refuse)
    assert [f.name for f in tmp_path.iterdir()] == ["out"]
    lobset.process(market, tmp_path / "bar", SMALL)  # Shows a tqdm bar.


def test_ctrl_c_stops_and_leaves_nothing(tmp_path):
    code = """
        import lobset, sys
        lobset.simulate("market", days=6, rows=200_000)
        def begun(stage, done, total):
            print(stage, flush=True)
        try:
            lobset.process("market", "out", progress=begun)
        except KeyboardInterrupt:
            sys.exit(77)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "scan\n"
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait() == 77
    assert [f.name for f in tmp_path.iterdir()] == ["market"]


def test_ctrl_c_stops_a_simulation(tmp_path):
    code = """
        import lobset, os, signal, sys, threading, time
        def once_begun():
            while not os.path.exists("market"):
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=once_begun, daemon=True).start()
        try:
            lobset.simulate("market", days=2_000, rows=20_000)
        except KeyboardInterrupt:
            sys.exit(77)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path).returncode == 77
    assert list(tmp_path.iterdir()) == []


def test_records_are_arrow_for_everyone(market, manifest, tmp_path):
    file = sorted(market.iterdir())[0]
    stream = lobset.read_dbn(file)
    polars, arrow = pl.DataFrame(stream), pa.table(stream)
    assert polars.height == arrow.num_rows == 20_000
    assert duckdb.sql("select count(*), count(distinct symbol) from arrow").fetchall()[0] == (
        20_000,
        polars["symbol"].n_unique(),
    )
    one = pl.DataFrame(lobset.read_dbn(file, symbol="M6AM4"))
    assert one.equals(polars.filter(pl.col("symbol") == "M6AM4"))
    # Rows of the dataset are these records, cell by cell.
    dataset = pl.read_parquet(manifest.datasets["M6AM4"])
    usable = one.filter(pl.col("bid_px_00") <= pl.col("ask_px_00"))
    first = dataset.filter(pl.col("row") < usable.height)
    picked = usable[first["row"].cast(pl.Int64).to_list()]
    assert first.height > 1_000
    for name in picked.columns:
        if name != "symbol":
            assert picked[name].equals(first[name], null_equal=True), name
    with pytest.raises(lobset.InputError, match='has no symbol "ES"'):
        lobset.read_dbn(file, symbol="ES")
    cut = tmp_path / "cut.dbn.zst"
    cut.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(Exception, match="cut.dbn.zst"):
        pa.table(lobset.read_dbn(cut))
    with pytest.raises(lobset.InputError):
        lobset.read_dbn(manifest.folder / "thresholds.json")


def test_thresholds_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(lobset.InputError, match=r"none\.json"):
        lobset.Thresholds.read(tmp_path / "none.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(lobset.InputError, match="is not a valid thresholds.json"):
        lobset.Thresholds.read(tmp_path / "other.json")
