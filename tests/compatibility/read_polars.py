"""Polars, with its own reader."""

import numpy as np
from columns import UNITS, Column, probe, texts


def read(path, names):
    import polars as pl

    columns = {}
    for series in pl.read_parquet(path, columns=names, use_pyarrow=False):
        kind, missing = series.dtype, series.is_null().to_numpy()
        if kind == pl.Datetime:
            values = series.cast(pl.Int64).fill_null(0).to_numpy() * UNITS[kind.time_unit]
        elif kind == pl.Boolean or kind.is_integer():
            values = series.cast(pl.Int64).fill_null(0).to_numpy()
        elif kind.is_float():
            values = series.cast(pl.Float64).fill_null(0.0).to_numpy()
        else:
            values = texts(series.cast(pl.String).to_list())
        columns[series.name] = Column(str(kind).lower(), np.array(values), np.array(missing))
    return columns


if __name__ == "__main__":
    probe(read)
