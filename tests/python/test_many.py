"""Samples of several datasets, of a period, and with labels of several targets."""

import datetime as dt
import pickle
import shutil

import numpy as np
import polars as pl
import pytest
from test_data import marks

import lobset
from lobset.data import BlockStream, DepthDataset, RowDataset, WindowDataset, batches
from small import SMALL

TARGETS = [
    "h10=return(10),classes=share",
    "h90=return(90),classes=share",
    "t5=time,lookback=0s,offset=1s,ahead=5s,classes=share",
    "b40=barrier,up=1spread,down=1spread,horizon=40",
    "b9s=barrier,up=1spread,down=1spread,horizon=9s",
]
KINDS = {
    "depth": (DepthDataset, dict(samples=400, ticks_per_bin=20, stride=3)),
    "rows": (RowDataset, {}),
    "windows": (WindowDataset, dict(length=30, stride=2)),
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    lobset.simulate(folder / "market", days=4, rows=25_000)
    config = lobset.Config(**SMALL, max_gap="30m", targets=TARGETS)
    return lobset.process(folder / "market", folder / "out", config, progress=False)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def of(target):
    return "" if target == "classic" else f"_{target}"


@pytest.mark.parametrize("cache", ["auto", None])
def test_samples_of_a_folder_are_those_of_its_datasets_in_order(manifest, kind, cache):
    make, arguments = kind
    arguments = {**arguments, "balanced": False, "cache": cache}
    paths = [str(path) for path in manifest.datasets.values()]
    assert len(paths) == 3
    both = make(manifest.folder, **arguments)
    alone = [make(path, **arguments) for path in paths]
    assert both.paths == paths and both.symbols == list(manifest.datasets) and len(both.configs) == 3
    assert len(both) == sum(map(len, alone)) and both.shape == alone[0].shape
    assert np.array_equal(both.labels(), np.concatenate([one.labels() for one in alone]))
    firsts = np.cumsum([0, *map(len, alone)])
    numbers = np.random.default_rng(1).permutation(len(both))[:300]
    samples, labels = both.batch(numbers, threads=3)
    again = pickle.loads(pickle.dumps(both))
    paths_of, symbols_of, rows_of = both.source(numbers)
    frames = {path: pl.read_parquet(path, columns=["row", "symbol"]) for path in paths}
    for place, number in enumerate(numbers):
        which = int(np.searchsorted(firsts, number, side="right")) - 1
        want, label = alone[which][int(number - firsts[which])]
        assert np.array_equal(samples[place], want, equal_nan=True) and labels[place] == label
        source = both.source(int(number))
        assert (paths_of[place], symbols_of[place], rows_of[place]) == source
        row = frames[source.path].row(both.position(int(number)), named=True)
        assert source.path == paths[which] and (row["symbol"], row["row"]) == (source.symbol, source.row)
    assert np.array_equal(again.batch(numbers)[0], samples, equal_nan=True) and again.paths == paths
    assert both.source(-1) == both.source(len(both) - 1)
    with pytest.raises(IndexError):
        both.source([len(both)])
    # When shuffled, every sample occurs once, and batches mix symbols.
    found = [y for _, y in batches(both, 64, shuffle=True, seed=1)]
    assert np.array_equal(np.bincount(np.concatenate(found)), np.bincount(both.labels()))
    assert len(set(symbols_of)) == 3
    streamed = np.concatenate([y for _, y in BlockStream(both, block=100, seed=2).batches(64)])
    assert np.array_equal(np.bincount(streamed), np.bincount(both.labels()))


def test_symbols_select_among_the_datasets_of_a_folder(manifest, tmp_path):
    names = list(manifest.datasets)
    one = RowDataset(manifest.folder, symbols=names[1:])
    assert one.symbols == names[1:]
    assert RowDataset([manifest.datasets[names[2]], manifest.datasets[names[0]]]).symbols == [names[2], names[0]]
    for path, symbols, match in (
        (manifest.folder, ["M6AX9"], rf"'M6AX9' has no dataset; those that have one: {', '.join(names)}"),
        (manifest.folder, [], "symbols: name one at least"),
        (manifest.folder, "M6AM4", "a list of symbols"),
        (manifest.datasets[names[0]], names[:1], "is not a folder"),
        ([], None, "there is no dataset"),
        ([manifest.folder, manifest.datasets[names[0]]], None, "is given twice"),
    ):
        with pytest.raises(lobset.ConfigError, match=match):
            RowDataset(path, symbols=symbols)
    with pytest.raises(lobset.LobsetError, match=r"manifest\.json"):
        RowDataset(tmp_path)


def test_classes_are_uniform_over_all_datasets(manifest):
    both = RowDataset(manifest.folder)
    counts = np.bincount(both.labels())
    assert len(counts) == 5 and len(set(counts)) == 1
    # On its own, each dataset would keep as many as its rarest class has.
    alone = [np.bincount(RowDataset(path).labels()) for path in manifest.datasets.values()]
    assert counts[0] >= sum(counts.min() for counts in alone)
    every = RowDataset(manifest.folder, balanced=False)
    keys = {(source.symbol, source.row) for source in map(every.source, range(0, len(every), 7))}
    assert len(keys) == len(range(0, len(every), 7))
    taken = {(source.symbol, source.row) for source in map(both.source, range(len(both)))}
    assert len(taken) == len(both)


def test_datasets_that_differ_are_refused_by_name(manifest, tmp_path):
    market = manifest.folder.parent / "market"
    first = manifest.datasets["M6AM4"]

    def made(name, **settings):
        config = lobset.Config(**{**SMALL, "max_gap": "30m", **settings})
        return lobset.process(market, tmp_path / name, config, progress=False).datasets["M6AM4"]

    for name, settings, make, match in (
        ("seven", dict(nbins=7), RowDataset, "number of classes of classic: 5 in the first, 7 in the second"),
        ("derived", dict(derived=["spread"]), RowDataset, "columns: .* in the first, .*spread.* in the second"),
        ("fixed", dict(price_type="fixed"), WindowDataset, "price_type: float in the first, fixed in the second"),
        ("short", dict(samples=2_000), DepthDataset, "samples: 50000 in the first, 2000 in the second"),
        ("thin", dict(ticks_per_bin=50), DepthDataset, "ticks_per_bin: 100 in the first, 50 in the second"),
        (
            "one",
            dict(features=["volume"]),
            DepthDataset,
            "features: volume, variance in the first, volume in the second",
        ),
    ):
        other = made(name, **settings)
        with pytest.raises(lobset.ConfigError, match=match) as caught:
            make([first, first.with_name("AUDUSD_M6AU4_dataset.parquet"), other])
        assert f"samples of {first} and {other} cannot be mixed" in str(caught.value)
    with pytest.raises(
        lobset.ConfigError, match='M6AM4_dataset.parquet: target: "h10" is not one of the dataset\'s: classic$'
    ):
        RowDataset([first, tmp_path / "seven" / first.name], target="h10")


def test_a_dataset_without_samples_is_named(manifest):
    names = list(manifest.datasets)
    lengths = {}
    for name, path in manifest.datasets.items():
        stretches = (pl.read_parquet(path, columns=["row"])["row"].diff() != 1).fill_null(True).cum_sum()
        lengths[name] = int(stretches.value_counts()["count"].max())
    longest = max(names, key=lengths.get)
    length = max(n for name, n in lengths.items() if name != longest) + 1
    with pytest.warns(UserWarning, match="2 of 3 datasets have no sample:") as caught:
        both = WindowDataset(manifest.folder, length=length, balanced=False)
    text = str(caught[0].message)
    assert caught[0].filename == __file__
    assert both.symbols == [longest] and all(str(manifest.datasets[n]) in text for n in names if n != longest)
    assert np.array_equal(pickle.loads(pickle.dumps(both))[3][0], both[3][0])
    with pytest.raises(lobset.InputError, match="a window takes") as caught:
        WindowDataset(manifest.folder, length=lengths[longest] + 1, balanced=False)
    assert len(caught.value.others) == 2


@pytest.mark.parametrize("target", ["classic", "h90", "t5", "b40", "b9s"])
def test_no_label_until_a_moment_looks_at_rows_since_then(manifest, target):
    for path in manifest.datasets.values():
        rows = pl.read_parquet(path)
        ts = rows["ts_recv"].cast(pl.Int64).to_numpy()
        latest, number = np.maximum.accumulate(ts), rows["row"].to_numpy()
        fit = (rows[f"split{of(target)}"].cast(pl.String) == "fit").fill_null(False).to_numpy()
        places = np.flatnonzero(fit)
        moment = int(ts[places[len(places) // 2]])
        arguments = dict(balanced=False, target=target)
        train, check = (RowDataset(path, **arguments, **period) for period in (dict(until=moment), dict(since=moment)))
        # Compute it row by row from the definition.
        first = int(np.argmax(latest >= moment))
        seconds = {"t5": 6_000_000_000, "b9s": 9_000_000_000}
        reach = {"classic": 220, "h90": 90, "b40": 40}
        if target in seconds:
            inside = fit & (latest + seconds[target] < moment)
        else:
            inside = fit & (number + reach[target] <= number[first - 1])
        assert [train.position(i) for i in range(len(train))] == np.flatnonzero(inside).tolist()
        assert [check.position(i) for i in range(len(check))] == places[places >= first].tolist()
        assert len(train) > 100 and len(check) > 100
        # Between the two is an embargo as long as a label reaches ahead.
        last = train.source(len(train) - 1).row
        assert last + reach.get(target, 0) < check.source(0).row
        # Marks are chosen again among the remaining samples.
        uniform = RowDataset(path, target=target, until=moment)
        labels = rows[f"classification_label{of(target)}"].to_numpy()[inside]
        if len(np.unique(labels)) == uniform.weights().size:
            want = np.flatnonzero(inside)[np.array(marks(labels))]
            assert [uniform.position(i) for i in range(len(uniform))] == want.tolist()


def test_label_ends_are_where_until_says(manifest, tmp_path):
    config = lobset.Config(**SMALL, max_gap="30m", targets=TARGETS, label_end=True)
    path = lobset.process(manifest.folder.parent / "market", tmp_path / "out", config, progress=False).datasets["M6AM4"]
    rows = pl.read_parquet(path)
    moment = rows["ts_recv"][len(rows) // 3]
    first = rows.filter(pl.col("ts_recv") >= moment)["row"][0]
    for target in ("classic", "h10", "h90", "t5", "b40", "b9s"):
        train = RowDataset(path, balanced=False, target=target, until=moment)
        ends = rows[f"label_end{of(target)}"].to_numpy()[[train.position(i) for i in range(len(train))]]
        assert ends.max() < first and ends.max() > first - 500


def test_a_moment_after_the_boundary_takes_all_of_fit(manifest):
    boundary = lobset.Thresholds.read(manifest.folder / "thresholds.json").fit_until
    every = RowDataset(manifest.folder, balanced=False)
    for until in (boundary, boundary + np.timedelta64(9, "D")):
        assert len(RowDataset(manifest.folder, balanced=False, until=until)) == len(every)
    path = manifest.datasets["M6AM4"]
    before = RowDataset(path, balanced=False, until=int(boundary.astype(np.int64)) - 1)
    assert len(before) == len(RowDataset(path, balanced=False))
    # The rows after the last one are not in the file, so the labels that end there are left out.
    holdout = RowDataset(path, "holdout", balanced=False)
    late = RowDataset(path, "holdout", balanced=False, until="2100-01-01")
    last = pl.read_parquet(path, columns=["row"])["row"][-1]
    known = sum(holdout.source(i).row + 220 <= last for i in range(len(holdout)))
    assert known < len(holdout) and np.array_equal(late.labels(), holdout.labels()[:known])


def test_moments_are_written_in_many_ways(manifest):
    path = manifest.datasets["M6AM4"]
    rows = pl.read_parquet(path, columns=["ts_recv"])["ts_recv"].cast(pl.Int64)
    exact = int(rows[len(rows) // 4])
    moment = dt.datetime(2024, 4, 2, 3, 4, 5, 678_901, tzinfo=dt.UTC)
    ns = int(moment.timestamp()) * 10**9 + 678_901_000
    zone = dt.timezone(dt.timedelta(hours=2))
    ways = [
        (ns, [moment, moment.replace(tzinfo=None), moment.astimezone(zone), np.datetime64(ns, "ns"), np.int64(ns)]),
        (ns, ["2024-04-02T03:04:05.678901Z", "2024-04-02 03:04:05.678901", "2024-04-02T05:04:05.678901+02:00"]),
        (ns + 234, ["2024-04-02T03:04:05.678901234Z"]),
        (1_712_016_000 * 10**9, ["2024-04-02", dt.date(2024, 4, 2), dt.datetime(2024, 4, 2)]),
    ]
    for want, moments in ways:
        length = len(RowDataset(path, balanced=False, since=want))
        for moment in moments:
            made = RowDataset(path, balanced=False, since=moment)
            assert made._arguments["since"] == want and len(made) == length
    # Moments are exact to the nanosecond.
    place = int(np.argmax(rows.to_numpy() >= exact))
    for moment, start in ((exact, place), (exact + 1, place + 1)):
        assert RowDataset(path, balanced=False, since=moment).position(0) == start
    for wrong in ("yesterday", -1, 1.5, True, 2**64, dt.date(1960, 1, 1), "2024-04-02T25:00"):
        with pytest.raises(lobset.ConfigError, match="until: must be a date or time such as"):
            RowDataset(path, until=wrong)
    with pytest.raises(lobset.InputError, match="none of the [0-9,]* rows of the split fit was received at 2100"):
        RowDataset(path, since="2100-01-01")
    with pytest.raises(lobset.InputError, match="has a label that ends before 1990-01-01"):
        RowDataset(path, until="1990-01-01")


def test_a_period_needs_times(manifest, tmp_path):
    config = lobset.Config(**SMALL, columns="book")
    path = lobset.process(manifest.folder.parent / "market", tmp_path / "out", config, progress=False).datasets["M6AM4"]
    for period in (dict(since="2024-04-01"), dict(until="2024-04-02")):
        with pytest.raises(lobset.InputError, match='has no column "ts_recv"') as caught:
            RowDataset(path, **period)
        assert 'columns = "all"' in caught.value.help


@pytest.mark.parametrize("targets", [["h90", "h10", "classic"], ["h10"]])
def test_labels_of_several_targets_are_a_dict(manifest, kind, targets):
    make, arguments = kind
    path = manifest.datasets["M6AM4"]
    rows = pl.read_parquet(path)
    made = make(path, "holdout", balanced=False, target=targets, **arguments)
    places = [made.position(i) for i in range(len(made))]
    want = {name: rows[f"classification_label{of(name)}"].to_numpy()[places] for name in targets}
    assert made.targets == targets and all(np.isfinite(labels).all() for labels in want.values())
    for name in targets:
        assert set(rows[f"split{of(name)}"].cast(pl.String)[places]) == {"holdout"}
        assert np.array_equal(made.labels()[name], want[name])
    if make is RowDataset:
        both = pl.all_horizontal(pl.col(f"split{of(name)}").cast(pl.String) == "holdout" for name in targets)
        assert places == rows.with_row_index().filter(both)["index"].to_list()
    numbers = np.random.default_rng(2).permutation(len(made))[:200]
    for again in (made, pickle.loads(pickle.dumps(made))):
        samples, labels = again.batch(numbers)
        assert list(labels) == targets
        assert all(np.array_equal(labels[name], want[name][numbers]) for name in targets)
    sample, label = made[int(numbers[5])]
    assert np.array_equal(sample, samples[5], equal_nan=True)
    assert label == {name: want[name][numbers[5]] for name in targets}
    one = [label for _, label in BlockStream(made, shuffle=False)]
    assert all([label[name] for label in one] == want[name].tolist() for name in targets)
    streamed = list(BlockStream(made, seed=1, block=40).batches(33))
    for name in targets:
        assert np.array_equal(
            np.bincount(np.concatenate([y[name] for _, y in streamed])), np.bincount(want[name].astype(int))
        )
    # The first target decides what is balanced.
    counts = np.bincount(make(path, target=targets, **arguments).labels()[targets[0]])
    assert len(set(counts)) == 1


def test_targets_that_cannot_be_read_together_are_refused(manifest):
    path = manifest.datasets["M6AM4"]
    for targets, match in (
        (["h10", "h11"], "h11"),
        ([], "name one at least"),
        (["h10", "h10"], '"h10" is given twice'),
    ):
        with pytest.raises(lobset.ConfigError, match=match):
            RowDataset(path, target=targets)
    several, one = RowDataset(path, target=["h10"]), RowDataset(path, target="h10")
    with pytest.raises(ValueError, match="same targets"):
        BlockStream([several, one])
    numbers = np.arange(5)
    with pytest.raises(ValueError, match="room"):
        several.fill(numbers, [np.empty((5, 61), np.float32)], np.empty((2, 5), np.int64))


def test_weights_bring_every_class_to_the_same_sum(manifest):
    made = RowDataset(manifest.folder, "holdout", balanced=False, target=["classic", "h10"])
    for name, classes in (("classic", 5), ("h10", 3)):
        weights, counts = made.weights()[name], np.bincount(made.labels()[name], minlength=classes)
        assert weights.dtype == np.float32 and weights.shape == (classes,)
        assert len(set(counts)) == classes
        np.testing.assert_allclose(weights, len(made) / (classes * counts), rtol=1e-6)
    # Classes that do not occur have weight 0, and the others share the total.
    path = manifest.datasets["M6AM4"]
    labels = RowDataset(path, balanced=False, target="h10").labels()
    first = int(np.argmax(labels != labels[0]))
    moment = int(pl.read_parquet(path, columns=["ts_recv"])["ts_recv"].cast(pl.Int64)[first + 10])
    few = RowDataset(path, balanced=False, target="h10", until=moment)
    counts, weights = np.bincount(few.labels(), minlength=3), few.weights()
    assert (counts == 0).any() and np.array_equal(weights == 0, counts == 0)
    assert (weights[few.labels()]).mean() == pytest.approx(1, rel=1e-6)


def test_a_pickled_dataset_names_the_file_that_has_changed(manifest, tmp_path):
    paths = [tmp_path / path.name for path in manifest.datasets.values()]
    for source, path in zip(manifest.datasets.values(), paths, strict=True):
        shutil.copy(source, path)
    text = pickle.dumps(RowDataset(paths))
    with paths[1].open("ab") as file:
        file.write(b"PAR1")
    with pytest.raises(lobset.InputError, match="is no longer the file") as caught:
        pickle.loads(text)
    assert caught.value.path == paths[1]
