#!/usr/bin/env python3
"""From order-book files to a trained network: simulate, process, train, confusion on the holdout.

    pip install ".[torch]"
    python examples/train.py                      # about two minutes on two cores
    python examples/train.py --data /path/to/dbn  # your own files

The simulated market is close to a random walk, so do not expect much: the point is the way from files to a loss.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

import lobset
from lobset.torch import DepthDataset, UniformSampler


class Net(nn.Module):
    """Depth tensors to classes: three convolutions, then the mean over the ladder and time."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AvgPool2d((3, 1)),
            nn.Conv2d(channels, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((4, 4)),
            nn.Flatten(),
            nn.Linear(32 * 16, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def confusion(net: nn.Module, loader: DataLoader, classes: int, most: int) -> torch.Tensor:
    """Rows are true classes, columns predicted ones."""
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    with torch.no_grad():
        for tensors, labels in loader:
            found = net(tensors).argmax(dim=1)
            counts += torch.bincount(labels * classes + found, minlength=classes**2).reshape(classes, classes)
            if counts.sum() >= most:
                break
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of DBN files (default: a simulated market)")
    parser.add_argument("--work", type=Path, default=Path("train-work"), help="where market and datasets go")
    parser.add_argument("--rows", type=int, default=100_000, help="records of each of the four simulated days")
    parser.add_argument("--samples", type=int, default=5_000, help="rows of a window")
    parser.add_argument("--seconds", type=float, default=60, help="how long to train")
    parser.add_argument("--holdout", type=int, default=2_000, help="holdout samples to look at")
    options = parser.parse_args()
    torch.manual_seed(1)

    data = options.data
    if data is None:
        data = options.work / "market"
        if not data.exists():
            lobset.simulate(data, days=4, rows=options.rows)
    config = lobset.Config(
        nbins=5,
        lookback_rows=500,
        lookforward_input=500,
        lookforward_offset=50,
        samples=options.samples,
        ticks_per_bin=max(options.samples // 50, 1),
        min_symbol_samples=options.samples,
    )
    manifest = lobset.process(data, options.work / "datasets", config, overwrite=True)
    symbol = max((s for s in manifest.symbols if s.path), key=lambda s: s.rows)
    print(f"training on {symbol.symbol}: {symbol.labelled_rows:,} labelled rows")

    fit = DepthDataset(symbol.path, split="fit", balanced=False, stride=config.ticks_per_bin)
    holdout = DepthDataset(symbol.path, split="holdout", balanced=True)
    net = Net(fit.shape[0], config.nbins)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    sampler = UniformSampler(fit, seed=1)
    end, step, losses = time.monotonic() + options.seconds, 0, []
    while time.monotonic() < end:
        for tensors, labels in DataLoader(fit, batch_size=32, sampler=sampler):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(tensors), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            step += 1
            if step % 20 == 0:
                print(f"step {step}: loss {sum(losses[-20:]) / 20:.3f}")
            if time.monotonic() > end:
                break
    print(f"step {step}: loss {sum(losses[-20:]) / len(losses[-20:]):.3f}")

    counts = confusion(net, DataLoader(holdout, batch_size=64, shuffle=True), config.nbins, options.holdout)
    print("holdout, true class by row, predicted class by column:")
    print("\n".join(" ".join(f"{n:6d}" for n in row) for row in counts.tolist()))
    print(f"right: {counts.diag().sum() / counts.sum():.1%} (chance {1 / config.nbins:.1%})")


if __name__ == "__main__":
    main()
