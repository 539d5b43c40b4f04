"""Readers of years past see what the newest PyArrow sees, value by value."""

import numpy as np
import pytest
import read_datafusion
import read_fastparquet
import read_polars
import read_pyarrow
from columns import Column, differences

READERS = {"polars": read_polars, "datafusion": read_datafusion, "fastparquet": read_fastparquet}
SETTINGS = {
    "default": [],
    "snappy": ["--compression", "snappy"],
    "lz4": ["--compression", "lz4"],
    "none": ["--compression", "none"],
    "fixed": ["--price-type", "fixed"],
    "book": ["--columns", "book"],
    # Some rows lack the label of one of the targets.
    "targets": ["--target", "near=return(20),classes=share", "--target", "lob=deeplob(30),nbins=3"],
}


@pytest.fixture(scope="module", params=SETTINGS)
def dataset(request, process):
    """A dataset and its columns."""
    path = process(*SETTINGS[request.param]) / "AUDUSD_M6AM4_dataset.parquet"
    return path, read_pyarrow.read(path, None)


@pytest.mark.parametrize("reader", READERS)
def test_every_value_of_every_column_is_the_same(reader, dataset):
    path, want = dataset
    assert len(want) in (68, 79, 87) and len(want["row"].values) > 10_000
    assert (
        want["bid_px_09"].missing.any()
        and want["ts_event"].missing.any()
        and (want["ts_event"].values % 1_000 > 0).any()
    )
    assert want["bid_sz_00"].values.max() == 2**32 - 1
    assert differences(want, READERS[reader].read(path, None)) == {}


def sums_of_pyarrow(path):
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pydict()


def sums_of_polars(path):
    import polars as pl

    return pl.read_parquet(path, use_pyarrow=False).to_dict(as_series=False)


def sums_of_datafusion(path):
    from datafusion import SessionContext

    context = SessionContext()
    context.sql("set datafusion.execution.target_partitions = 1").collect()
    return context.read_parquet(str(path)).to_arrow_table().to_pydict()


def sums_of_fastparquet(path):
    import fastparquet

    return fastparquet.ParquetFile(str(path)).to_pandas().to_dict("list")


@pytest.mark.parametrize("read", [sums_of_polars, sums_of_datafusion, sums_of_fastparquet])
def test_the_sums_beside_a_dataset_open_too(read, process):
    path = process("--derived", "spread") / "AUDUSD_M6AM4_moments.parquet"
    want, found = sums_of_pyarrow(path), read(path)
    assert list(found) == list(want) and len(want) == 13
    for name, values in want.items():
        for value, other in zip(values, found[name], strict=True):
            if value is None:
                assert other is None or np.isnan(other), name
            elif read is sums_of_fastparquet and not isinstance(value, str):
                # It reads decimals as floats.
                assert np.isclose(float(value), other, rtol=1e-15, atol=0), name
            else:
                assert value == other, name


@pytest.mark.parametrize(
    ("values", "missing", "text"),
    [
        ([1_234_567, 7, 0], [False, False, True], None),
        ([1_234_000, 0, 0], [False, False, True], "is cut to microseconds"),
        ([1_234_567, 8, 0], [False, False, True], "differs in 1 of 2 values"),
        ([1_234_567, 7, 0], [False, False, False], "1 nulls are values"),
        ([1_234_567, 7, 0], [True, False, True], "1 values are null"),
        ([1_234_567, 7], [False, False], "has 2 rows, not 3"),
    ],
)
def test_a_difference_is_seen_and_named(values, missing, text):
    def column(values, missing):
        return Column("int64", np.array(values, dtype=np.int64), np.array(missing))

    want = {"ts": column([1_234_567, 7, 0], [False, False, True])}
    found = differences(want, {"ts": column(values, missing)})
    assert found == {} if text is None else text in found["ts"]
    assert differences(want, {}) == {"ts": "is not there"}
