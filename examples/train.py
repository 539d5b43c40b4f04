#!/usr/bin/env python3
"""A network on depth tensors: from order-book files to a confusion matrix on the holdout.

    pip install ".[torch,plot]"
    python examples/train.py                      # a minute or two on two cores
    python examples/train.py --data /path/to/dbn  # your own files

The simulated market has a signal: prices drift away from the longer queues. Real markets are harder to predict.
"""

import torch
from torch import nn
from training import CLASSES, finish, parser, prepare, spread, train

from lobset.torch import DepthDataset


class Net(nn.Module):
    """Maps depth tensors to scores: three convolutions, then the means of sixteen regions of the image."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AvgPool2d((3, 1)),
            nn.Conv2d(channels, 16, 5, stride=2, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 5, stride=2, padding=2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((4, 4)),
            nn.Flatten(),
            nn.Linear(32 * 16, classes),
        )

    def forward(self, tensors: torch.Tensor) -> torch.Tensor:
        return self.layers(tensors)


def main() -> None:
    options = parser(__doc__, steps=400).parse_args()
    torch.manual_seed(1)
    data = prepare(options, samples=1_000, ticks_per_bin=20)

    def tensors(split: str, **period: object) -> DepthDataset:
        return DepthDataset(data.path, split, balanced=False, stride=20, **period)

    fit = tensors("fit", until=data.moment)
    check = spread(tensors("fit", since=data.moment), options.most // 5)
    net = Net(fit.shape[0], len(CLASSES))
    curve = train(net, fit, check, options.steps, batch_size=64, rate=2e-3)
    finish(net, data, fit, spread(tensors("holdout"), options.most), curve, options.work / "train")


if __name__ == "__main__":
    main()
