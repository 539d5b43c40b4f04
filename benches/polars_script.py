#!/usr/bin/env python3
"""A handwritten equivalent: databento reads, Polars labels. No validation, no leak check, all data in memory.

polars_script.py FOLDER OUT
"""

import sys
import warnings
from pathlib import Path

import databento
import numpy as np
import polars as pl

LOOKBACK, AHEAD, OFFSET, NBINS = 5000, 5000, 500, 21


def main():
    warnings.simplefilter("ignore")  # databento enables the warnings of pandas.
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir()
    files = sorted(folder.glob("*.dbn*"))
    days = [databento.DBNStore.from_file(path).to_df().reset_index() for path in files]
    first_of_second_half = days[len(days) // 2]["ts_recv"].iloc[0]
    frame = pl.concat([pl.from_pandas(day) for day in days])
    mid = (pl.col("bid_px_00") + pl.col("ask_px_00")) / 2
    frame = frame.filter(mid.is_not_null() & (pl.col("bid_px_00") <= pl.col("ask_px_00"))).with_columns(mid_price=mid)
    parts = []
    for part in frame.partition_by("symbol"):
        behind = pl.col("mid_price").rolling_mean(LOOKBACK).shift(1)
        ahead = pl.col("mid_price").rolling_mean(AHEAD).shift(-(OFFSET + AHEAD))
        last = pl.col("ts_recv").shift(-(OFFSET + AHEAD))
        part = part.with_columns(price_movement=ahead / behind - 1, window_ends=last)
        part = part.filter(pl.col("price_movement").is_not_null())
        if part.height >= 50_000:
            parts.append(part)
    fit = np.concatenate(
        [p.filter(pl.col("window_ends") < first_of_second_half)["price_movement"].to_numpy() for p in parts]
    )
    boundaries = np.quantile(fit, np.arange(1, NBINS) / NBINS)
    for part in parts:
        label = np.digitize(part["price_movement"].to_numpy(), boundaries).astype(np.int32)
        part = part.drop("window_ends").with_columns(classification_label=pl.Series(label))
        part.write_parquet(out / f"{part['symbol'][0]}.parquet")


if __name__ == "__main__":
    main()
