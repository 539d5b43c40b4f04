#!/usr/bin/env python3
"""DeepLOB on windows of 100 rows by 40 values: from order-book files to a confusion matrix on the holdout.

    pip install ".[torch,plot]"
    python examples/deeplob.py                      # a minute or two on two cores
    python examples/deeplob.py --data /path/to/dbn  # your own files

The simulated market has a signal: prices drift away from the longer queues. The network follows Zhang, Zohren, Roberts
2019 (arXiv:1808.03668): convolutions across the two values of a quote, the two sides of a level and all levels, each
followed by two along time; an inception module; and an LSTM. Unlike in the paper, the first two blocks halve the number
of rows, so that a CPU can train it in a minute or two.
"""

import torch
from torch import nn
from training import CLASSES, finish, parser, prepare, spread, train

from lobset.torch import WindowDataset


def block(channels: int, out: int, width: int, activation: type[nn.Module], step: int) -> nn.Sequential:
    """Joins `width` neighbours of the last axis into one, then convolves along time twice, the second time with stride
    `step`."""
    layers: list[nn.Module] = [nn.Conv2d(channels, out, (1, width), stride=(1, width)), activation()]
    layers.append(nn.BatchNorm2d(out))
    for stride in (1, step):
        layers += [nn.Conv2d(out, out, (4, 1), stride=(stride, 1)), activation(), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers)


def branch(channels: int, out: int, length: int) -> nn.Sequential:
    """A branch of the inception module that looks at `length` rows."""
    layers = [nn.Conv2d(channels, out, 1), nn.LeakyReLU(), nn.BatchNorm2d(out)]
    layers += [nn.Conv2d(out, out, (length, 1), padding=(length // 2, 0)), nn.LeakyReLU(), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers)


class DeepLob(nn.Module):
    """Maps (batch, 1, 100, 40) to a score for each class."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.book = nn.Sequential(
            block(1, 32, 2, nn.LeakyReLU, 2),  # price and size
            block(32, 32, 2, nn.Tanh, 2),  # ask and bid
            block(32, 32, 10, nn.LeakyReLU, 1),  # all levels
        )
        self.branches = nn.ModuleList([branch(32, 64, 3), branch(32, 64, 5)])
        self.pool = nn.Sequential(nn.MaxPool2d((3, 1), 1, (1, 0)), nn.Conv2d(32, 64, 1), nn.LeakyReLU())
        self.memory = nn.LSTM(192, 64, batch_first=True)
        self.scores = nn.Linear(64, classes)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        book = self.book(torch.nan_to_num(windows))
        seen = torch.cat([branch(book) for branch in [*self.branches, self.pool]], dim=1)
        states, _ = self.memory(seen.squeeze(3).transpose(1, 2))
        return self.scores(states[:, -1])


def main() -> None:
    options = parser(__doc__, steps=250).parse_args()
    torch.manual_seed(1)
    data = prepare(options)

    def windows(split: str, **period: object) -> WindowDataset:
        return WindowDataset(data.path, split, balanced=False, length=100, channels=True, **period)

    fit = windows("fit", until=data.moment)
    check = spread(windows("fit", since=data.moment), options.most // 5)
    net = DeepLob(len(CLASSES))
    curve = train(net, fit, check, options.steps, batch_size=64, rate=2e-3)
    finish(net, data, fit, spread(windows("holdout"), options.most), curve, options.work / "deeplob")


if __name__ == "__main__":
    main()
