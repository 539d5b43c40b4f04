"""The datasets as users open them, with Polars, PyArrow and DuckDB, compared with NumPy's arithmetic."""

import json

import duckdb
import numpy as np
import polars as pl
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq


def datasets(output):
    _, out, manifest = output
    return [(s, out / s["dataset"]["file"]) for s in manifest["symbols"] if s["dataset"]]


def test_every_reader_sees_the_same_values(output):
    for symbol, path in datasets(output):
        arrow = pq.read_table(path)
        polars = pl.read_parquet(path)
        assert arrow.num_rows == polars.height == symbol["dataset"]["rows"]
        for name in arrow.column_names:
            a, b = arrow[name], polars[name]
            if name in ("symbol", "split", "action", "side"):
                assert a.cast("string").to_pylist() == b.cast(pl.String).to_list(), name
            else:
                assert a.null_count == b.null_count(), name
                x = (
                    pc.fill_null(a.cast("int64"), -1)
                    if "ts_" in name and a.type != "int32"
                    else pc.fill_null(a, 0 if name != "balanced" else False)
                )
                y = (
                    b.cast(pl.Int64).fill_null(-1)
                    if "ts_" in name and a.type != "int32"
                    else b.fill_null(0 if name != "balanced" else False)
                )
                assert np.array_equal(x.to_numpy(), y.to_numpy()), name
        sums = duckdb.sql(
            f"select count(*), sum(row)::hugeint, sum(classification_label), sum(bid_sz_00)::hugeint, count(bid_px_09), "
            f"sum(balanced::int), sum(epoch_ns(ts_recv)::hugeint) from '{path}' where symbol = $${symbol['symbol']}$$"
        ).fetchall()[0]
        ts = polars["ts_recv"].cast(pl.Int64).to_list()
        assert sums == (
            polars.height,
            polars["row"].sum(),
            polars["classification_label"].sum(),
            polars["bid_sz_00"].cast(pl.Int64).sum(),
            polars.height - polars["bid_px_09"].null_count(),
            polars["balanced"].sum(),
            sum(ts),
        )


def test_types_are_those_of_the_field(output):
    _, path = datasets(output)[0]
    schema = pl.read_parquet_schema(path)
    assert schema["ts_recv"] == schema["ts_event"] == pl.Datetime("ns", "UTC")
    assert schema["bid_px_00"] == schema["mid_price"] == pl.Float64
    assert (
        schema["row"] == pl.UInt64 and schema["classification_label"] == pl.Int32 and schema["balanced"] == pl.Boolean
    )
    assert str(pq.read_schema(path).field("split").type) == "dictionary<values=string, indices=int32, ordered=0>"


def test_the_boundaries_are_numpys_bit_for_bit(output):
    _, out, manifest = output
    thresholds = json.loads((out / "thresholds.json").read_text())
    fit = pl.concat([pl.read_parquet(p).filter(pl.col("split").cast(pl.String) == "fit") for _, p in datasets(output)])
    movements = fit["price_movement"].to_numpy()
    nbins = manifest["config"]["nbins"]
    want = np.quantile(movements, np.arange(1, nbins) / nbins)
    assert np.array(thresholds["boundaries"]).tobytes() == want.tobytes()
    assert thresholds["median"] == np.median(movements)
    assert (thresholds["min"], thresholds["max"]) == (movements.min(), movements.max())
    assert np.isclose(thresholds["mean"], movements.mean(), rtol=1e-9) and np.isclose(
        thresholds["std"], movements.std(), rtol=1e-9
    )
    assert thresholds["fit_rows"] == len(movements)


def test_labels_are_digitized_movements_and_the_marks_are_uniform(output):
    _, out, manifest = output
    boundaries = json.loads((out / "thresholds.json").read_text())["boundaries"]
    for symbol, path in datasets(output):
        frame = pl.read_parquet(path).with_columns(pl.col("split").cast(pl.String))
        assert np.array_equal(np.digitize(frame["price_movement"], boundaries), frame["classification_label"])
        for split in ("fit", "holdout"):
            entry = symbol["targets"][0]["splits"][split]
            rows = frame.filter(pl.col("split") == split)
            counts = np.bincount(rows["classification_label"], minlength=manifest["config"]["nbins"])
            marked = np.bincount(rows.filter("balanced")["classification_label"], minlength=len(counts))
            assert counts.tolist() == entry["classes"] and marked.tolist() == entry["balanced"]
            long = [m for c, m in enumerate(marked) if c not in entry["short"]]
            assert len(set(long)) <= 1
        assert not frame.filter(pl.col("split") == "embargo")["balanced"].any()


def test_movements_follow_from_the_mid_prices_of_the_rows_themselves(output):
    _, _, manifest = output
    config = manifest["config"]
    lookback, offset, ahead = config["lookback_rows"], config["lookforward_offset"], config["lookforward_input"]
    for _, path in datasets(output):
        frame = pl.read_parquet(path, columns=["row", "bid_px_00", "ask_px_00", "price_movement"])
        mid2 = (
            (frame["bid_px_00"] * 1e9).round().cast(pl.Int64) + (frame["ask_px_00"] * 1e9).round().cast(pl.Int64)
        ).to_list()
        row = frame["row"].to_numpy()
        for t in range(lookback, len(row) - offset - ahead, max(1, len(row) // 50)):
            if row[t + offset + ahead] - row[t - lookback] != lookback + offset + ahead:
                continue  # There are rows without a label in between.
            behind = sum(mid2[t - lookback : t]) * ahead
            numerator = sum(mid2[t + 1 + offset : t + 1 + offset + ahead]) * lookback - behind
            assert frame["price_movement"][t] == float(numerator) / float(behind)


def test_one_file_explains_itself(output):
    _, out, manifest = output
    symbol, path = datasets(output)[0]
    metadata = {k.decode(): v.decode() for k, v in pq.read_metadata(path).metadata.items()}
    assert metadata["lobset.symbol"] == symbol["symbol"] and metadata["lobset.version"] == manifest["version"]
    assert json.loads(metadata["lobset.config"]) == manifest["config"]
    assert metadata["lobset.thresholds"] == (out / "thresholds.json").read_text()


def test_row_groups_are_of_the_promised_size(output):
    for _, path in datasets(output):
        metadata = pq.read_metadata(path)
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        assert all(100_000 < n <= 131_072 for n in sizes[:-1])
        assert metadata.row_group(0).column(0).statistics.has_min_max


def test_filters_skip_row_groups_that_cannot_match(output):
    for _, path in datasets(output):
        (fragment,) = ds.dataset(path).get_fragments()
        row_groups = fragment.metadata.num_row_groups

        def kept(condition):
            return len(fragment.split_by_row_group(condition))

        assert kept(ds.field("mid_price") > 0) == row_groups
        assert kept(ds.field("mid_price") > 1e9) == 0
        assert kept(ds.field("price_movement") < -1) == 0
        assert kept(ds.field("bid_px_00") < 0) == 0


def test_awkward_shapes_read_the_same_everywhere(round_trip_pairs):
    for ours, plain in round_trip_pairs:
        a, b = pq.read_table(ours), pq.read_table(plain)
        assert a.schema.equals(b.schema), ours
        for name in a.column_names:
            x, y = a[name], b[name]
            if "dictionary" in str(x.type):
                x, y = x.cast("string"), y.cast("string")
            assert x.equals(y), f"{ours}: {name}"
        assert (
            pl.read_parquet(ours)
            .with_columns(pl.col("symbol", "split").cast(pl.String))
            .equals(pl.read_parquet(plain).with_columns(pl.col("symbol", "split").cast(pl.String)))
        ), ours
        difference = duckdb.sql(
            f"(from '{ours}' except all from '{plain}') union all (from '{plain}' except all from '{ours}')"
        )
        assert difference.fetchall() == [], ours
        for left, right in zip(*(chunks(p) for p in (ours, plain)), strict=True):
            a, b = left.statistics, right.statistics
            assert (left.path_in_schema, a.null_count) == (right.path_in_schema, b.null_count), ours
            if left.physical_type == "DOUBLE":
                # pyarrow ignores the order in which arrow-rs bounds floats; tests/round_trip.rs compares those bounds.
                assert a.has_min_max == (a.null_count < left.num_values), ours
            else:
                assert bounds(a) == bounds(b), f"{ours}: {left.path_in_schema}"


def chunks(path):
    metadata = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        yield from map(metadata.row_group(group).column, range(metadata.num_columns))


def bounds(statistics):
    return (statistics.min_raw, statistics.max_raw) if statistics.has_min_max else None
