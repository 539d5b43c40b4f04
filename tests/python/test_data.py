"""Loaders: which rows are samples, in which order, and how they resume."""

import math
import pickle
import shutil
from fractions import Fraction

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lobset
from depth_reference import assert_same, depth_tensor
from lobset.data import BlockStream, DepthDataset, Moments, RowDataset, batches, paint, uniform_order
from small import SMALL

SETTINGS = {**SMALL, "samples": 600, "ticks_per_bin": 20, "max_gap": "30m"}


TARGETS = ["h10=return(10),classes=share", {"name": "d900", "kind": "deeplob(900)", "nbins": 3}]


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "market"
    lobset.simulate(folder, days=4, rows=25_000)
    return folder


@pytest.fixture(scope="module")
def dataset(market):
    return lobset.process(market, market.parent / "out", lobset.Config(**SETTINGS), progress=False).datasets["M6AM4"]


@pytest.fixture(scope="module")
def several(market):
    """A dataset with several targets."""
    config = lobset.Config(**SETTINGS, targets=TARGETS)
    return lobset.process(market, market.parent / "several", config, progress=False).datasets["M6AM4"]


def expected(rows, split, balanced, window, stride, of_target=""):
    """The places of samples, computed row by row from the definition."""
    places, start, last = [], 0, None
    columns = (rows[name] for name in ("row", f"split{of_target}"))
    for at, (row, of) in enumerate(zip(*columns, strict=True)):
        if last is None or row != last + 1:
            start = at
        last = row
        length = at - start + 1
        if of == split and length >= window and (length - window) % stride == 0:
            places.append(at)
    labels = rows[f"classification_label{of_target}"].to_numpy()[places]
    return [at for at, mark in zip(places, marks(labels), strict=True) if mark or not balanced]


def marks(labels):
    """The marks of rows with these classes, all of which occur: the same number for every class, spread evenly."""
    counts = np.bincount(labels.astype(int))
    enough = counts[counts * len(counts) * 10 >= len(labels)]
    k = (enough if 2 * len(enough) >= len(counts) else counts[counts > 0]).min()
    seen, found = np.zeros(len(counts), int), []
    for label in labels.astype(int):
        seen[label] += 1
        j, c = seen[label], counts[label]
        found.append(c <= k or j * k // c > (j - 1) * k // c)
    return found


@pytest.mark.parametrize("target", ["classic", "h10"])
def test_moments_are_those_of_the_rows(several, target):
    rows, moments = pl.read_parquet(several), Moments(several)
    assert moments.symbol == "M6AM4" and len(moments.files) == 4 and sum(moments.rows) == rows.height
    split = "split" if target == "classic" else f"split_{target}"
    fit = rows.filter(pl.col(split).cast(pl.String) == "fit")
    second = rows.slice(moments.rows[0], moments.rows[1])
    assert moments.before(0, 1) is None
    for part, found in [(fit, moments.fit(target)), (second, moments.of_files(1, 2)), (second, moments.before(2, 1))]:
        for name, of in found.items():
            values = part[name].cast(pl.Float64)
            assert of.count == values.len() - values.null_count()
            assert of.mean == pytest.approx(values.mean(), rel=1e-9)
            assert of.deviation == pytest.approx(values.std(), rel=1e-6, abs=1e-12)


def test_moments_are_exact_and_open_everywhere(market, tmp_path):
    config = lobset.Config(**SETTINGS, derived=["imbalance"])
    manifest = lobset.process(market, tmp_path / "out", config, progress=False)
    symbol = next(symbol for symbol in manifest.symbols if symbol.symbol == "M6AM4")
    rows = pl.read_parquet(symbol.path)
    for table in [pl.read_parquet(symbol.moments), pl.from_arrow(pq.read_table(symbol.moments))]:
        assert table.schema["sum"] == table.schema["fit_sum_of_squares"] == pl.Decimal(38, 0)
        of = {name: table.filter(pl.col("column") == name) for name in ("bid_sz_03", "mid_price", "imbalance_02")}
        sizes = rows["bid_sz_03"].to_list()
        assert sum(map(int, of["bid_sz_03"]["sum"])) == sum(sizes)
        assert sum(map(int, of["bid_sz_03"]["sum_of_squares"])) == sum(size * size for size in sizes)
        assert sum(map(int, of["mid_price"]["sum"])) == sum(round(mid * 2e9) for mid in rows["mid_price"])
        assert set(of["mid_price"]["divisor"]) == {2_000_000_000}
        first = rows["imbalance_02"][: of["mid_price"]["count"][0]].drop_nulls().to_list()
        assert of["imbalance_02"]["sum_float"][0] == math.fsum(first)
        assert of["imbalance_02"]["sum_of_squares_float"][0] == float(sum(Fraction(value) ** 2 for value in first))


@pytest.mark.parametrize("split", ["fit", "holdout"])
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("stride", [1, 7, 20])
def test_samples_are_those_of_the_definition(dataset, split, balanced, stride):
    rows = pl.read_parquet(dataset)
    breaks = (rows["row"].diff() > 1).sum()
    assert breaks >= 3, "the market has breaks to look at"
    depth = DepthDataset(dataset, split, balanced, stride=stride)
    want = expected(rows, split, balanced, 600, stride)
    assert [depth.position(i) for i in range(len(depth))] == want and len(want) > 10
    assert np.array_equal(depth.labels(), rows["classification_label"].to_numpy()[want])
    assert set(rows["split"].to_numpy()[want]) == {split}
    vectors = RowDataset(dataset, split, balanced, stride=stride)
    assert [vectors.position(i) for i in range(len(vectors))] == expected(rows, split, balanced, 1, stride)
    if balanced and stride == 1:
        # Without a window or a stride, these are the rows that the column marks.
        assert rows["balanced"].to_numpy()[vectors_at(vectors)].all() and len(vectors) == marked(rows, split)


def vectors_at(samples):
    return [samples.position(i) for i in range(len(samples))]


def marked(rows, split):
    return rows.filter(pl.col("split") == split, "balanced").height


@pytest.mark.parametrize("target", ["classic", "h10", "d900"])
@pytest.mark.parametrize("balanced", [True, False])
def test_samples_of_a_target_have_its_labels_splits_and_marks(several, target, balanced):
    rows = pl.read_parquet(several)
    of = "" if target == "classic" else f"_{target}"
    labels = rows[f"classification_label{of}"]
    # h10 has short windows, so it labels every row and its column has no nulls.
    assert (labels.null_count() == 0) == (target == "h10")
    for split in ("fit", "holdout"):
        depth = DepthDataset(several, split, balanced, stride=7, target=target)
        vectors = RowDataset(several, split, balanced, target=target)
        assert depth.targets == vectors.targets == [target]
        for samples, window, stride in ((depth, 600, 7), (vectors, 1, 1)):
            want = expected(rows, split, balanced, window, stride, of)
            assert [samples.position(i) for i in range(len(samples))] == want and len(want) > 10
            assert labels[want].null_count() == 0 and np.array_equal(samples.labels(), labels[want])
            numbers = [0, len(want) // 2, len(want) - 1]
            assert [samples[i][1] for i in numbers] == labels[[want[i] for i in numbers]].to_list()
            assert samples.batch(numbers)[1].tolist() == labels[[want[i] for i in numbers]].to_list()
            again = pickle.loads(pickle.dumps(samples))
            assert again.targets == [target] and np.array_equal(again.labels(), samples.labels())
        # The rows are the same for every target.
        assert vectors.columns == RowDataset(several).columns
        assert not any(name.endswith(("_h10", "_d900")) for name in vectors.columns)


def test_the_classic_samples_do_not_depend_on_other_targets(dataset, several):
    for split in ("fit", "holdout"):
        alone, beside = (RowDataset(path, split) for path in (dataset, several))
        assert len(alone) > 10 and np.array_equal(alone.labels(), beside.labels())
        numbers = np.arange(len(alone))
        assert np.array_equal(alone.batch(numbers)[0].view(np.uint32), beside.batch(numbers)[0].view(np.uint32))


def test_a_target_without_labels_is_refused(market, tmp_path):
    config = lobset.Config(**{**SETTINGS, "lookback_rows": 2_000}, targets=TARGETS)
    made = lobset.process(market, tmp_path / "out", config, progress=False)
    symbol = next(s for s in made.symbols if s.path and s.targets["classic"].reason and not s.targets["h10"].reason)
    assert "labelled rows, fewer than" in symbol.targets["classic"].reason and symbol.splits == {}
    for kind in (DepthDataset, RowDataset):
        with pytest.raises(lobset.InputError, match='has no row with a label of the target "classic"') as caught:
            kind(symbol.path, balanced=False)
        assert "manifest.json says why" in caught.value.help
        assert len(kind(symbol.path, balanced=False, target="h10")) > 10


def test_a_target_that_a_dataset_lacks_is_refused(dataset, several):
    for kind in (DepthDataset, RowDataset):
        with pytest.raises(lobset.ConfigError, match='target: "h99" is not one of the dataset\'s: classic, h10, d900'):
            kind(several, target="h99")
        with pytest.raises(lobset.ConfigError, match='target: "h10" is not one of the dataset\'s: classic$'):
            kind(dataset, target="h10")
    for column in ("price_movement_h10", "classification_label_h10", "split_d900", "balanced_h10"):
        with pytest.raises(lobset.InputError, match="is a label, not a feature"):
            RowDataset(several, columns=[column])
    state = BlockStream(RowDataset(several, balanced=False)).state_dict()
    with pytest.raises(ValueError, match="targets|samples"):
        BlockStream(RowDataset(several, balanced=False, target="h10")).load_state_dict(state)


@pytest.mark.parametrize("cache", ["auto", None])
def test_items_are_the_tensor_and_the_class_of_their_window(dataset, cache):
    rows = pl.read_parquet(dataset)
    for settings in (dict(), dict(samples=300, ticks_per_bin=30, features=["trade_counts"], micro_pip_size=5e-6)):
        depth = DepthDataset(dataset, balanced=False, cache=cache, **settings)
        used = {**dict(samples=600, ticks_per_bin=20, features=("volume", "variance"), micro_pip_size=1e-5), **settings}
        processor = lobset.DepthProcessor(**used)
        assert depth.shape == processor.output_shape
        # Forwards, backwards and at random: shared bins equal newly computed ones.
        order = [
            *range(0, 100),
            *range(99, 0, -3),
            *np.random.default_rng(1).integers(0, len(depth), 100),
            len(depth) - 1,
        ]
        for i in order:
            tensor, label = depth[i]
            place = depth.position(i)
            assert np.array_equal(tensor, processor.process(rows[place + 1 - used["samples"] : place + 1]))
            assert label == rows["classification_label"][place]
    many, labels = depth.batch(order[:20])
    assert all(
        np.array_equal(m, depth[i][0]) and label == depth[i][1]
        for m, label, i in zip(many, labels, order, strict=False)
    )
    assert np.array_equal(depth[-1][0], depth[len(depth) - 1][0])
    for wrong in (len(depth), -len(depth) - 1):
        with pytest.raises(IndexError):
            depth[wrong]


def test_the_ladder_of_a_dataset_fits_it_and_coverage_tells(tmp_path):
    market = lobset.simulate(tmp_path / "market", days=2, rows=6_000, seed=3)
    settings = dict(lookback_rows=200, lookforward_input=200, lookforward_offset=20, min_symbol_samples=500)
    tensors = dict(samples=600, ticks_per_bin=20, currency="AUDUSD")
    result = lobset.process(market, tmp_path / "auto", {**settings, **tensors, "micro_pip_size": "auto"})
    symbol = next(symbol for symbol in result.symbols if symbol.path)
    path, ladder = symbol.path, symbol.ladder
    found = DepthDataset(path, balanced=False, cache=None)
    assert found.micro_pip_sizes == [ladder.micro_pip_size] and ladder.micro_pip_size >= ladder.tick == 5e-5
    assert found.coverages[0] >= 0.9 and ladder.coverage >= 0.9

    off = DepthDataset(path, balanced=False, micro_pip_size=1e-7, output="bins", cache=None)
    numbers = [i * len(off) // 64 for i in range(64)]
    on_ladder = np.concatenate([(off[i][0].ladder_rows >= 0).ravel() for i in numbers])
    assert off.coverages == [on_ladder.mean()] and on_ladder.mean() < 0.2, "no level is missing in this market"

    with pytest.raises(lobset.ConfigError, match='micro_pip_size: is "auto", so each dataset has its own'):
        lobset.DepthProcessor.from_config({"micro_pip_size": "auto"})
    assert "1e-07" in repr(lobset.DepthProcessor.from_config({"micro_pip_size": "auto"}, 1e-7))
    with pytest.raises(lobset.ConfigError, match='must be a number or "auto"'):
        lobset.Config(micro_pip_size="automatic")


@pytest.mark.parametrize("pip", [1e-5, 1e-6], ids=["on the ladder", "across the ladder"])
def test_a_window_has_the_same_bits_whatever_the_way(dataset, pip):
    features = ("volume", "variance", "trade_counts")
    arguments = dict(balanced=False, features=features, stride=300, micro_pip_size=pip)
    depth = DepthDataset(dataset, **arguments)
    assert depth.shape[2] == 30
    rows = pl.read_parquet(dataset)
    processor = lobset.DepthProcessor(features, 600, 20, pip)
    numbers = np.arange(0, len(depth), max(1, len(depth) // 30))
    want, below, above = {}, 0, 0
    for i in numbers:
        place = depth.position(i)
        part = rows[place - 599 : place + 1]
        want[i] = depth_tensor(part, features, 20, pip)
        below, above = below + (want[i][0, 201:] > 0).sum(), above + (want[i][0, :201] < 0).sum()
        found = processor.process(part)
        assert_same(found, want[i], features)
        want[i] = found
        fixed = part.with_columns((pl.selectors.contains("_px_") * 1e9).round().cast(pl.Int64))
        assert np.array_equal(processor.process(fixed.to_arrow()), found)
        assert np.array_equal(processor.process(part, out=np.full(depth.shape, np.nan, np.float32)), found)
    assert below > 100 and above > 100, "there are windows whose price moved"

    bits = np.stack([want[i] for i in numbers]).view(np.uint32)
    fresh = DepthDataset(dataset, **arguments, cache=None)
    bins = DepthDataset(dataset, **arguments, output="bins")
    backwards = np.stack([fresh[i][0] for i in numbers[::-1]])[::-1]
    whole = np.concatenate([x for x, _ in batches(depth, 64)])
    ways = {
        "one by one": np.stack([depth[i][0] for i in numbers]),
        "backwards": backwards,
        "by one thread": depth.batch(numbers, threads=1)[0],
        "by four threads": depth.batch(numbers, threads=4)[0],
        "after pickling": pickle.loads(pickle.dumps(depth)).batch(numbers)[0],
        "in batches": whole[numbers],
        "from row groups": fresh.batch(numbers)[0],
        "after pickling, from row groups": pickle.loads(pickle.dumps(fresh)).batch(numbers)[0],
        "painted": paint(bins.batch(numbers)[0]),
        "painted one by one": np.stack([paint(bins[i][0], threads=1) for i in numbers]),
        "painted with NumPy": np.stack([paint_slowly(bins[i][0]) for i in numbers]),
    }
    for way, tensors in ways.items():
        assert np.array_equal(np.ascontiguousarray(tensors).view(np.uint32), bits), way
    for feature, channel in zip(features, range(3), strict=True):
        alone = DepthDataset(dataset, **{**arguments, "features": [feature]}).batch(numbers)[0]
        assert np.array_equal(alone.view(np.uint32), bits[:, channel]), feature
    every = sorted(map(key, whole))
    for shards in (1, 3):
        streams = [BlockStream(depth, seed=4, block=50, shard=s, shards=shards, threads=2) for s in range(shards)]
        assert sorted(key(x) for stream in streams for x, _ in stream) == every


def paint_slowly(bins):
    """Paints the bins of a sample level by level, with NumPy's cumsum."""
    rows, values = bins
    features, _, _, time_bins = values.shape
    pictures = np.zeros((features, 402, time_bins))
    for side in (0, 1):
        steps = np.zeros((features, 402, time_bins))
        for level in range(10):
            there = np.flatnonzero(rows[side, level] >= 0)
            steps[:, rows[side, level, there], there] = values[:, side, level, there]
        # Row 0 is the highest price: bids accumulate down the rows, asks up.
        pictures += np.cumsum(steps[:, ::-1], axis=1)[:, ::-1] if side else -np.cumsum(steps, axis=1)
    largest = np.abs(pictures).max(axis=(1, 2), keepdims=True)
    return (pictures / np.where(largest > 0, largest, 1)).astype(np.float32) + 0


def test_tensors_of_other_types_are_those_rounded(dataset):
    depth = DepthDataset(dataset, stride=50)
    numbers = np.arange(0, len(depth), 7)
    tensors, labels = depth.batch(numbers)
    halves, of_halves = depth.batch(numbers, dtype="float16")
    levels, _ = depth.batch(numbers, dtype="int8")
    assert np.array_equal(halves, tensors.astype(np.float16)) and halves.dtype == np.float16
    assert np.array_equal(levels, np.rint(tensors * np.float32(127)).astype(np.int8)) and levels.dtype == np.int8
    assert np.array_equal(labels, of_halves) and {levels.min(), levels.max()} <= set(range(-127, 128))
    out, labels = [np.full((2, *depth.shape), np.nan, np.float32)], np.empty(2, np.int64)
    depth.fill(numbers[:2], out, labels)
    assert np.array_equal(out[0], tensors[:2])
    with pytest.raises(ValueError, match="room"):
        depth.fill(numbers[:3], out, np.empty(3, np.int64))
    with pytest.raises(ValueError, match="bins are float32"):
        DepthDataset(dataset, output="bins").batch([0], dtype="int8")


def test_bins_stream_and_pickle_like_tensors(dataset):
    depth, bins = (DepthDataset(dataset, stride=40, output=output) for output in ("tensor", "bins"))
    assert bins.shape == depth.shape == (2, 402, 30)
    one, label = bins[3]
    assert one.ladder_rows.shape == (2, 10, 30) and one.values.shape == (2, 2, 10, 30) and label == depth[3][1]
    assert one.ladder_rows.dtype == np.int16 and one.ladder_rows.min() >= -1 and one.ladder_rows.max() < 402
    streams = [BlockStream(d, seed=2, block=30).batches(17) for d in (depth, pickle.loads(pickle.dumps(bins)))]
    for (tensors, labels), (of_bins, same) in zip(*streams, strict=True):
        assert np.array_equal(paint(of_bins), tensors) and np.array_equal(labels, same)
    streams = [iter(BlockStream(d, seed=2, block=30)) for d in (depth, bins)]
    assert all(np.array_equal(paint(b), t) for (t, _), (b, _) in zip(*streams, strict=True))
    with pytest.raises(ValueError, match="shapes"):
        paint((one.ladder_rows, one.values[:, :1]))
    with pytest.raises(ValueError, match="1 to 3"):
        paint((one.ladder_rows, np.zeros((4, *one.ladder_rows.shape), np.float32)))
    with pytest.raises(ValueError, match="output"):
        DepthDataset(dataset, output="picture")


def test_a_cache_file_is_made_once_and_where_asked(dataset, tmp_path):
    folder = tmp_path / "here"
    made = DepthDataset(dataset, cache=folder)
    (file,) = folder.iterdir()
    before, bytes_of = file.read_bytes(), file.stat().st_size
    again = DepthDataset(dataset, "holdout", cache=folder, target="classic")
    assert file.read_bytes() == before and [*folder.iterdir()] == [file] and len(again) > 10
    # A stride that is a multiple of a bin needs a twentieth of the bins.
    DepthDataset(dataset, stride=40, cache=folder)
    assert min(f.stat().st_size for f in folder.iterdir()) < bytes_of / 10
    file.write_bytes(before[:-1])
    with pytest.raises(lobset.OutputError, match="damaged") as caught:
        DepthDataset(dataset, cache=folder)
    assert "delete it" in caught.value.help
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(lobset.OutputError, match="taken"):
        DepthDataset(dataset, cache=tmp_path / "taken")
    assert made[0][1] == made.labels()[0]


def test_windows_span_row_groups(tmp_path):
    lobset.simulate(tmp_path / "market", days=1, rows=240_000)
    config = lobset.Config(**{**SETTINGS, "samples": 6_400, "ticks_per_bin": 64})
    out = lobset.process(tmp_path / "market", tmp_path / "out", config, progress=False)
    path = out.datasets["M6AM4"]
    rows = pl.read_parquet(path)
    depth = DepthDataset(path, "holdout", balanced=False, cache=None)
    places = np.array([depth.position(i) for i in range(len(depth))])
    processor = lobset.DepthProcessor.from_config(out.config)
    across = np.flatnonzero((places >= 131_072) & (places < 131_072 + 6_000))[::500]
    assert len(across) > 5
    roomy = DepthDataset(path, "holdout", balanced=False, row_groups=8, cache=None)
    cached = DepthDataset(path, "holdout", balanced=False)
    for i in across:
        assert np.array_equal(depth[i][0], roomy[i][0]) and np.array_equal(depth[i][0], cached[i][0])
        assert np.array_equal(depth[i][0], processor.process(rows[places[i] + 1 - 6_400 : places[i] + 1]))


def test_rows_are_vectors_of_their_columns(dataset):
    rows = pl.read_parquet(dataset)
    default = RowDataset(dataset)
    assert default.shape == (61,) and "mid_price" in default.columns
    some = RowDataset(dataset, balanced=False, columns=["mid_price", "bid_sz_09", "ask_px_00", "flags", "sequence"])
    for i in (0, 5, len(some) - 1):
        vector, label = some[i]
        row = rows.row(some.position(i), named=True)
        assert np.array_equal(vector, np.array([row[c] for c in some.columns], dtype=np.float32))
        assert label == row["classification_label"]
    for wrong, why in (
        ("nothing", "is not in the file"),
        ("price_movement", "is a label, not a feature"),
        ("row", "identifies the row and is not a feature"),
        ("symbol", "identifies the row and is not a feature"),
        ("action", "is not numeric"),
    ):
        with pytest.raises(lobset.InputError, match=why):
            RowDataset(dataset, columns=[wrong])


def test_a_column_that_was_added_is_a_feature_when_asked_for(dataset, tmp_path):
    table = pq.read_table(dataset)
    metadata = {key: value for key, value in pq.read_metadata(dataset).metadata.items() if key != b"ARROW:schema"}
    table = table.append_column("my_feature", pa.array(np.arange(len(table), dtype=np.float64)))
    path = tmp_path / "extended_dataset.parquet"
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert "my_feature" not in RowDataset(path).columns
    rows = RowDataset(path, balanced=False, columns=["my_feature"])
    assert rows[3][0] == [rows.position(3)]


def test_what_cannot_be_given_is_refused(market, dataset, tmp_path):
    with pytest.raises(ValueError, match="embargo"):
        DepthDataset(dataset, split="embargo")
    for stride in (0, -1, 2.5):
        with pytest.raises(lobset.ConfigError, match="stride"):
            DepthDataset(dataset, stride=stride)
    with pytest.raises(lobset.ConfigError, match="ticks_per_bin"):
        DepthDataset(dataset, samples=601)
    with pytest.raises(lobset.InputError, match="is not a lobset dataset|cannot be read"):
        DepthDataset(market / sorted(f.name for f in market.iterdir())[0])
    with pytest.raises(lobset.InputError, match="does not exist"):
        DepthDataset(tmp_path / "nothing.parquet")
    config = lobset.Config(**SETTINGS, drop_unbalanced=True)
    dropped = lobset.process(market, tmp_path / "dropped", config, progress=False).datasets["M6AM4"]
    with pytest.raises(lobset.InputError, match="drop_unbalanced") as caught:
        DepthDataset(dropped)
    assert "balanced=True" in caught.value.help
    assert len(RowDataset(dropped)) > 0
    config = lobset.Config(**SETTINGS, force_uniform=False)
    unmarked = lobset.process(market, tmp_path / "unmarked", config, progress=False).datasets["M6AM4"]
    # Samples are balanced by the same rule, with or without the column.
    assert np.array_equal(DepthDataset(unmarked).labels(), DepthDataset(dataset).labels())
    with pytest.raises(
        lobset.InputError, match="a window takes 400,000 rows, and the longest unbroken stretch"
    ) as caught:
        DepthDataset(dataset, samples=400_000)
    assert "shorter window" in caught.value.help


def test_a_pickled_dataset_is_the_same_and_only_for_the_same_file(dataset, tmp_path):
    path = tmp_path / "copy.parquet"
    shutil.copy(dataset, path)
    for made in (DepthDataset(path, stride=3), RowDataset(path, "holdout")):
        text = pickle.dumps(made)
        again = pickle.loads(text)
        assert len(again) == len(made) and np.array_equal(again[7][0], made[7][0]) and repr(again) == repr(made)
    with path.open("ab") as file:
        file.write(b"PAR1")
    with pytest.raises(lobset.InputError, match="is no longer the file that this dataset was opened from"):
        pickle.loads(text)


def test_batches_give_every_sample_once(dataset):
    vectors = RowDataset(dataset)
    labels = vectors.labels()
    plain = list(batches(vectors, 1_000))
    assert np.array_equal(np.concatenate([y for _, y in plain]), labels)
    shuffled = [
        list(batches(vectors, 1_000, shuffle=True, seed=s, epoch=e)) for s, e in ((1, 0), (1, 0), (1, 1), (2, 0))
    ]
    orders = [np.concatenate([x[:, 0] for x, _ in part]) for part in shuffled]
    assert np.array_equal(orders[0], orders[1], equal_nan=True)
    assert not np.array_equal(orders[0], orders[2]) and not np.array_equal(orders[0], orders[3])
    assert np.array_equal(np.sort(orders[0]), np.sort(np.concatenate([x[:, 0] for x, _ in plain])))
    assert sum(len(y) for _, y in batches(vectors, 1_000, drop_last=True)) == len(vectors) // 1_000 * 1_000


def test_uniform_order_loses_no_row_and_favours_no_class(dataset):
    labels = RowDataset(dataset, "holdout", balanced=False).labels()
    counts = np.bincount(labels)
    assert counts.min() < counts.max()
    order = np.fromiter(uniform_order(labels, seed=3), dtype=np.int64)
    assert set(order) == set(range(len(labels)))
    assert set(np.bincount(labels[order])) == {counts.max()}
    present = len(np.unique(labels))
    assert set(np.bincount(labels[order[: 40 * present]])) == {40}
    assert np.array_equal(order, np.fromiter(uniform_order(labels, seed=3), dtype=np.int64))
    assert not np.array_equal(order, np.fromiter(uniform_order(labels, seed=3, epoch=1), dtype=np.int64))
    assert list(uniform_order(np.array([], dtype=np.uint8), seed=1)) == []


def key(sample):
    return sample.tobytes()


def test_a_stream_gives_every_sample_once_whatever_the_shards(dataset):
    vectors = [RowDataset(dataset, "fit"), RowDataset(dataset, "holdout")]
    want = sorted(key(x) for d in vectors for x in d.batch(np.arange(len(d)))[0])
    for shards in (1, 3):
        streams = [BlockStream(vectors, seed=5, block=100, shard=s, shards=shards) for s in range(shards)]
        parts = [[key(x) for x, _ in stream] for stream in streams]
        assert [len(p) for p in parts] == [
            len(BlockStream(vectors, seed=5, block=100, shard=s, shards=shards)) for s in range(shards)
        ]
        assert sorted(k for p in parts for k in p) == want
        again = [[key(x) for x, _ in stream] for stream in streams]
        assert all(sorted(a) != sorted(b) or a != b for a, b in zip(parts, again, strict=True)), (
            "the next epoch is another"
        )
    plain = [key(x) for x, _ in BlockStream(vectors, shuffle=False)]
    assert plain == [key(x) for d in vectors for x in d.batch(np.arange(len(d)))[0]]


@pytest.mark.parametrize("stop", [0, 1, 99, 100, 357, 1_000])
def test_a_stream_resumes_in_mid_epoch(dataset, stop):
    def stream():
        return BlockStream(RowDataset(dataset, balanced=False), seed=2, block=100, chunk=7)

    whole = stream()
    want = [(key(x), y) for x, y in whole]
    want += [(key(x), y) for x, y in whole]
    first = stream()
    begun = iter(first)
    found = [(key(x), y) for x, y in (next(begun) for _ in range(stop))]
    state = pickle.loads(pickle.dumps(first.state_dict()))
    second = stream()
    second.load_state_dict(state)
    found += [(key(x), y) for _ in range(2) for x, y in second]
    assert found == want
    batched = stream()
    sizes, joined = [], []
    for x, y in batched.batches(64):
        sizes.append(len(y))
        joined += [(key(a), int(b)) for a, b in zip(x, y, strict=True)]
        if sum(sizes) >= stop:
            break
    third = stream()
    third.load_state_dict(batched.state_dict())
    joined += [(key(x), y) for x, y in third]
    assert joined == want[: len(joined)] and len(joined) == len(want) // 2
    with pytest.raises(ValueError, match="seed"):
        BlockStream(RowDataset(dataset, balanced=False), seed=3, block=100).load_state_dict(state)
