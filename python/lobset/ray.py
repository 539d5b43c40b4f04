"""The main job on a Ray cluster, with the same steps as tasks and the same bytes as a result; also datasets for Ray
Data.

Needs Ray: `pip install "lobset[ray]"`.

>>> import lobset.ray
>>> lobset.ray.process("s3://market/mbp-10", "s3://datasets/audusd", address="auto")  # doctest: +SKIP

Inputs, work folder and output must be where every node can reach them: in an object store, or in a shared folder. Ray
transfers only small texts. Each node needs the same version of lobset, and the store's credentials in its environment.
"""

import contextlib
import heapq
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

try:
    import ray
except ImportError as error:
    raise ImportError('lobset.ray needs Ray: pip install "lobset[ray]"') from error
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lobset import _lobset, _numbers
from lobset._config import Config
from lobset._engine import PathLike, Progress, _path, _paths, _settings, watched
from lobset._errors import ExecutorError
from lobset._files import dataset_files
from lobset._results import Manifest, place

__all__ = ["RayExecutor", "process", "read"]

_Task = tuple[str, str, int, int]
"""Kind, spec, threads, bytes of memory."""

_TICK = 0.05
"""Seconds between two checks for a request to stop."""

_GRACE = 10.0
"""Seconds that a cancelled task has to clean up before its process is killed."""

_LOOK = 5.0
"""Seconds between two updates of the list of nodes."""

_DEPTH = 2
"""Tasks submitted for each one that a node can run, so that no worker waits for its next task."""

_DOUBT = 4
"""Number of deadlines for which a node that missed one gets no new tasks."""


def _work(kind: str, spec: str) -> tuple[bool, str, bool]:
    """Runs a task on a worker."""
    return _lobset.try_task(kind, spec)


class RayExecutor:
    """Runs tasks on a cluster and retries those that fail.

    A task is sent again, each time to another node, if its process or node dies, if it fails for a reason that may be
    temporary, or if it sends no news for `deadline` seconds. The first receipt counts, whichever try it comes from.

    Args:
        address: The cluster, as for `ray.init`. By default, the cluster that this process is connected to, or the one
            that RAY_ADDRESS names, or a new one on this machine.
        deadline: Seconds without news after which a task is sent again, for nodes that are lost silently.
        retries: Number of times that a task is sent again before the run fails.
    """

    def __init__(self, address: str | None = None, *, deadline: float = 900.0, retries: int = 4) -> None:
        self.deadline = deadline
        self.retries = retries
        self._doubted: dict[str, float] = {}
        self._connected = ray.is_initialized()
        if not self._connected:
            try:
                ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
            except (ConnectionError, RayError, RuntimeError, ValueError) as error:
                raise ExecutorError(f"no Ray cluster at {address or 'hand'}: {error}") from error
        # The executor counts tries, rather than Ray, because a try that is considered lost may still be running.
        self._remote = ray.remote(max_retries=0)(_work)

    def close(self) -> None:
        """Disconnects, unless the process was already connected before."""
        if not self._connected:
            ray.shutdown()

    def map(self, tasks: list[_Task]) -> Iterator[tuple[int, bool, str] | None]:
        """Yields (task number, success, receipt or error as JSON) as each task ends, and None from time to time."""
        round_ = _Round(self, tasks)
        try:
            yield from round_.run()
        finally:
            round_.cancel()


class _Round:
    """One round of tasks: those waiting, those running, and the tries made."""

    def __init__(self, executor: RayExecutor, tasks: list[_Task]) -> None:
        self.executor = executor
        self.tasks = tasks
        self.waiting = list(range(len(tasks)))
        self.tries = [0] * len(tasks)
        self.under_way: dict[ray.ObjectRef, int] = {}
        self.since: dict[ray.ObjectRef, float] = {}
        self.on: dict[ray.ObjectRef, str | None] = {}
        self.open = set(self.waiting)
        self.looked = 0.0
        self.rooms: dict[str, int] = {}

    def run(self) -> Iterator[tuple[int, bool, str] | None]:
        while self.open:
            self.submit()
            ended, _ = ray.wait(list(self.under_way), num_returns=1, timeout=_TICK)
            for ref in ended:
                news = self.end(ref)
                if news is not None:
                    yield news
            self.resubmit_overdue()
            if not ended:
                yield None

    def look(self) -> None:
        """Updates the list of nodes, and the number of tasks that each can have submitted."""
        now = time.monotonic()
        if now - self.looked < _LOOK:
            return
        self.looked = now
        threads = self.tasks[0][2]
        cpus = {node["NodeID"]: node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]}
        self.rooms = {node: _DEPTH * int(n // threads) for node, n in sorted(cpus.items()) if n >= threads}

    def best_node(self, but: str | None = None) -> str | None:
        """Returns the node with the most room among those not in doubt; None, so that Ray chooses, if there is no such
        node."""
        now, patience = time.monotonic(), _DOUBT * self.executor.deadline
        doubted = {node for node, since in self.executor._doubted.items() if now - since < patience}
        load = Counter(self.on.values())
        room = {node: room - load[node] for node, room in self.rooms.items() if node not in doubted and node != but}
        return max(room, key=lambda node: room[node], default=None)

    def submit(self) -> None:
        self.look()
        while self.waiting:
            node = self.best_node()
            most = _DEPTH if node is None else self.rooms[node]
            if Counter(self.on.values())[node] >= most:
                return
            self.send(heapq.heappop(self.waiting), node)

    def send(self, task: int, node: str | None) -> None:
        kind, spec, threads, memory = self.tasks[task]
        # By default, Ray fills one node before it uses the next, and sends tasks to frozen nodes.
        strategy = "SPREAD" if node is None else NodeAffinitySchedulingStrategy(node, soft=True)
        options: dict[str, Any] = {"num_cpus": threads, "memory": memory, "scheduling_strategy": strategy}
        ref = self.executor._remote.options(name=f"lobset.{kind}", **options).remote(kind, spec)
        self.tries[task] += 1
        self.under_way[ref] = task
        self.since[ref] = time.monotonic()
        self.on[ref] = node

    def end(self, ref: ray.ObjectRef) -> tuple[int, bool, str] | None:
        """Records a try that has ended, successfully or not; returns what to report to the driver."""
        task = self.under_way.pop(ref)
        node = self.on.pop(ref)
        del self.since[ref]
        try:
            well, text, transient = ray.get(ref)
            self.executor._doubted.pop(node or "", None)
        except RayTaskError as error:
            # The worker could not start: lobset is not installed there, or is a different version.
            raise ExecutorError(f"a worker cannot run lobset: {error.cause}") from error
        except RayError as error:
            well, text, transient = False, json.dumps({"Executor": f"a worker was lost: {error}"}), True
            self.looked = 0.0  # Its node may be gone.
        if task not in self.open:
            return None
        if well or not transient:
            self.open.remove(task)
            return task, well, text
        if task in self.under_way.values():
            return None
        if self.tries[task] > self.executor.retries:
            return task, False, text
        heapq.heappush(self.waiting, task)
        return None

    def resubmit_overdue(self) -> None:
        now = time.monotonic()
        overdue = [ref for ref, since in self.since.items() if now - since > self.executor.deadline]
        for ref in overdue:
            task = self.under_way[ref]
            # The node may be slow, frozen or gone: its try keeps running, but the node gets no new tasks for a while.
            self.since[ref] = now
            node = self.on[ref]
            if node is not None:
                self.executor._doubted[node] = now
            if task not in self.open:
                continue
            if self.tries[task] > self.executor.retries:
                raise ExecutorError(
                    f"a task of kind {self.tasks[task][0]} sent no news in {self.tries[task]} tries",
                    help=f"if tasks may take longer than {self.executor.deadline:g} s, set a longer deadline",
                )
            self.send(task, self.best_node(but=node))

    def cancel(self) -> None:
        """Stops running tries: first by a signal, so that they clean up, then by force. Does not wait for tries of
        tasks that others have completed: frozen ones cannot answer, and clean up when they resume."""
        refs = list(self.under_way)
        for force in (False, True):
            for ref in refs:
                with contextlib.suppress(RayError, ValueError):
                    ray.cancel(ref, force=force)
            refs = [ref for ref in refs if self.under_way[ref] in self.open]
            if not refs:
                return
            _, refs = ray.wait(refs, num_returns=len(refs), timeout=_GRACE)


def process(
    inputs: PathLike | Iterable[PathLike],
    out: PathLike,
    config: Config | Mapping[str, Any] | None = None,
    *,
    address: str | None = None,
    work: PathLike | None = None,
    thresholds: PathLike | None = None,
    symbology: PathLike | None = None,
    overwrite: bool = False,
    threads: int = 1,
    deadline: float = 900.0,
    retries: int = 4,
    progress: bool | Progress = True,
) -> Manifest:
    """Runs the main job on a cluster. The datasets have the same bytes as those of `lobset.process`.

    If a run, its driver or its cluster dies, calling this again continues from the tasks that have finished. A run that
    has been published with these settings and inputs is not repeated.

    Args:
        inputs: As for `lobset.process`, where every node reaches them.
        out: The folder to create, or its URL. In an object store, its files have names that no other run uses, and
            `manifest.json`, written last, lists the ones that count.
        config: As for `lobset.process`.
        address: The cluster, as for `ray.init`. By default, the cluster that this process is connected to, or the one
            that RAY_ADDRESS names, or a new one on this machine.
        work: A folder or URL for work files that every node reaches; by default, one beside `out`.
        thresholds: A `thresholds.json` to apply instead of fitting.
        symbology: As for `lobset.process`, where every node reaches it.
        overwrite: Replace an existing dataset folder, if it contains nothing else.
        threads: Threads, and therefore CPUs, per task.
        deadline: Seconds without news after which a task is sent again, for nodes that are lost silently.
        retries: Number of times that a task is sent again before the run fails.
        progress: As for `lobset.process`.

    Raises:
        ExecutorError: when there is no cluster, or tasks fail repeatedly.
        LobsetError: as for `lobset.process`.
        KeyboardInterrupt: on Ctrl-C, after the tasks have stopped and cleaned up.
    """
    with contextlib.closing(RayExecutor(address, deadline=deadline, retries=retries)) as executor:
        with watched(progress) as listener:
            text = _lobset.process_as_tasks(
                executor,
                _paths(inputs),
                os.fspath(out),
                _path(work),
                _settings(config),
                _path(thresholds),
                _path(symbology),
                _numbers.threads(threads, least=1),
                overwrite,
                listener,
            )
    return Manifest._of(place(out), json.loads(text))


def read(
    path: PathLike | Iterable[PathLike],
    columns: Sequence[str] | None = None,
    *,
    symbols: Sequence[str] | None = None,
    concurrency: int | None = None,
) -> Any:
    """Returns the rows of datasets as a Ray Data dataset, with one block per row group (131,072 rows). Workers read
    blocks when they are needed. Ray keeps the order of rows within a block, but the order of blocks only if
    `ray.data.DataContext` says so (`execution_options.preserve_order`).

    Needs Ray Data: `pip install "ray[data]"`.

    >>> lobset.ray.read("audusd", ["split", "mid_price"]).filter(lambda row: row["split"] == "fit")  # doctest: +SKIP

    Args:
        path: Path or URL of a `*_dataset.parquet`, several of them, or an output folder, where every node reaches them.
        columns: The columns to read, in this order; all by default.
        symbols: The datasets to take from an output folder.
        concurrency: Row groups that are read at once; by default as many as there are CPUs.

    Raises:
        ConfigError: when there is no dataset, one is given twice, or a symbol has none.
        InputError: when a file cannot be read, or lacks a column.
    """
    try:
        import ray.data
    except ImportError as error:
        raise ImportError('lobset.ray.read needs Ray Data: pip install "ray[data]"') from error
    files = dataset_files(path, symbols)
    columns = None if columns is None else list(columns)
    # Raise the error for a missing column here, rather than in a worker.
    counts = [len(_lobset.row_groups(file, columns or [])) for file in files]
    groups = [
        {"path": file, "group": group} for file, count in zip(files, counts, strict=True) for group in range(count)
    ]

    def rows(group: dict[str, Any]) -> Any:
        import pyarrow

        return pyarrow.table(_lobset.RowGroup(str(group["path"][0]), int(group["group"][0]), columns))

    items = ray.data.from_items(groups, override_num_blocks=len(groups))
    return items.map_batches(rows, batch_size=1, concurrency=concurrency)
