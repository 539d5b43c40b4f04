"""Code shared by the examples that train a network: the data, a training loop, and a report of the result."""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset, Subset

import lobset
import lobset.torch

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

CLASSES = ("down", "stationary", "up")
CHECKS = 10
"""Number of points on the learning curve."""


def parser(description: str, steps: int) -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--data", type=Path, help="a folder of DBN files [default: a simulated market with a signal]")
    found.add_argument("--work", type=Path, default=Path("train-work"), help="where market, datasets and results go")
    found.add_argument("--rows", type=int, default=100_000, help="records of each of the four simulated days")
    found.add_argument("--steps", type=int, default=steps, help="batches to train on")
    found.add_argument(
        "--most", type=int, default=8_000, help="holdout samples to look at; a fifth as many are to check with"
    )
    return found


@dataclass
class Data:
    """A dataset to train on."""

    path: Path | str
    moment: np.datetime64
    """The moment that divides `fit`: the first four fifths are for training, the last fifth is for checking."""
    boundaries: NDArray[np.float64]


def prepare(options: argparse.Namespace, **tensors: int) -> Data:
    """Writes datasets of the market, and returns that of the symbol with the most rows.

    The target is `fi2010(50)`, in thirds: the mean mid price of the next 50 rows over the mid price at the row. It
    starts from the price at the row, so none of it is known there.
    """
    # By default, PyTorch uses only one thread on some machines with two cores.
    torch.set_num_threads(os.cpu_count() or 1)
    data = options.data
    if data is None:
        data = options.work / f"market-{options.rows}"
        if not data.exists():
            lobset.simulate(data, days=4, rows=options.rows, signal=1.0)
    config = lobset.Config(
        lookback_rows=1,
        include_row=True,
        lookforward_offset=0,
        lookforward_input=50,
        classes="share",
        min_symbol_samples=2_000,
        **tensors,
    )
    manifest = lobset.process(data, options.work / "datasets", config, overwrite=True)
    symbol = max((symbol for symbol in manifest.symbols if symbol.path), key=lambda symbol: symbol.rows)
    print(f"{symbol.symbol}: {symbol.labelled_rows:,} labelled rows")
    thresholds = lobset.Thresholds.read(options.work / "datasets" / "thresholds.json")
    start = np.datetime64(manifest.json["inputs"][0]["first_ts"].removesuffix("Z"), "ns")
    moment = start + (thresholds.fit_until - start) * 4 // 5
    return Data(symbol.path, moment, thresholds.boundaries)


def spread(dataset: Any, most: int) -> Dataset[Any]:
    """At most `most` samples of a dataset, spread evenly over it."""
    return Subset(dataset, np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(int).tolist())


def predict(net: nn.Module, dataset: Dataset[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The classes of samples, and the classes that a network predicts."""
    net.eval()
    true, found = [], []
    with torch.no_grad():
        for samples, labels in lobset.torch.loader(dataset, batch_size=256, shuffle=False):
            true.append(labels.numpy().copy())
            found.append(net(samples).argmax(dim=1).numpy())
    return np.concatenate(true), np.concatenate(found)


@dataclass
class Curve:
    """A learning curve, with a point for each check."""

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Mean loss of the batches since the previous check."""
    accuracies: list[float] = field(default_factory=list)
    """Share of correct predictions on the samples for checking."""


def train(net: nn.Module, dataset: Any, check: Dataset[Any], steps: int, batch_size: int, rate: float) -> Curve:
    """Trains a network on batches with every class equally often, and restores its state at the best check."""
    print(f"{sum(p.numel() for p in net.parameters()):,} parameters, {len(dataset):,} samples")
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    sampler = lobset.torch.UniformSampler(dataset, seed=1)
    batches = lobset.torch.loader(dataset, batch_size, sampler=sampler, drop_last=True)
    every, curve, best, losses, started = max(steps // CHECKS, 1), Curve(), None, [], time.monotonic()
    print("    step   seconds      loss   right of those to check with")
    step = 0
    while step < steps:
        for samples, labels in batches:
            net.train()
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(samples), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            step += 1
            if step % every == 0 or step == steps:
                true, found = predict(net, check)
                curve.steps.append(step)
                curve.losses.append(sum(losses) / len(losses))
                curve.accuracies.append(float((true == found).mean()))
                bar = "█" * round(40 * curve.accuracies[-1])
                seconds = time.monotonic() - started
                print(f"{step:8,} {seconds:9.0f} {curve.losses[-1]:9.3f}   {curve.accuracies[-1]:6.1%} {bar}")
                losses.clear()
                if curve.accuracies[-1] == max(curve.accuracies):
                    best = {name: value.clone() for name, value in net.state_dict().items()}
            if step == steps:
                break
    if best is not None:
        net.load_state_dict(best)
    return curve


def confusion(true: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples by true class (row) and predicted class (column)."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    np.add.at(counts, (true, found), 1)
    return counts


def class_report(counts: NDArray[np.int64]) -> str:
    """Precision, recall and F1 score of each class, from a confusion matrix."""
    lines = ["             precision   recall       F1   samples"]
    right = counts.diagonal()
    for name, hit, of_class, predicted in zip(CLASSES, right, counts.sum(1), counts.sum(0), strict=True):
        precision, recall = hit / max(predicted, 1), hit / max(of_class, 1)
        f1 = 2 * hit / max(of_class + predicted, 1)
        lines.append(f"{name:12} {precision:9.1%} {recall:8.1%} {f1:8.1%} {of_class:9,}")
    return "\n".join(lines)


def finish(net: nn.Module, data: Data, fit: Any, holdout: Dataset[Any], curve: Curve, to: Path) -> None:
    """Prints how well a network does on the holdout compared with baselines that need no network, and saves it with a
    picture."""
    true, found = predict(net, holdout)
    counts = confusion(true, found)
    print("\nholdout, true class by row, predicted class by column:")
    print(f"{'':12}" + "".join(f"{name:>12}" for name in CLASSES))
    for name, row in zip(CLASSES, counts, strict=True):
        print(f"{name:12}" + "".join(f"{count:12,}" for count in row))
    print(f"\n{class_report(counts)}\n")
    # The movement starts from the price at the row: if the price did not change, the movement would be 0.
    known = int(np.searchsorted(data.boundaries, 0.0, side="right"))
    majority = int(np.bincount(fit.labels()).argmax())
    ways = {
        "the network": found,
        f"the class of what is known at the row ({CLASSES[known]})": np.full_like(true, known),
        f"the most frequent class of fit ({CLASSES[majority]})": np.full_like(true, majority),
    }
    for way, classes in ways.items():
        print(f"right {(true == classes).mean():6.1%}  {way}")
    to.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), to / "model.pt")
    draw(curve, counts, to / "result.png")
    print(f"\n{to / 'model.pt'}\n{to / 'result.png'}")


def draw(curve: Curve, counts: NDArray[np.int64], to: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(curve.steps, curve.losses, marker=".", label="loss")
    left.plot(curve.steps, curve.accuracies, marker=".", label="right of those to check with")
    left.set(xlabel="step", title="learning curve")
    left.legend()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    right.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    labels: Sequence[str] = CLASSES
    right.set(xticks=range(3), yticks=range(3), xticklabels=labels, yticklabels=labels)
    right.set(xlabel="predicted", ylabel="true", title="holdout, share of the true class")
    for row, column in np.ndindex(counts.shape):
        color = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]:,}\n{shares[row, column]:.0%}"
        right.text(column, row, text, ha="center", va="center", color=color)
    figure.savefig(to, dpi=120)
    plt.close(figure)
