"""Depth tensors against plain NumPy, on simulated and real books."""

import pickle

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import lobset
from conftest import REAL
from depth_reference import assert_same, depth_tensor

FEATURES = ("volume", "variance", "trade_counts")
BOOK = [f"{side}_{kind}_{level:02}" for side in ("bid", "ask") for kind in ("px", "sz", "ct") for level in range(10)]


def simulated(folder):
    files = lobset.simulate(folder, days=1, rows=60_000)
    rows = pl.DataFrame(lobset.read_dbn(files[0], symbol="M6AM4"))
    return rows.filter(pl.col("bid_px_00") <= pl.col("ask_px_00")), 1e-5


def real(name, symbol, pip):
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"no {folder} on this machine")
    rows = pl.concat([pl.DataFrame(lobset.read_dbn(f)) for f in sorted(folder.glob("*.dbn.zst"))])
    return rows.filter((pl.col("symbol") == symbol) & (pl.col("bid_px_00") <= pl.col("ask_px_00"))), pip


REAL_BOOKS = {
    "ESH4": ("es", 0.25),
    "BTCUSDT": ("crypto", 0.1),
    "ETHUSDT": ("crypto", 0.01),
    "BTCUSDT.S": ("crypto", 0.1),
}


@pytest.mark.parametrize("source", ["simulated", *REAL_BOOKS])
def test_every_cell_is_that_of_numpy(source, tmp_path):
    if source == "simulated":
        rows, pip = simulated(tmp_path / "m")
    else:
        folder, pip = REAL_BOOKS[source]
        rows, pip = real(folder, source, pip)
    samples = len(rows) // 3 // 100 * 100
    for start in (0, len(rows) - samples):
        part = rows[start : start + samples]
        for ticks in (100, 20):
            tensor = lobset.DepthProcessor(FEATURES, samples, ticks, pip).process(part)
            assert tensor.shape == (3, 402, samples // ticks)
            want = depth_tensor(part, FEATURES, ticks, pip)
            assert_same(tensor, want, FEATURES)
            assert (want.max(axis=(1, 2)) > 0).all() and (want.min(axis=(1, 2)) < 0).all()
        alone = lobset.DepthProcessor(("variance",), samples, 20, pip)
        assert alone.output_shape == (402, samples // 20)
        assert np.array_equal(alone.process(part), tensor[1])


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_the_past_of_a_moving_price_is_on_the_ladder(symbol):
    """Perpetuals move by more than half a ladder within a window: earlier asks are where the last bids are, and earlier
    bids are above."""
    folder, pip = REAL_BOOKS[symbol]
    rows, _ = real(folder, symbol, pip)
    below, above = 0, 0
    for start in range(0, len(rows) - 10_000, 10_000):
        part = rows[start : start + 10_000]
        tensor = lobset.DepthProcessor(FEATURES, 10_000, 100, pip).process(part)
        assert_same(tensor, depth_tensor(part, FEATURES, 100, pip), FEATURES)
        below += np.count_nonzero(tensor[0, 201:] > 0)
        above += np.count_nonzero(tensor[0, :201] < 0)
    assert below > 1_000 and above > 1_000


def trending(rise, rows=4_000):
    """A table whose mid moves steadily by `rise` steps of 0.01, with levels 1, 2, 4, … steps from it on both sides."""
    mids = 5_000 + np.floor(np.linspace(-rise, 0, rows))
    table = {}
    for side, sign in (("bid", -1), ("ask", 1)):
        for level in range(10):
            table[f"{side}_px_{level:02}"] = (mids + sign * (1 + level * (level + 1) // 2)) * 0.01
            table[f"{side}_sz_{level:02}"] = ((np.arange(rows) // 7 + level) % 11).astype(np.uint32)
            table[f"{side}_ct_{level:02}"] = np.full(rows, 1 + level, np.uint32)
    return pl.DataFrame(table), mids


@pytest.mark.parametrize("rise", [0, 100, -100, 190, -190, 1_000, -1_000])
def test_the_colours_meet_where_the_price_was(rise):
    rows, mids = trending(rise)
    tensor = lobset.DepthProcessor(FEATURES, 4_000, 100, 0.01).process(rows)
    assert_same(tensor, depth_tensor(rows, FEATURES, 100, 0.01), FEATURES)
    steps = 5_200 - np.arange(402)[:, np.newaxis]
    bins = mids.reshape(-1, 100)
    for channel in tensor:
        assert (channel[steps >= bins.max(axis=1)] >= 0).all() and (channel[steps <= bins.min(axis=1)] <= 0).all()
        # In between, the price crosses every row from its old position to the last one.
        seen = (np.abs(bins - 5_000) < 190).all(axis=1)
        assert (channel.max(axis=0)[seen] > 0).all() and (channel.min(axis=0)[seen] < 0).all()
        if abs(rise) >= 190:
            assert (channel[201:] > 0).any() if rise > 0 else (channel[:201] < 0).any()


def test_tables_of_all_kinds_are_welcome(tmp_path):
    rows, pip = simulated(tmp_path / "m")
    part = rows[:4_000]
    processor = lobset.DepthProcessor(samples=4_000, micro_pip_size=pip)
    want = processor.process(part)
    assert np.array_equal(processor.process(part.to_arrow()), want)
    assert np.array_equal(processor.process(part.to_arrow().to_reader()), want)
    assert np.array_equal(processor.process(part.to_struct()), want)
    assert np.array_equal(processor.process(duckdb.from_arrow(part.to_arrow())), want)
    assert np.array_equal(processor.process(part.select(sorted(BOOK, reverse=True))), want)
    pieces = pl.concat([part[:1_111], part[1_111:2_500], part[2_500:]], rechunk=False)
    assert np.array_equal(processor.process(pieces), want)
    fixed = part.with_columns((pl.selectors.contains("_px_") * 1e9).round().cast(pl.Int64))
    assert np.array_equal(processor.process(fixed), want)
    signed = part.with_columns(pl.selectors.contains("_sz_").cast(pl.Int64))
    assert np.array_equal(processor.process(signed), want)
    assert np.array_equal(pickle.loads(pickle.dumps(processor)).process(part), want)
    assert "4000" in repr(processor)


def test_slices_of_tables_are_the_rows_they_show(tmp_path):
    rows, pip = simulated(tmp_path / "m")
    processor = lobset.DepthProcessor(FEATURES, 1_000, 100, pip)
    whole, table = rows[:4_000].rechunk(), rows[:4_000].rechunk().to_arrow().combine_chunks()
    for start in (0, 1, 500, 3_000):
        want = processor.process(pl.DataFrame({n: whole[n].to_numpy()[start : start + 1_000] for n in BOOK}))
        assert np.array_equal(processor.process(whole[start : start + 1_000]), want)
        assert np.array_equal(processor.process(table.slice(start, 1_000)), want)
        assert np.array_equal(processor.process(table.to_batches()[0].slice(start, 1_000)), want)
        # Here the offset is that of the rows, not of the columns.
        struct = table.to_struct_array().chunk(0).slice(start, 1_000)
        assert np.array_equal(processor.process(pa.chunked_array([struct])), want)


def test_missing_prices_come_as_nulls_or_nan(tmp_path):
    rows, pip = simulated(tmp_path / "m")
    processor = lobset.DepthProcessor(FEATURES, 1_000, 100, pip)
    gone = (pl.int_range(pl.len()) % 7 < 3).and_(pl.int_range(pl.len()) < 900)
    nulls = rows[:1_000].with_columns(pl.when(~gone).then(pl.col("ask_px_04")))
    nans = nulls.with_columns(pl.col("ask_px_04").fill_null(float("nan")))
    assert nulls["ask_px_04"].null_count() > 300 and nans["ask_px_04"].null_count() == 0
    assert np.array_equal(processor.process(nulls), processor.process(nans))
    assert not np.array_equal(processor.process(nans), processor.process(rows[:1_000]))


def test_a_tensor_goes_where_it_is_asked_to(tmp_path):
    rows, pip = simulated(tmp_path)
    processor = lobset.DepthProcessor(FEATURES, 1_000, 100, pip)
    want = processor.process(rows.head(1_000))
    out = np.full(processor.output_shape, np.nan, np.float32)
    assert processor.process(rows.head(1_000), out=out) is out
    assert np.array_equal(out, want)
    fixed = out.copy()
    fixed.flags.writeable = False
    for wrong in (out[:2], np.asfortranarray(out), fixed):
        with pytest.raises(ValueError, match="out "):
            processor.process(rows.head(1_000), out=wrong)
    with pytest.raises(TypeError):
        processor.process(rows.head(1_000), out=out.astype(np.float64))
    assert np.array_equal(fixed, want)


def failing(table):
    yield table.to_batches()[0]
    raise OSError("the disk is gone")


def test_what_has_no_picture_is_refused(tmp_path):
    rows, _ = simulated(tmp_path / "m")
    processor = lobset.DepthProcessor(samples=1_000)
    with pytest.raises(ValueError, match="exactly 1000 rows, not 999"):
        processor.process(rows[:999])
    with pytest.raises(ValueError, match="bid_sz_03"):
        processor.process(rows[:1_000].drop("bid_sz_03"))
    with pytest.raises(ValueError, match="bid_sz_03"):
        processor.process(rows[:1_000].drop("bid_sz_03").to_arrow())
    with pytest.raises(ValueError, match="ask_px_00"):
        processor.process(rows[:1_000].with_columns(ask_px_00=pl.lit("x")))
    with pytest.raises(ValueError, match="bid_sz_00"):
        processor.process(rows[:1_000].with_columns(bid_sz_00=pl.lit(None, pl.UInt32)))
    table = rows[:1_000].to_arrow()
    codes = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.uint32()), pa.array([7], pa.uint32()))
    place = table.schema.names.index("bid_sz_00")
    with pytest.raises(ValueError, match="bid_sz_00"):
        processor.process(table.set_column(place, "bid_sz_00", codes))
    with pytest.raises(ValueError, match="exactly 1000 rows, not 0"):
        processor.process(table.to_reader().schema.empty_table())
    with pytest.raises(ValueError, match="the disk is gone"):
        processor.process(pa.RecordBatchReader.from_batches(table.schema, failing(table)))
    with pytest.raises(ValueError, match="read as Arrow"):
        processor.process(pa.chunked_array([[1, 2, 3]]))
    with pytest.raises(TypeError, match="__arrow_c_stream__"):
        processor.process([1, 2, 3])
    with pytest.raises(TypeError, match="__arrow_c_stream__"):
        processor.process(rows.lazy())
    for wrong in (dict(features=("depth",)), dict(features=()), dict(samples=999), dict(micro_pip_size=0.0)):
        with pytest.raises(lobset.ConfigError):
            lobset.DepthProcessor(**wrong)


def test_a_tensor_has_a_picture(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    import lobset.plot

    rows, pip = simulated(tmp_path / "m")
    for features in (FEATURES, FEATURES[:1]):
        tensor = lobset.DepthProcessor(features, 4_000, 100, pip).process(rows[:4_000])
        figure = lobset.plot.depth(tensor, features, title="M6AM4")
        panels = [axis for axis in figure.axes if axis.images]
        assert [axis.get_title() for axis in panels] == list(features)
        assert all(axis.images[0].get_clim() == (-1, 1) for axis in panels)
        figure.savefig(tmp_path / "depth.png")
        assert (tmp_path / "depth.png").stat().st_size > 5_000
    with pytest.raises(ValueError, match="402"):
        lobset.plot.depth(np.zeros((3, 400, 10)))
