"""Random rows and windows of rows, with and without a cache file, compared with Polars and NumPy."""

import pickle
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

import lobset
from lobset.data import BlockStream, Moments, RowDataset, WindowDataset, batches
from small import SMALL

SETTINGS = {**SMALL, "max_gap": "30m", "derived": ["spread", "weighted_mid", "imbalance", "ofi"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    lobset.simulate(folder / "market", days=8, rows=12_000)
    return folder


@pytest.fixture(scope="module", params=["float", "fixed"])
def dataset(request, folder):
    config = lobset.Config(**SETTINGS, price_type=request.param)
    return lobset.process(folder / "market", folder / request.param, config, progress=False).datasets["M6AM4"]


@pytest.fixture(params=["file", "row groups"])
def cache(request, folder):
    return folder / "cache" if request.param == "file" else None


def numbers_of(rows, columns):
    """Columns as f64, NaN for null. Derived columns are f32 in samples."""
    single = ("spread", "weighted_mid", "imbalance", "ofi")
    table = [rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in columns]
    return np.stack(
        [
            c.astype(np.float32).astype(np.float64) if n.startswith(single) else c
            for n, c in zip(columns, table, strict=True)
        ],
        axis=1,
    )


def levels(count=10):
    return [f"{side}_{field}_{level:02}" for level in range(count) for side in ("ask", "bid") for field in ("px", "sz")]


def starts(rows):
    """For each row, the first row of its unbroken stretch."""
    first = np.flatnonzero(np.diff(rows["row"].to_numpy(), prepend=-2) != 1)
    return np.repeat(first, np.diff([*first, len(rows)]))


def sample_deviation(values):
    values = values[~np.isnan(values)]
    return values.mean(), values.std(ddof=1) if values.std(ddof=1) > 0 else 1.0


def test_rows_are_vectors_of_their_columns(dataset, cache):
    rows = pl.read_parquet(dataset)
    made = RowDataset(dataset, balanced=False, cache=cache)
    assert made.shape == (60 + 1 + 2 + 20,) and set(levels()) < set(made.columns)
    places = [made.position(i) for i in range(len(made))]
    want = np.stack([rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in made.columns], axis=1)
    want = want[places].astype(np.float32)
    order = np.random.default_rng(1).permutation(len(made))
    for threads in (1, 3):
        found, labels = made.batch(order, threads)
        assert np.array_equal(found.view(np.uint32), want[order].view(np.uint32))
        assert np.array_equal(labels, rows["classification_label"].to_numpy()[places][order])
    joined = np.concatenate([x for x, _ in batches(made, 256, shuffle=True, seed=3)])
    assert sorted(x.tobytes() for x in joined) == sorted(x.tobytes() for x in want)


@pytest.mark.parametrize("normalise", ["none", "column", "group", "days:3"])
@pytest.mark.parametrize(
    "columns", [None, ["bid_sz_03", "weighted_mid", "ofi_00", "ask_px_02", "bid_ct_01", "mid_price"]]
)
def test_windows_are_those_of_the_definition(dataset, cache, normalise, columns):
    rows, length = pl.read_parquet(dataset), 50
    made = WindowDataset(
        dataset, "holdout", balanced=False, length=length, columns=columns, normalise=normalise, stride=7, cache=cache
    )
    names = columns or levels()
    assert made.columns == names and made.shape == (length, len(names))
    values = numbers_of(rows, names)
    fit = values[(rows["split"].cast(pl.String) == "fit").to_numpy()]
    files = np.repeat(np.arange(8), Moments(dataset).rows)
    kinds = [name.split("_")[1] if name.startswith(("bid_", "ask_")) else name for name in names]
    together = {kind: [i for i, own in enumerate(kinds) if own == kind] for kind in kinds}

    def scale(place):
        for column, kind in enumerate(kinds):
            if normalise == "none":
                yield 0.0, 1.0
            elif normalise == "column" or (normalise == "group" and kind not in ("px", "sz")):
                yield sample_deviation(fit[:, column])
            elif normalise == "group":
                yield sample_deviation(fit[:, together[kind]])
            else:
                of_file = files[place]
                yield sample_deviation(values[(files >= of_file - 3) & (files < of_file), column])

    first, split = starts(rows), rows["split"].cast(pl.String).to_list()
    ready = 3 if normalise == "days:3" else 0
    want = [
        place
        for place in range(len(rows))
        if split[place] == "holdout"
        and place + 1 - length >= first[place]
        and (place + 1 - length - first[place]) % 7 == 0
        and files[place] >= ready
    ]
    assert [made.position(i) for i in range(len(made))] == want and len(want) > 100
    scales = {}
    for i in range(0, len(made), max(1, len(made) // 60)):
        window, label = made[i]
        place = want[i]
        key = files[place] if ready else 0
        if key not in scales:
            scales[key] = np.array(list(scale(place))).T
        mean, deviation = scales[key]
        expected = (values[place + 1 - length : place + 1] - mean) / deviation
        assert window.dtype == np.float32 and label == rows["classification_label"][place]
        np.testing.assert_allclose(window, expected, rtol=1e-5, atol=1e-5)
        if normalise == "none":
            assert np.array_equal(window, expected.astype(np.float32), equal_nan=True)


def test_every_way_gives_the_same_windows(dataset, folder):
    arguments = dict(balanced=False, length=30, levels=4, stride=11)
    made = WindowDataset(dataset, **arguments, cache=folder / "cache")
    assert made.columns == levels(4)
    numbers = np.arange(len(made))
    want, labels = made.batch(numbers)
    plain = WindowDataset(dataset, **arguments, cache=None)
    channels = WindowDataset(dataset, **arguments, channels=True, cache=folder / "cache")
    assert channels.shape == (1, 30, 16)
    ways = {
        "from row groups": plain.batch(numbers)[0],
        "one by one": np.stack([made[i][0] for i in numbers]),
        "after pickling": pickle.loads(pickle.dumps(made)).batch(numbers, threads=1)[0],
        "with channels": channels.batch(numbers)[0].squeeze(1),
        "as a stream": np.stack([x for x, _ in BlockStream(made, shuffle=False)]),
    }
    for way, found in ways.items():
        assert np.array_equal(found.view(np.uint32), want.view(np.uint32)), way
    for source in (batches(made, 64, shuffle=True, seed=1), BlockStream(made, seed=2, block=40).batches(64)):
        found = [(x.tobytes(), int(y)) for samples, of in source for x, y in zip(samples, of, strict=True)]
        assert sorted(found) == sorted((x.tobytes(), int(y)) for x, y in zip(want, labels, strict=True))
    assert np.isfinite(want).all() and abs(want[..., ::2].mean()) < 1
    # Prices normalised by one mean and deviation keep the order of the levels.
    assert all((want[..., 4 * a] < want[..., 4 * b]).all() for a, b in pairwise(range(4)))
    assert repr(made).startswith("WindowDataset(") and "length=30" in repr(made)


def test_windows_of_targets_and_marks(folder, tmp_path):
    config = lobset.Config(**SETTINGS, targets=["h10=return(10),classes=share"])
    path = lobset.process(folder / "market", tmp_path / "out", config, progress=False).datasets["M6AM4"]
    rows = pl.read_parquet(path)
    for target, of in (("classic", ""), ("h10", "_h10")):
        made = WindowDataset(path, target=target, normalise="column", cache=folder / "cache")
        places = [made.position(i) for i in range(len(made))]
        counts = np.bincount(made.labels())
        assert len(places) > 100 and counts.max() == np.sort(counts)[1:].min(), (
            "as many of every class that is not short"
        )
        assert np.array_equal(made.labels(), rows[f"classification_label{of}"].to_numpy()[places])
        moments, column = Moments(path).fit(target)["bid_sz_00"], made.columns.index("bid_sz_00")
        want = (rows["bid_sz_00"][places[3] - 99 : places[3] + 1].to_numpy() - moments.mean) / moments.deviation
        np.testing.assert_allclose(made[3][0][:, column], want, rtol=1e-5, atol=1e-6)


def test_nulls_are_nan(tmp_path):
    made = tmp_path / "options"
    lobset.simulate(made / "market", days=2, rows=30_000, options=3)
    manifest = lobset.process(made / "market", made / "out", lobset.Config(**SMALL), progress=False)
    for path in manifest.datasets.values():
        rows = pl.read_parquet(path)
        if rows["bid_px_09"].null_count():
            break
    windows = WindowDataset(path, balanced=False, length=20, cache=made / "cache")
    for i in range(0, len(windows), max(1, len(windows) // 50)):
        place = windows.position(i)
        nulls = numbers_of(rows[place - 19 : place + 1], levels())
        assert np.array_equal(np.isnan(windows[i][0]), np.isnan(nulls))


def test_cache_files_are_shared_and_refused_when_damaged(dataset, tmp_path):
    cache = tmp_path / "cache"
    for normalise, length in (("group", 10), ("none", 20), ("days:2", 30)):
        WindowDataset(dataset, length=length, normalise=normalise, cache=cache)
    columns = sorted(levels())
    RowDataset(dataset, "holdout", columns=columns, cache=cache)
    (file,) = cache.iterdir()
    rows = pl.read_parquet(dataset).height
    assert "-rows-" in file.name and file.stat().st_size < 80 * rows + 32_768
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(lobset.OutputError, match="is damaged") as caught:
        RowDataset(dataset, columns=columns, cache=cache)
    assert "delete it" in caught.value.help


def test_what_cannot_be_given_is_refused(dataset, folder, tmp_path):
    cache = folder / "cache"
    for settings, match in (
        (dict(normalise="day"), 'normalise: "day" is none of'),
        (dict(normalise="days:0"), 'normalise: "days:0" is none of'),
        (dict(length=0), "length: 0 is outside"),
        (dict(levels=11), "levels: 11 is outside"),
        (dict(columns=[]), "columns: name one at least"),
        (dict(target="h9"), "target"),
    ):
        with pytest.raises(lobset.ConfigError, match=match):
            WindowDataset(dataset, cache=cache, **settings)
    with pytest.raises(
        lobset.InputError, match="no row has as many input files before its own as the normalisation needs"
    ):
        WindowDataset(dataset, cache=cache, normalise="days:8")
    for columns, match in ((["row"], "identifies the row"), (["nothing"], "is not in the file")):
        with pytest.raises(lobset.InputError, match=match):
            WindowDataset(dataset, columns=columns, cache=cache)
    windows = WindowDataset(dataset, length=10, cache=cache)
    with pytest.raises(ValueError, match="rows and windows are float32"):
        windows.batch([0], dtype="int8")
    with pytest.raises(ValueError, match="room"):
        windows.fill(np.zeros(2, np.int64), [np.empty((2, 10, 39), np.float32)], np.empty(2, np.int64))
    for wrong in (len(windows), -len(windows) - 1):
        with pytest.raises(IndexError):
            windows[wrong]
        with pytest.raises(IndexError):
            windows.batch([0, wrong])
    config = lobset.Config(**SETTINGS, drop_unbalanced=True)
    dropped = lobset.process(folder / "market", tmp_path / "out", config, progress=False).datasets["M6AM4"]
    with pytest.raises(lobset.InputError, match="drop_unbalanced"):
        WindowDataset(dropped, cache=cache)
    assert len(RowDataset(dropped, cache=cache)) > 0
