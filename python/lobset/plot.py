"""Plots of depth tensors (the extra `plot`)."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

__all__ = ["depth"]


def depth(tensor: Any, features: Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Plots a depth tensor, one panel per channel: red is ask depth, blue is bid depth, white is nothing.

    The colours meet along the path of the price. The black line is the mid price of the last row.

    Args:
        tensor: Tensor of shape (402, T) or (n, 402, T): NumPy, PyTorch or anything else that `numpy.asarray` accepts.
        features: Names of the channels, used as titles of the panels.
        title: Title of the whole figure.

    Raises:
        ValueError: when the tensor has another shape.
    """
    channels = np.asarray(tensor)
    if channels.ndim == 2:
        channels = channels[np.newaxis]
    if channels.ndim != 3 or channels.shape[1] != 402:
        raise ValueError(f"a depth tensor has the shape (402, T) or (n, 402, T), not {channels.shape}")
    names = features if features is not None else [f"channel {i}" for i in range(len(channels))]
    figure, axes = plt.subplots(1, len(channels), figsize=(6 * len(channels), 5), squeeze=False, layout="constrained")
    image = None
    for axis, channel, name in zip(axes[0], channels, names, strict=True):
        extent = (-channel.shape[1], 0, -201, 201)
        image = axis.imshow(
            channel, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest", extent=extent
        )
        axis.axhline(0, color="black", linewidth=0.5)
        axis.set(title=name, xlabel="time bins", ylabel="micro-pips from the mid price")
    if image is not None:
        figure.colorbar(image, ax=axes[0].tolist(), label="bid depth < 0 < ask depth")
    if title is not None:
        figure.suptitle(title)
    return figure
