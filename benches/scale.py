"""Measures what steps cost as tasks and what a cluster adds, and predicts the time of much larger runs.

Times the tasks of a run one by one, then the same run on clusters of 1, 2 and 3 nodes with one CPU each on this
machine, and on the threads of one process. Predicts those runs, to check the prediction, and then 10 TB.
"""

import argparse
import heapq
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AUTH_MODE="disabled",
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    RAY_TMPDIR=tempfile.mkdtemp(prefix="r", dir="/tmp"),
)

import ray
from ray.cluster_utils import Cluster

import lobset
import lobset.ray
from lobset import _lobset

STEPS = ["scan", "movements", "count", "classes", "datasets", "merge", "prove"]
CORES = os.cpu_count() or 1

PASSES = 11
"""Passes of the step `count`: five to fit, one for the embargo, five to prove."""


class OneByOne:
    """An executor that runs tasks one by one in this process and records the time of each task and of the driver."""

    def __init__(self):
        self.rounds = []
        self.driver = defaultdict(float)
        self.idle_since = time.perf_counter()

    def map(self, tasks):
        noted = []
        for place, (kind, spec, _, _) in enumerate(tasks):
            before = time.perf_counter()
            self.driver[kind] += before - self.idle_since
            well, text, _ = _lobset.try_task(kind, spec)
            self.idle_since = time.perf_counter()
            noted.append((kind, self.idle_since - before, len(spec) + len(text)))
            yield place, well, text
        self.rounds.append(noted)


def timed(work):
    os.sync()  # So that this run does not wait for writes of the previous one.
    before = time.perf_counter()
    result = work()
    return time.perf_counter() - before, result


def measure(source, folder):
    """Returns the rounds of a run, the driver's seconds by step, and the number of rows."""
    executor = OneByOne()
    out = folder / "alone"
    text = _lobset.process_as_tasks(
        executor, [str(source)], str(out), None, lobset.Config()._json(), None, 1, False, None
    )
    executor.driver["publish"] = time.perf_counter() - executor.idle_since
    shutil.rmtree(out)
    rows = sum(entry["rows"] for entry in json.loads(text)["inputs"])
    return executor.rounds, executor.driver, rows


def on_cluster(nodes, source, folder, runs):
    """Returns the median seconds of a run on `nodes` nodes with one CPU each, and the seconds of an empty task."""
    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    for _ in range(nodes - 1):
        cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    cluster.wait_for_nodes()
    try:
        idle = ray.remote(max_retries=0)(lambda: None)
        ray.get([idle.remote() for _ in range(8 * nodes)])
        each = timed(lambda: ray.get([idle.remote() for _ in range(400)]))[0] / 400
        taken = []
        for run in range(runs + 1):
            seconds, _ = timed(lambda: lobset.ray.process(source, folder / "ray", progress=False))
            shutil.rmtree(folder / "ray")
            if run > 0:  # The first run starts the workers.
                taken.append(seconds)
        return statistics.median(taken), each
    finally:
        ray.shutdown()
        cluster.shutdown()


def beside(source, folder, runs):
    """Returns the median seconds with two threads of one process and on a node with two CPUs, in alternating runs."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    threads, tasks = [], []
    try:
        for run in range(runs + 1):
            a, _ = timed(lambda: lobset.process(source, folder / "threads", threads=2, progress=False))
            b, _ = timed(lambda: lobset.ray.process(source, folder / "ray", progress=False))
            shutil.rmtree(folder / "threads")
            shutil.rmtree(folder / "ray")
            if run > 0:
                threads.append(a)
                tasks.append(b)
    finally:
        ray.shutdown()
    return statistics.median(threads), statistics.median(tasks)


def makespan(durations, workers):
    """Returns the seconds until the last task ends, if tasks go in order to the next free worker."""
    free = [0.0] * min(workers, max(1, len(durations)))
    for seconds in durations:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def predict(rounds, driver, workers, slower=1.0, overhead=0.0):
    """Returns the seconds of a run: the driver's, plus those of each round of tasks."""
    return driver + sum(makespan([seconds * slower + overhead for _, seconds, _ in noted], workers) for noted in rounds)


def at_scale(costs, driver, overhead, *, rows, file_rows, largest, nodes, cpus, bandwidth):
    """Returns the seconds of each step for `rows` rows in files of `file_rows`, of which `largest` belong to one symbol.

    There are `nodes` nodes with `cpus` CPUs and `bandwidth` bytes per second each to storage. `costs` are seconds per
    row, `driver` seconds per task.
    """
    workers = nodes * cpus
    # Rows per task (None: one task per symbol), bytes per row to and from storage, and repetitions of the step.
    shape = {
        "scan": (file_rows, 28 + 38, 1),
        "movements": (min(max(rows / 4096, 1 << 20), 16 << 20), 8 + 8, 1),
        "count": (max(rows / 256, 1 << 20), 8, PASSES),
        "classes": (max(rows / 256, 1 << 20), 8, 1),
        "datasets": (max(rows / 4096, 1 << 20), 38 + 8 + 27, 1),
        "merge": (None, 27 + 27, 1),
        "prove": (None, 27 + 27 + 8, 1),
    }
    seconds = defaultdict(float)
    for step, (task, bytes_, times) in shape.items():
        each = costs[step] / times
        moved = rows * bytes_ / (nodes * bandwidth)
        if task is None:
            alone = largest * max(each, bytes_ / bandwidth)
            seconds[step] = max(rows * each / workers, moved, alone)
            continue
        tasks = -(-rows // task)
        waves = -(-tasks // workers)
        seconds[step] = times * max(waves * (task * each + overhead), moved, tasks * overhead)
        seconds["driver"] += times * tasks * driver[step]
    # Texts about chunks of tapes and blocks grow with the rows: some 100 bytes each, at 100 MB/s.
    seconds["driver"] += rows * (1 / 8192 + 1 / 16384) * 100 / 100e6
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--rows", type=int, default=290_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = folder / "market"
        lobset.simulate(source, days=options.days, rows=options.rows)
        print(f"lobset {lobset.__version__}, Ray {ray.__version__}, {platform.platform()}, {CORES} cores")
        print(f"{options.days} files of {options.rows:,} records; medians of {options.runs} runs\n")

        rounds, driver, rows = measure(source, folder)
        costs, counts, texts = defaultdict(float), defaultdict(int), defaultdict(int)
        for noted in rounds:
            for kind, seconds, size in noted:
                costs[kind] += seconds / rows
                counts[kind] += 1
                texts[kind] += size
        each = {step: driver[step] / max(counts[step], 1) for step in STEPS}
        print("| step | tasks | ns per row | longest task, s | bytes of text per task | driver, ms per task |")
        print("|---|---|---|---|---|---|")
        for step in STEPS:
            longest = max((s for noted in rounds for kind, s, _ in noted if kind == step), default=0.0)
            cells = f"{costs[step] * 1e9:.0f} | {longest:.2f} | {texts[step] // max(counts[step], 1):,}"
            print(f"| {step} | {counts[step]} | {cells} | {each[step] * 1e3:.2f} |")
        print(f"\npublication {driver['publish']:.2f} s\n")

        threads, tasks = beside(source, folder, options.runs)
        print(f"two threads {threads:.2f} s, two CPUs of Ray {tasks:.2f} s: {tasks / threads:.2f} times\n")

        print("| nodes of one CPU | s | predicted, s | off by |")
        print("|---|---|---|---|")
        for nodes in (1, 2, 3):
            taken, overhead = on_cluster(nodes, source, folder, options.runs)
            # Nodes beyond the number of cores share them.
            foretold = predict(rounds, sum(driver.values()), nodes, max(1.0, nodes / CORES), overhead)
            print(f"| {nodes} | {taken:.2f} | {foretold:.2f} | {100 * (foretold / taken - 1):+.0f} % |")
        print(f"\nan empty task: {overhead * 1e3:.1f} ms\n")

    large = 10e12 / 28
    print("10 TB (357 billion rows, 2.5 billion of one symbol), nodes of 16 CPUs and 1 GB/s to storage, seconds:\n")
    print("| nodes | " + " | ".join(STEPS) + " | driver | all, min |")
    print("|---" * (len(STEPS) + 3) + "|")
    for nodes in (1, 10, 30, 100, 300, 1000):
        found = at_scale(
            costs, each, overhead, rows=large, file_rows=10e6, largest=2.5e9, nodes=nodes, cpus=16, bandwidth=1e9
        )
        cells = " | ".join(f"{found[step]:,.0f}" for step in STEPS)
        print(f"| {nodes} | {cells} | {found['driver']:,.0f} | {sum(found.values()) / 60:,.0f} |")


if __name__ == "__main__":
    main()
