"""The main job on a cluster of three nodes with one CPU each, on folders and on an S3 server."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import lobset
from conftest import REAL

if sys.platform != "linux":
    pytest.skip("processes and the files they have open are looked up in /proc", allow_module_level=True)

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    # Without it, a loopback address is rewritten and init hangs.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Names of sockets must stay short.
    "RAY_TMPDIR": tempfile.mkdtemp(prefix="r", dir="/tmp"),
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
os.environ.update(ENVIRONMENT)
os.environ.pop("RAY_ADDRESS", None)
pytest.importorskip("ray")

import boto3
import polars as pl
import psutil
import pyarrow.parquet as pq
import ray
from moto.server import ThreadedMotoServer
from ray.cluster_utils import Cluster

import lobset.data
import lobset.ray

CONFIG = lobset.Config(
    lookback_rows=2000, lookforward_input=1500, lookforward_offset=200, min_symbol_samples=2000, nbins=7
)


@pytest.fixture(scope="module")
def server():
    """An S3 server whose address all nodes know."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ["AWS_ENDPOINT"] = f"http://{host}:{port}"
    yield boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT"], region_name="us-east-1")
    server.stop()


@pytest.fixture(scope="module")
def cluster(server):
    started = time.monotonic()
    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    for _ in range(2):
        cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes()
    print(f"a cluster of three nodes in {time.monotonic() - started:.1f} s")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Twelve days of a market, and the result of a run on one machine."""
    folder = tmp_path_factory.mktemp("market")
    lobset.simulate(folder / "in", days=12, rows=100_000)
    lobset.process(folder / "in", folder / "out", CONFIG, progress=False)
    return folder / "in", hashes(folder / "out")


def hashes(folder):
    """The files that must be the same wherever they were written: datasets, their moments and thresholds."""
    files = [*folder.glob("*.parquet"), folder / "thresholds.json"]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def left_over(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def workers_on(folder):
    """Processes that have a file below a folder open, with the file."""
    found = {}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith(str(folder)) and "/tapes/" in target:
            found[int(link.parts[2])] = Path(target)
    return found


class Run(threading.Thread):
    """A run in the background."""

    def __init__(self, *arguments, **options):
        super().__init__()
        self.work = lambda: lobset.ray.process(*arguments, progress=False, **options)
        self.manifest = None
        self.start()

    def run(self):
        self.manifest = self.work()

    def freeze_worker(self, folder, node=None):
        """A worker process that is in the middle of a scan, on a node if one is named; it is stopped there."""
        while self.is_alive():
            for pid in workers_on(folder):
                if node is not None and pid not in workers_of(node):
                    continue
                os.kill(pid, signal.SIGSTOP)
                if pid in workers_on(folder):
                    return pid
                os.kill(pid, signal.SIGCONT)
        raise AssertionError("the run was over before a worker was seen")


def test_three_nodes_give_the_bytes_of_one_machine_and_a_second_run_does_nothing(
    cluster, market, tmp_path, monkeypatch
):
    source, want = market
    seen = []
    manifest = lobset.ray.process(source, tmp_path / "out", CONFIG, progress=lambda *news: seen.append(news))
    assert hashes(tmp_path / "out") == want
    assert {stage for stage, *_ in seen} == {"scan", "plan", "write", "validate"}
    assert left_over(tmp_path) == []
    assert lobset.validate(tmp_path / "out", progress=False).rows == sum(
        split.rows for symbol in manifest.symbols for split in symbol.splits.values()
    )

    def none(self, tasks):
        raise AssertionError("a task was submitted")

    monkeypatch.setattr(lobset.ray.RayExecutor, "map", none)
    again = lobset.ray.process(source, tmp_path / "out", CONFIG, progress=False)
    assert again.json == manifest.json
    with pytest.raises(lobset.OutputError, match="exists"):
        lobset.ray.process(source, tmp_path / "out", CONFIG.replace(nbins=5), progress=False)


@pytest.mark.parametrize("name", ["es", "crypto"])
def test_real_data_gives_the_bytes_of_one_machine(cluster, tmp_path, name):
    source = REAL / name
    if not source.is_dir():
        pytest.skip(f"no {source} on this machine")
    config = lobset.Config(
        currency=name.upper(),
        lookback_rows=500,
        lookforward_input=500,
        lookforward_offset=50,
        min_symbol_samples=2000,
        nbins=13,
    )
    lobset.process(source, tmp_path / "one", config, progress=False)
    lobset.ray.process(source, tmp_path / "three", config, progress=False)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "three")


def test_several_targets_give_the_bytes_of_one_machine(cluster, tmp_path):
    lobset.simulate(tmp_path / "in", days=4, rows=30_000)
    config = CONFIG.replace(
        targets=[
            "h10=return(10),classes=share",
            {"name": "d50", "kind": "deeplob(50)", "classes": "spread", "threshold_scope": "symbol"},
            {"name": "t90", "kind": "tlob(90,20)", "classes": "fixed", "boundaries": [-1e-4, 0.0, 1e-4]},
        ]
    )
    one = lobset.process(tmp_path / "in", tmp_path / "one", config, progress=False)
    three = lobset.ray.process(tmp_path / "in", tmp_path / "three", config, progress=False)
    assert hashes(tmp_path / "three") == hashes(tmp_path / "one") and len(one.datasets) >= 2
    assert three.json["symbols"] == one.json["symbols"] and three.config == one.config == config.replace(
        currency="AUDUSD"
    )
    # One dataset has too few labels of the classic target, but enough of the others.
    found = {bool(counts.splits) for s in three.symbols if s.path for counts in s.targets.values()}
    assert found == {True, False}
    lobset.validate(tmp_path / "three", against=tmp_path / "in", progress=False)


def test_a_node_that_is_killed_is_made_up_for(cluster, market, tmp_path):
    source, want = market
    node = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    cluster.wait_for_nodes()
    run = Run(source, tmp_path / "out", CONFIG)
    # Stop it, so that it is certainly still working when its node disappears.
    run.freeze_worker(tmp_path, node)
    cluster.remove_node(node, allow_graceful=False)
    run.join()
    assert hashes(tmp_path / "out") == want
    assert left_over(tmp_path) == []


def test_a_node_that_is_lost_without_a_word_is_made_up_for(cluster, market, tmp_path):
    source, want = market
    node = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    cluster.wait_for_nodes()
    run = Run(source, tmp_path / "out", CONFIG, deadline=2.0)
    run.freeze_worker(tmp_path, node)
    lost = [raylet.process.pid for raylet in node.all_processes["raylet"]] + list(workers_of(node))
    for pid in lost:
        os.kill(pid, signal.SIGSTOP)
    run.join()
    assert hashes(tmp_path / "out") == want
    for pid in lost:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not workers_on(tmp_path))
    assert left_over(tmp_path) == []
    cluster.remove_node(node, allow_graceful=False)


def workers_of(node):
    """The processes below a node's raylet."""
    raylets = [psutil.Process(raylet.process.pid) for raylet in node.all_processes["raylet"]]
    return {child.pid for raylet in raylets for child in raylet.children(recursive=True)}


def wait_for(what, seconds=30):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_that_freezes_is_made_up_for_and_leaves_nothing_when_it_thaws(cluster, market, tmp_path):
    source, want = market
    run = Run(source, tmp_path / "out", CONFIG, deadline=2.0)
    frozen = run.freeze_worker(tmp_path)
    try:
        run.join()
        assert hashes(tmp_path / "out") == want
        assert frozen in workers_on(tmp_path), "it thawed too early"
    finally:
        os.kill(frozen, signal.SIGCONT)
    wait_for(lambda: frozen not in workers_on(tmp_path))
    assert hashes(tmp_path / "out") == want
    assert left_over(tmp_path) == []


DRIVER = """
import sys, lobset, lobset.ray
config = lobset.Config.from_toml(sys.argv[4])
lobset.ray.process(sys.argv[1], sys.argv[2], config, address=sys.argv[3], progress=False)
"""


def test_a_driver_that_is_killed_goes_on_from_its_receipts(cluster, market, tmp_path):
    source, want = market
    (tmp_path / "config.toml").write_text(CONFIG.to_toml())
    arguments = [source, tmp_path / "out", cluster.address, tmp_path / "config.toml"]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *map(str, arguments)], stderr=subprocess.DEVNULL)
    receipts = tmp_path / ".out.lobset-work" / "receipts"
    while driver.poll() is None and len(list(receipts.glob("*.json"))) < 4:
        time.sleep(0.002)
    driver.kill()
    driver.wait()
    assert not (tmp_path / "out").exists()
    manifest = lobset.ray.process(source, tmp_path / "out", CONFIG, progress=False)
    assert 4 <= manifest.timings["scans_reused"] <= 12
    assert hashes(tmp_path / "out") == want
    assert left_over(tmp_path) == []


def test_bad_input_fails_at_once_and_by_name(cluster, market, tmp_path):
    source, _ = market
    inputs = tmp_path / "in"
    inputs.mkdir()
    for file in source.iterdir():
        (inputs / file.name).symlink_to(file)
    broken = sorted(inputs.glob("*.zst"))[5]
    whole = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(whole[:-1000])
    with pytest.raises(lobset.InputError, match="truncated") as caught:
        lobset.ray.process(inputs, tmp_path / "out", CONFIG, progress=False)
    assert caught.value.path == broken
    assert not (tmp_path / "out").exists()


def test_what_may_pass_is_tried_again_and_what_does_not_pass_ends_the_run(cluster, tmp_path):
    def flaky(kind, spec):
        tries = len(list(tmp_path.glob(f"{spec}-*")))
        (tmp_path / f"{spec}-{tries}").touch()
        return (tries == int(spec), f"try {tries}", True)

    def told(*specs):
        executor = lobset.ray.RayExecutor(retries=2)
        executor._remote = ray.remote(max_retries=0)(flaky)
        return executor.map([("kind", spec, 1, 1 << 20) for spec in specs])

    ends = sorted(news for news in told("0", "2", "1") if news is not None)
    assert ends == [(0, True, "try 0"), (1, True, "try 2"), (2, True, "try 1")]
    hopeless = told("9")
    assert next(news for news in hopeless if news is not None) == (0, False, "try 2")
    hopeless.close()
    assert len(list(tmp_path.glob("9-*"))) == 3


def test_tasks_without_news_end_the_run_in_the_end(cluster):
    def slow(kind, spec):
        time.sleep(60)

    executor = lobset.ray.RayExecutor(deadline=0.5, retries=1)
    executor._remote = ray.remote(max_retries=0)(slow)
    with pytest.raises(lobset.ExecutorError, match="sent no news in 2 tries"):
        list(executor.map([("kind", "", 1, 1 << 20)]))


def test_stopping_leaves_nothing(cluster, market, tmp_path):
    source, _ = market

    def stop(stage, done, total):
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        lobset.ray.process(source, tmp_path / "out", CONFIG, progress=stop)
    print(f"stopped after {time.monotonic() - started:.2f} s")
    assert list(tmp_path.iterdir()) == []
    time.sleep(0.5)
    assert list(tmp_path.iterdir()) == [] and workers_on(tmp_path) == {}


def test_the_command_runs_on_a_cluster(cluster, market, tmp_path):
    source, want = market
    (tmp_path / "config.toml").write_text(CONFIG.to_toml())
    command = [Path(sys.executable).with_name("lobset"), "process", source, "-o", tmp_path / "out", "--engine", "ray"]
    command += ["--address", cluster.address, "--work", tmp_path / "work", "--config", tmp_path / "config.toml"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    assert hashes(tmp_path / "out") == want
    assert not list((tmp_path / "work").rglob("*.*"))


def test_object_storage_gives_the_same_bytes_and_a_manifest_that_names_them(cluster, server, market, tmp_path):
    source, want = market
    server.create_bucket(Bucket="market")
    server.create_bucket(Bucket="made")
    for file in source.iterdir():
        server.upload_file(str(file), "market", f"2024/{file.name}")

    def published():
        listed = server.list_objects_v2(Bucket="made").get("Contents", [])
        return {entry["Key"].removeprefix("audusd/") for entry in listed}

    def check(manifest, want):
        datasets = [entry["dataset"] for entry in manifest.json["symbols"] if entry["dataset"]]
        named = {dataset["file"] for dataset in datasets} | {dataset["moments"]["file"] for dataset in datasets}
        named |= {manifest.json["thresholds"]["file"], manifest.json["card"]["file"]}
        named |= {manifest.json["report"]["file"], "manifest.json"}
        assert published() == named
        for symbol, path in manifest.datasets.items():
            bytes_ = server.get_object(Bucket="made", Key=str(path).removeprefix("s3://made/"))["Body"].read()
            assert hashlib.sha256(bytes_).hexdigest() == want[f"AUDUSD_{symbol}_dataset.parquet"]
            sums = lobset.data.Moments(path)
            assert sums.symbol == symbol and len(sums.files) == 12
        assert 2 * len(manifest.datasets) == len(want) - 1

    first = lobset.ray.process("s3://market/2024", "s3://made/audusd/", CONFIG, progress=False)
    check(first, want)
    assert lobset.Manifest.read("s3://made/audusd").json == first.json
    assert lobset.ray.process("s3://market/2024", "s3://made/audusd", CONFIG, progress=False).json == first.json
    assert lobset.validate("s3://made/audusd", against="s3://market/2024", progress=False).rows_against == 1000
    with pytest.raises(lobset.OutputError, match="exists"):
        lobset.ray.process("s3://market/2024", "s3://made/audusd", CONFIG.replace(columns="book"), progress=False)

    # Replace it with a run on threads only: the old files are removed, and foreign files are kept.
    server.put_object(Bucket="made", Key="audusd/notes.txt", Body=b"mine")
    other = CONFIG.replace(nbins=5)
    lobset.process("s3://market/2024", "s3://made/audusd", other, overwrite=True, progress=False)
    assert "notes.txt" in published()
    server.delete_object(Bucket="made", Key="audusd/notes.txt")
    # Inputs from a store, output on this machine.
    lobset.process("s3://market/2024", tmp_path / "out", other, progress=False)
    second = lobset.Manifest.read("s3://made/audusd")
    assert second.json != first.json
    check(second, hashes(tmp_path / "out"))

    # Loaders read datasets directly from the store.
    symbol, url = next(iter(second.datasets.items()))
    path = tmp_path / "out" / f"AUDUSD_{symbol}_dataset.parquet"
    windows = {"samples": 200, "ticks_per_bin": 20}
    for remote, local in (
        (lobset.data.RowDataset(url, balanced=False), lobset.data.RowDataset(path, balanced=False)),
        (
            lobset.data.DepthDataset(url, balanced=False, **windows),
            lobset.data.DepthDataset(path, balanced=False, **windows),
        ),
    ):
        assert len(remote) == len(local) > 0
        for number in (0, len(local) // 2, len(local) - 1):
            assert_same_sample(remote[number], local[number])
        # Processes that are forked later can read them too.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with multiprocessing.get_context("fork").Pool(1) as pool:
                sample = pool.apply_async(remote.__getitem__, (7,)).get(timeout=60)
        assert_same_sample(sample, local[7])
    # Read all datasets of a folder, with moments and periods.
    until = lobset.Thresholds.read(tmp_path / "out" / "thresholds.json").fit_until - np.timedelta64(1, "h")
    arguments = dict(balanced=False, length=20, until=until)
    remote, local = (
        lobset.data.WindowDataset(folder, **arguments) for folder in ("s3://made/audusd", tmp_path / "out")
    )
    assert remote.symbols == local.symbols == list(second.datasets) and len(remote) == len(local)
    assert remote.paths == list(second.datasets.values())
    for number in np.random.default_rng(1).permutation(len(local))[:20]:
        assert_same_sample(remote[number], local[number])


def assert_same_sample(found, want):
    assert found[1] == want[1]
    np.testing.assert_array_equal(found[0], want[0])


def test_ray_data_reads_a_block_for_each_row_group(cluster, server, tmp_path):
    lobset.simulate(tmp_path / "market", days=2, rows=150_000)
    made = lobset.process(tmp_path / "market", tmp_path / "out", CONFIG, progress=False)
    rows = pl.concat([pl.read_parquet(path) for path in made.datasets.values()])
    columns = ["split", "row", "bid_px_00", "classification_label"]
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    found = lobset.ray.read(tmp_path / "out", columns).materialize()
    assert found.columns() == columns and found.count() == len(rows)
    blocks = [ray.get(ref) for bundle in found.iter_internal_ref_bundles() for ref in bundle.block_refs]
    counts = [pq.read_metadata(path) for path in made.datasets.values()]
    counts = [meta.row_group(group).num_rows for meta in counts for group in range(meta.num_row_groups)]
    assert [block.num_rows for block in blocks] == counts and len(counts) > len(made.datasets)
    table = pl.concat([pl.from_arrow(block) for block in blocks])
    assert table.with_columns(pl.col("split").cast(pl.String)).equals(
        rows.select(columns).with_columns(pl.col("split").cast(pl.String))
    )
    symbol, path = next(iter(made.datasets.items()))
    whole = lobset.ray.read(tmp_path / "out", symbols=[symbol])
    assert whole.columns() == pl.read_parquet_schema(path).names()
    assert (
        whole.filter(lambda row: row["row"] >= 50_000).count()
        == pl.read_parquet(path).filter(pl.col("row") >= 50_000).height
    )
    with pytest.raises(lobset.InputError, match='has no column "spread"'):
        lobset.ray.read(path, ["spread"])
    with pytest.raises(lobset.ConfigError, match="M6AX9"):
        lobset.ray.read(tmp_path / "out", symbols=["M6AX9"])
    # Read from a store, with its credentials in the nodes' environment.
    server.create_bucket(Bucket="rows")
    server.upload_file(str(path), "rows", "a_dataset.parquet")
    remote = lobset.ray.read("s3://rows/a_dataset.parquet", ["row"])
    assert remote.sum("row") == pl.read_parquet(path)["row"].sum()


def test_a_batch_job_in_a_store_is_held_against_its_manifest(cluster, server, market, tmp_path):
    server.create_bucket(Bucket="jobs")
    files = sorted(market[0].iterdir())[:2]
    entries = [
        {
            "filename": file.name,
            "size": file.stat().st_size,
            "hash": f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}",
            "urls": {},
        }
        for file in files
    ]

    def put(name, body):
        server.put_object(Bucket="jobs", Key=f"glbx/{name}", Body=body)

    for file in files:
        put(file.name, file.read_bytes())
    put("manifest.json", json.dumps({"job_id": "GLBX-20240719-5DEFXVTMSM", "files": entries}))
    put("._hidden.dbn.zst", b"Mac OS X")
    put("condition.json", json.dumps([{"date": "2024-04-01", "condition": "degraded", "last_modified_date": None}]))
    runs = {"ray": lobset.ray.process, "threads": lobset.process}
    for name, process in runs.items():
        made = process("s3://jobs/glbx", tmp_path / name, CONFIG, progress=False)
        assert (made.delivery["checked"], made.delivery["hidden"]) == (2, 1)
        assert "condition.json: 1 day of the input is degraded: 2024-04-01" in made.warnings
    damaged = bytearray(files[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    put(files[1].name, bytes(damaged))
    for name, process in runs.items():
        with pytest.raises(lobset.InputError, match="has the SHA-256 .*, but manifest.json says"):
            process("s3://jobs/glbx", tmp_path / f"{name}-damaged", CONFIG, progress=False)
    server.delete_object(Bucket="jobs", Key=f"glbx/{files[1].name}")
    with pytest.raises(lobset.InputError, match="is listed in manifest.json but is missing"):
        lobset.inspect("s3://jobs/glbx", progress=False)
