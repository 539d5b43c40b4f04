"""PyTorch: datasets in a `DataLoader`, workers, samplers, streams, and the example."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import lobset
from depth_reference import assert_same, depth_tensor
from small import SMALL

torch = pytest.importorskip("torch", reason="Debian's python3-torch gives CI its torch: make test-torch")

from torch.utils.data import DataLoader  # noqa: E402

import lobset.torch  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    lobset.simulate(folder / "market", days=2, rows=20_000)
    config = lobset.Config(**SMALL, samples=400, ticks_per_bin=20)
    return lobset.process(folder / "market", folder / "out", config, progress=False).datasets["M6AM4"]


def test_the_line_that_must_work(dataset):
    loader = DataLoader(lobset.torch.DepthDataset(dataset), batch_size=32, shuffle=True)
    tensors, labels = next(iter(loader))
    assert tensors.shape == (32, 2, 402, 20) and tensors.dtype == torch.float32
    assert labels.shape == (32,) and labels.dtype == torch.int64
    assert tensors.abs().max() == 1.0
    vectors, labels = next(iter(DataLoader(lobset.torch.RowDataset(dataset, "holdout"), batch_size=8)))
    assert vectors.shape == (8, 61)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_handed_over_without_a_copy(dataset, workers):
    depth = lobset.torch.DepthDataset(dataset, "holdout", stride=7)
    for tensors, labels in DataLoader(depth, batch_size=9, num_workers=workers):
        # The memory is that of one batch, not stacked from samples.
        assert tensors.is_contiguous() and tensors._base is None and tensors.shape[1:] == depth.shape
        assert labels.dtype == torch.int64
    # Samples that are not a whole batch are collated as by PyTorch.
    collate = torch.utils.data.default_collate
    items = depth.__getitems__([3, 1, -1])
    assert [label for _, label in items] == depth.labels()[[3, 1, -1]].tolist()
    assert torch.equal(collate(items)[0], torch.stack([depth[i][0] for i in (3, 1, len(depth) - 1)]))
    for part in (items[::-1], items[:2], [items[0], items[0], items[2]]):
        assert torch.equal(collate(part)[0], torch.stack([tensor for tensor, _ in part]))
        assert collate(part)[1].tolist() == [label for _, label in part]
    own = DataLoader(depth, batch_size=4, collate_fn=lambda items: [type(t) for t, _ in items])
    assert next(iter(own)) == [torch.Tensor] * 4
    with pytest.raises(IndexError):
        depth.__getitems__([len(depth)])


@pytest.mark.parametrize("output", ["tensor", "bins"])
def test_the_loader_gives_each_sample_once(dataset, output):
    depth = lobset.torch.DepthDataset(dataset, "holdout", stride=3, output=output)
    want = depth.samples.batch(np.arange(len(depth)))[1]

    def epoch(loader):
        found = []
        for samples, labels in loader:
            first = samples[0] if output == "bins" else samples
            found += zip((x.numpy().tobytes() for x in first), labels.tolist(), strict=True)
        return found

    in_order = epoch(lobset.torch.loader(depth, 50, shuffle=False, buffers=2))
    assert [label for _, label in in_order] == want.tolist()
    loader = lobset.torch.loader(depth, 50, seed=3)
    first, second = epoch(loader), epoch(loader)
    assert sorted(first) == sorted(second) == sorted(in_order) and first != second
    assert len(loader) == -(-len(depth) // 50)
    loader.set_epoch(0)
    assert epoch(loader) == first == epoch(lobset.torch.loader(depth, 50, seed=3, threads=1))
    assert len(epoch(lobset.torch.loader(depth, 50, drop_last=True))) == len(depth) // 50 * 50
    sampler = lobset.torch.UniformSampler(depth, seed=1)
    drawn = epoch(lobset.torch.loader(depth, 32, sampler=sampler))
    assert len(drawn) == len(sampler) and set(drawn) == set(in_order)
    for _samples, _labels in lobset.torch.loader(depth, 50):
        break  # Leaving early ends its thread.
    with pytest.raises(ValueError, match="buffers"):
        lobset.torch.loader(depth, buffers=1)


def test_the_loader_gives_tensors_of_other_types(dataset):
    depth = lobset.torch.DepthDataset(dataset, stride=20)
    for dtype in ("float16", "int8"):
        for tensors, labels in lobset.torch.loader(depth, 16, shuffle=False, dtype=dtype):
            assert tensors.dtype == getattr(torch, dtype)
            want = depth.samples.batch(np.arange(16), dtype=dtype)
            assert np.array_equal(tensors.numpy(), want[0]) and np.array_equal(labels.numpy(), want[1])
            break


@pytest.mark.parametrize("features", [["volume"], ["volume", "variance", "trade_counts"]])
@pytest.mark.parametrize("pip", [1e-5, 1e-6])
def test_bins_are_painted_as_tensors(dataset, features, pip):
    tensors, bins = (
        lobset.torch.DepthDataset(dataset, stride=20, features=features, micro_pip_size=pip, output=output)
        for output in ("tensor", "bins")
    )
    paint = lobset.torch.Paint()
    both = zip(DataLoader(tensors, 16), DataLoader(bins, 16), strict=True)
    for (want, labels), (given, same) in both:
        found = paint(given)
        assert isinstance(given, lobset.data.Bins) and torch.equal(labels, same)
        assert found.shape == want.shape and found.dtype == torch.float32
        for feature, channel in zip(features, range(len(features)), strict=True):
            a, b = (x if len(features) == 1 else x[:, channel] for x in (found, want))
            if feature == "variance":
                assert (a - b).abs().max() <= 1e-6
            else:
                assert torch.equal(a.view(torch.int32), b.view(torch.int32))
    one, _ = bins[0]
    assert torch.equal(paint(one)[..., 0, :], paint(lobset.data.Bins(*(x[None] for x in one)))[0][..., 0, :])


def test_the_same_seed_gives_the_same_order(dataset):
    made = lobset.torch.RowDataset(dataset)

    def order():
        generator = torch.Generator().manual_seed(7)
        return torch.cat([y for _, y in DataLoader(made, batch_size=64, shuffle=True, generator=generator)])

    assert torch.equal(order(), order())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_eight_workers_give_every_sample_exactly_once(dataset, method):
    rows = lobset.torch.RowDataset(
        dataset, columns=["sequence", "mid_price", "bid_sz_00", "ts_in_delta"], balanced=False
    )
    want = rows.samples.batch(np.arange(len(rows)))[0]
    want = want[np.lexsort(want.T)]
    rows[0]  # Use the dataset before the workers start.
    mapped = DataLoader(rows, batch_size=50, shuffle=True, num_workers=8, multiprocessing_context=method)
    stream = lobset.torch.SampleStream(rows, seed=1, block=64)
    streamed = DataLoader(stream, batch_size=50, num_workers=8, multiprocessing_context=method)
    for loader in (mapped, streamed):
        found = torch.cat([x for x, _ in loader]).numpy()
        assert np.array_equal(found[np.lexsort(found.T)], want)
    depth = lobset.torch.DepthDataset(dataset, stride=20, balanced=False)
    loader = DataLoader(depth, batch_size=8, num_workers=8, multiprocessing_context=method)
    found = torch.cat([x for x, _ in loader]).numpy()
    want = depth.samples.batch(np.arange(len(depth)))[0]
    assert np.array_equal(found.view(np.uint32), want.view(np.uint32))
    streamed = DataLoader(
        lobset.torch.SampleStream(depth, seed=1, block=16), batch_size=8, num_workers=8, multiprocessing_context=method
    )
    found = torch.cat([x for x, _ in streamed]).numpy()
    assert sorted(x.tobytes() for x in found) == sorted(x.tobytes() for x in want)


def test_workers_give_the_tensors_of_the_definition(dataset):
    rows = pl.read_parquet(dataset)
    depth = lobset.torch.DepthDataset(dataset, stride=20, balanced=False)
    numbers = range(0, len(depth), max(1, len(depth) // 40))
    loader = DataLoader(torch.utils.data.Subset(depth, numbers), batch_size=4, num_workers=2)
    tensors = torch.cat([x for x, _ in loader]).numpy()
    features = ("volume", "variance")
    processor = lobset.DepthProcessor(features, 400, 20)
    for i, tensor in zip(numbers, tensors, strict=True):
        place = depth.samples.position(i)
        part = rows[place - 399 : place + 1]
        assert_same(tensor, depth_tensor(part, features, 20, 1e-5), features)
        assert np.array_equal(tensor.view(np.uint32), processor.process(part).view(np.uint32))


def test_the_uniform_sampler_favours_no_class(dataset):
    rows = lobset.torch.RowDataset(dataset, "holdout", balanced=False)
    sampler = lobset.torch.UniformSampler(rows, seed=4)
    order = list(sampler)
    labels = rows.labels().numpy()
    counts = np.bincount(labels)
    assert len(order) == len(sampler) == counts.max() * np.count_nonzero(counts)
    assert set(np.bincount(labels[order])) == {counts.max()} and set(order) == set(range(len(rows)))
    assert list(sampler) != order
    sampler.set_epoch(0)
    assert list(sampler) == order
    assert sum(len(y) for _, y in DataLoader(rows, batch_size=256, sampler=sampler)) == len(order)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_windows_come_once_whatever_the_way(dataset, method):
    windows = lobset.torch.WindowDataset(dataset, balanced=False, length=20, channels=True, stride=3)
    want, of_want = windows.samples.batch(np.arange(len(windows)))
    assert want.shape[1:] == windows.shape == (1, 20, 40)
    rows = pl.read_parquet(dataset)
    place = windows.samples.position(7)
    plain = lobset.torch.WindowDataset(
        dataset, balanced=False, length=20, stride=3, normalise="none", columns=["bid_sz_00"]
    )
    assert torch.equal(plain[7][0][:, 0], torch.tensor(rows["bid_sz_00"][place - 19 : place + 1].to_list()).float())

    def pairs(source):
        return sorted(
            (x.numpy().tobytes(), int(y)) for samples, labels in source for x, y in zip(samples, labels, strict=True)
        )

    every = sorted((x.tobytes(), int(y)) for x, y in zip(want, of_want, strict=True))
    workers = dict(num_workers=2, multiprocessing_context=method)
    assert pairs(DataLoader(windows, 64, shuffle=True, **workers)) == every
    assert pairs(DataLoader(lobset.torch.SampleStream(windows, seed=2, block=50), 64, **workers)) == every
    assert pairs(DataLoader(windows, 64, shuffle=True)) == pairs(lobset.torch.loader(windows, 64)) == every
    sampler = lobset.torch.UniformSampler(windows, seed=5)
    drawn = pairs(lobset.torch.loader(windows, 64, sampler=sampler))
    sampler.set_epoch(0)
    assert drawn == pairs(DataLoader(windows, 64, sampler=sampler)) and len(drawn) == len(sampler)
    assert set(drawn) == set(every)
    with pytest.raises(ValueError, match="rows and windows are float32"):
        lobset.torch.loader(windows, 64, dtype="float16")


def test_every_way_gives_the_labels_of_a_target(tmp_path):
    lobset.simulate(tmp_path / "market", days=2, rows=20_000)
    config = lobset.Config(**SMALL, samples=400, ticks_per_bin=20, targets=["h10=return(10),classes=share"])
    path = lobset.process(tmp_path / "market", tmp_path / "out", config, progress=False).datasets["M6AM4"]
    frame = pl.read_parquet(path).with_columns(pl.col("split_h10").cast(pl.String))
    want = frame.filter(pl.col("split_h10") == "holdout")["classification_label_h10"].to_numpy()
    rows = lobset.torch.RowDataset(path, "holdout", balanced=False, target="h10")
    assert np.array_equal(rows.labels().numpy(), want)
    assert np.array_equal(torch.cat([y for _, y in DataLoader(rows, batch_size=512)]).numpy(), want)
    streamed = [y for _, y in lobset.torch.SampleStream(rows, shuffle=False)]
    assert np.array_equal(streamed, want)
    order = list(lobset.torch.UniformSampler(rows))
    assert set(np.bincount(want[order])) == {np.bincount(want).max()}
    depth = lobset.torch.DepthDataset(path, "holdout", balanced=True, stride=20, target="h10")
    places = [depth.samples.position(i) for i in range(len(depth))]
    assert len(places) > 10 and len(set(np.bincount(depth.labels().numpy()))) == 1
    assert np.array_equal(depth.labels().numpy(), frame["classification_label_h10"].to_numpy()[places])
    with pytest.raises(lobset.ConfigError, match="classic, h10"):
        lobset.torch.DepthDataset(path, target="h20")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """An output folder with datasets of several symbols and targets."""
    folder = tmp_path_factory.mktemp("several")
    lobset.simulate(folder / "market", days=2, rows=20_000)
    config = lobset.Config(**SMALL, samples=400, ticks_per_bin=20, targets=["h10=return(10),classes=share"])
    return lobset.process(folder / "market", folder / "out", config, progress=False).folder


def pairs_of(source):
    return [(x.numpy().tobytes(), int(y)) for samples, labels in source for x, y in zip(samples, labels, strict=True)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_mixes_its_symbols(several, workers):
    windows = lobset.torch.WindowDataset(several, length=20, stride=5)
    want, labels = windows.samples.batch(np.arange(len(windows)))
    every = sorted((x.tobytes(), int(y)) for x, y in zip(want, labels, strict=True))
    assert sorted(pairs_of(DataLoader(windows, 64, shuffle=True, num_workers=workers))) == every
    stream = lobset.torch.SampleStream(windows, seed=2, block=50)
    assert sorted(pairs_of(DataLoader(stream, 64, num_workers=workers))) == every
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(1))[:64]
    assert len(set(windows.source(order).symbol)) == len(windows.samples.symbols) == 3
    weights = windows.weights()
    assert weights.dtype == torch.float32 and torch.allclose(weights, torch.ones(5))
    torch.nn.CrossEntropyLoss(weight=weights)(torch.zeros(3, 5), windows.labels()[:3].long())


def test_subsets_and_concatenations_of_ours_are_sampled_and_loaded(several):
    names = lobset.Manifest.read(several).datasets
    alone = [lobset.torch.WindowDataset(path, length=20, stride=5, balanced=False) for path in names.values()]
    both = torch.utils.data.ConcatDataset(alone)
    numbers = np.random.default_rng(1).permutation(len(both))[: len(both) // 2]
    half = torch.utils.data.Subset(both, numbers.tolist())
    tenth = torch.utils.data.Subset(half, range(0, len(half), 5))
    first = torch.utils.data.Subset(alone[0], [5, 3, 3])
    for made in (both, half, tenth, first, torch.utils.data.ConcatDataset([tenth, alone[1], first])):
        want = [(x.numpy().tobytes(), y) for x, y in (made[i] for i in range(len(made)))]
        assert pairs_of(lobset.torch.loader(made, 37, shuffle=False)) == want
        assert pairs_of(DataLoader(made, 37)) == want
        assert sorted(pairs_of(lobset.torch.loader(made, 37, seed=2))) == sorted(want)
        sampler = lobset.torch.UniformSampler(made, seed=3)
        drawn = list(sampler)
        labels = np.array([y for _, y in want])
        assert len(drawn) == len(sampler) and set(drawn) == set(range(len(made)))
        assert len(set(np.bincount(labels[drawn])[np.unique(labels)])) == 1
        sampler.set_epoch(0)
        assert pairs_of(lobset.torch.loader(made, 64, sampler=sampler)) == [want[i] for i in drawn]
    for wrong in (torch.utils.data.TensorDataset(torch.zeros(3)), torch.utils.data.Subset([1, 2], [0])):
        with pytest.raises(TypeError, match="not a dataset of lobset.torch"):
            lobset.torch.UniformSampler(wrong)
    other = lobset.torch.WindowDataset(several, length=30)
    with pytest.raises(ValueError, match="one shape"):
        lobset.torch.loader(torch.utils.data.ConcatDataset([alone[0], other]))


@pytest.mark.parametrize("workers", [0, 2])
def test_labels_of_several_targets_are_a_dict_whatever_the_way(several, workers):
    targets = ["h10", "classic"]
    windows = lobset.torch.WindowDataset(several, "holdout", length=20, balanced=False, target=targets)
    want = windows.labels()
    assert list(want) == targets and all(labels.dtype == torch.uint8 for labels in want.values())
    found = list(DataLoader(windows, 50, num_workers=workers))
    in_order = [
        (x.clone(), {n: y.clone() for n, y in labels.items()})
        for x, labels in lobset.torch.loader(windows, 50, shuffle=False)
    ]
    for (a, labels), (b, same) in zip(found, in_order, strict=True):
        assert torch.equal(a, b) and all(torch.equal(labels[name], same[name]) for name in targets)
    for name in targets:
        assert torch.equal(torch.cat([labels[name] for _, labels in found]), want[name].long())
    sample, label = windows[7]
    assert torch.equal(sample, found[0][0][7]) and label == {name: int(want[name][7]) for name in targets}
    items = windows.__getitems__([7, 2])
    assert items[0][1] == label and torch.utils.data.default_collate(items[:1])[1]["h10"].tolist() == [label["h10"]]
    shuffled = DataLoader(lobset.torch.SampleStream(windows, seed=1, block=64), 50, num_workers=workers)
    counts = torch.bincount(torch.cat([labels["h10"] for _, labels in shuffled]))
    assert torch.equal(counts, torch.bincount(want["h10"].long()))
    order = np.array(list(lobset.torch.UniformSampler(windows)))
    assert len(set(np.bincount(want["h10"].numpy()[order]))) == 1
    both = torch.utils.data.ConcatDataset([windows, windows])
    mixed = next(iter(lobset.torch.loader(both, 64, seed=4)))
    assert list(mixed[1]) == targets and mixed[1]["classic"].shape == (64,)


def test_a_stream_resumes(dataset):
    def stream():
        return lobset.torch.SampleStream(lobset.torch.RowDataset(dataset), seed=3, block=64)

    want = [y for _, y in stream()]
    first = stream()
    begun = iter(first)
    found = [next(begun)[1] for _ in range(200)]
    second = stream()
    second.load_state_dict(first.state_dict())
    assert found + [y for _, y in second] == want


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 7, 120])
def test_a_stateful_loader_resumes_in_mid_epoch(dataset, workers, stop):
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="make test-torch installs torchdata")
    rows = lobset.torch.RowDataset(dataset, balanced=False, columns=["sequence", "mid_price"])

    def loader():
        stream = lobset.torch.SampleStream(rows, seed=1, block=64)
        return stateful.StatefulDataLoader(stream, batch_size=50, num_workers=workers, snapshot_every_n_steps=3)

    want = [samples for samples, _ in loader()]
    first = loader()
    begun = iter(first)
    found = [next(begun)[0] for _ in range(stop)]
    state = first.state_dict()
    del begun
    second = loader()
    second.load_state_dict(state)
    found += [samples for samples, _ in second]
    assert len(found) == len(want) and all(torch.equal(a, b) for a, b in zip(found, want, strict=True))


@pytest.mark.parametrize(("example", "parameters"), [("train", "24,595"), ("deeplob", "143,779")])
def test_the_examples_train(tmp_path, example, parameters):
    script = ROOT / "examples" / f"{example}.py"
    small = ["--rows", "12000", "--steps", "12", "--most", "300", "--work", "work"]
    ran = subprocess.run([sys.executable, script, *small], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    out = ran.stdout
    assert f"{parameters} parameters" in out and "true class by row, predicted class by column" in out
    assert "precision" in out and "the class of what is known at the row (stationary)" in out
    assert len(re.findall(r"^ +\d+ +\d+ +\d\.\d{3} +\d+\.\d%", out, re.MULTILINE)) == 12
    result = tmp_path / "work" / example
    assert (result / "result.png").read_bytes()[:4] == b"\x89PNG"
    state = torch.load(result / "model.pt")
    assert f"{sum(p.numel() for name, p in state.items() if not re.search('running|tracked', name)):,}" == parameters
    rows = [row.split() for row in out.split("predicted class by column:\n")[1].splitlines()[1:4]]
    counts = np.array([[int(cell.replace(",", "")) for cell in row[1:]] for row in rows])
    assert counts.sum() == 300 and f"right {counts.trace() / 300:6.1%}  the network" in out
