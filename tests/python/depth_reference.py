"""Depth tensors by the definition (docs/reference/formulas.md), with NumPy's own median, var and cumsum."""

import numpy as np


def depth_tensor(rows, features, ticks_per_bin, pip):
    """The tensor of a Polars table, of shape (n, 402, T)."""
    return np.stack([depth_channel(rows, feature, ticks_per_bin, pip) for feature in features])


def depth_channel(rows, feature, ticks_per_bin, pip):
    table = {name: rows[name].to_numpy() for name in rows.columns if name[:3] in ("bid", "ask")}
    pips = {name: np.round(prices / pip) for name, prices in table.items() if "_px_" in name}
    mid = (pips["bid_px_00"][-1] + pips["ask_px_00"][-1]) / 2
    highest = int(np.floor(mid + 0.5)) + 200
    count = len(rows) // ticks_per_bin
    sums = {}
    for side in ("bid", "ask"):
        steps = np.zeros((402, count))
        for level in range(10):
            prices = pips[f"{side}_px_{level:02}"].reshape(count, -1)
            sizes = table[f"{side}_sz_{level:02}"].reshape(count, -1).astype(np.float64)
            counts = table[f"{side}_ct_{level:02}"].reshape(count, -1)
            for t in range(count):
                there = ~np.isnan(prices[t])
                if not there.any():
                    continue
                row = highest - int(np.floor(prices[t][there].mean()))
                if not 0 <= row < 402:
                    continue
                if feature == "volume":
                    steps[row, t] = np.median(sizes[t][there])
                elif feature == "variance":
                    steps[row, t] = np.var(sizes[t][there], ddof=1) if there.sum() > 1 else 0.0
                else:
                    steps[row, t] = counts[t][there].sum()
        # Row 0 is the highest price: bids accumulate down the rows, asks up.
        sums[side] = np.cumsum(steps, axis=0) if side == "bid" else np.cumsum(steps[::-1], axis=0)[::-1]
    channel = sums["ask"] - sums["bid"]
    largest = np.abs(channel).max()
    return (channel / largest if largest else channel).astype(np.float32)


def assert_same(tensor, want, features):
    """Asserts that every cell is the same: to the last bit, except for variances, where NumPy rounds intermediate
    results."""
    assert tensor.shape == want.shape and tensor.dtype == want.dtype == np.float32
    for feature, found, wanted in zip(features, tensor, want, strict=True):
        if feature == "variance":
            assert np.abs(found - wanted).max() <= 1e-6
        else:
            differ = np.count_nonzero(found.view(np.uint32) != wanted.view(np.uint32))
            assert differ == 0, f"{feature}: {differ} of {found.size} cells"
