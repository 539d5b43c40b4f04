"""The main job on a Ray cluster: the same steps as tasks, the same bytes. Needs Ray: `pip install "lobset[ray]"`.

>>> import lobset.ray
>>> lobset.ray.process("s3://market/mbp-10", "s3://datasets/audusd", address="auto")  # doctest: +SKIP

Inputs, work folder and output lie where every node reaches them: in an object store, or in a shared folder. Ray carries
small texts alone. Each node needs the same version of lobset, and the credentials of the store in its environment.
"""

import contextlib
import heapq
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

try:
    import ray
except ImportError as error:
    raise ImportError('lobset.ray needs Ray: pip install "lobset[ray]"') from error
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lobset import _lobset
from lobset._config import Config
from lobset._engine import PathLike, Progress, _listener, _path, _paths, _settings
from lobset._errors import ExecutorError
from lobset._results import Manifest, place

__all__ = ["RayExecutor", "process"]

_Task = tuple[str, str, int, int]
"""Kind, spec, threads, bytes of memory."""

_TICK = 0.05
"""Seconds between two looks at whoever wants to stop."""

_GRACE = 10.0
"""Seconds that a cancelled task has to clear up before its process is killed."""

_LOOK = 5.0
"""Seconds between two looks at which nodes there are."""

_DEPTH = 2
"""Tasks under way for each that a node can run: no worker waits for the next one."""

_DOUBT = 4
"""Deadlines for which a node that let one pass gets no more tasks."""


def _work(kind: str, spec: str) -> tuple[bool, str, bool]:
    """What a worker does."""
    return _lobset.try_task(kind, spec)


class RayExecutor:
    """Runs tasks on a cluster, each as often as it takes: a task whose process or node dies, or that fails for a reason
    that may pass, is sent again, and so is one without news for `deadline` seconds, each time to another node. The first
    receipt counts, whichever try it comes from.

    Args:
        address: The cluster, as for `ray.init`. Without one: the cluster that this process is connected to, or that
            RAY_ADDRESS names, or a new one on this machine.
        deadline: Seconds after which a task without news is sent again, for nodes that are lost without a word.
        retries: How often a task is sent again before the run gives up.
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
        # Our own count of tries, not Ray's: a try that is thought lost may still be at work.
        self._remote = ray.remote(max_retries=0)(_work)

    def close(self) -> None:
        """Disconnects, unless the process had been connected before."""
        if not self._connected:
            ray.shutdown()

    def map(self, tasks: list[_Task]) -> Iterator[tuple[int, bool, str] | None]:
        """Yields (place, whether it went well, receipt or error as JSON) of each task as it ends, and None now and then."""
        round_ = _Round(self, tasks)
        try:
            yield from round_.run()
        finally:
            round_.cancel()


class _Round:
    """One round of tasks: which wait, which are under way, which tries were made."""

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
        """Which nodes there are, and how many tasks each can have under way."""
        now = time.monotonic()
        if now - self.looked < _LOOK:
            return
        self.looked = now
        threads = self.tasks[0][2]
        cpus = {node["NodeID"]: node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]}
        self.rooms = {node: _DEPTH * int(n // threads) for node, n in sorted(cpus.items()) if n >= threads}

    def best_node(self, but: str | None = None) -> str | None:
        """The node with the most room that is not in doubt. None, for Ray to find one, where there is none."""
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
        # Left to itself, Ray fills one node before it looks at the next, and sends tasks to those that are frozen.
        strategy = "SPREAD" if node is None else NodeAffinitySchedulingStrategy(node, soft=True)
        options: dict[str, Any] = {"num_cpus": threads, "memory": memory, "scheduling_strategy": strategy}
        ref = self.executor._remote.options(name=f"lobset.{kind}", **options).remote(kind, spec)
        self.tries[task] += 1
        self.under_way[ref] = task
        self.since[ref] = time.monotonic()
        self.on[ref] = node

    def end(self, ref: ray.ObjectRef) -> tuple[int, bool, str] | None:
        """Takes note of a try that has ended, well or not; returns what the driver is to hear."""
        task = self.under_way.pop(ref)
        node = self.on.pop(ref)
        del self.since[ref]
        try:
            well, text, transient = ray.get(ref)
            self.executor._doubted.pop(node or "", None)
        except RayTaskError as error:
            # The worker could not even begin: lobset is not installed there, or is another one.
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
            # Whoever has it may be slow, frozen or gone: it keeps its chance, and its node gets no more for a while.
            self.since[ref] = now
            node = self.on[ref]
            if node is not None:
                self.executor._doubted[node] = now
            if task not in self.open:
                continue
            if self.tries[task] > self.executor.retries:
                raise ExecutorError(
                    f"a task of kind {self.tasks[task][0]} gave no news in {self.tries[task]} tries",
                    help=f"if tasks may take longer than {self.executor.deadline:g} s, set a longer deadline",
                )
            self.send(task, self.best_node(but=node))

    def cancel(self) -> None:
        """Stops what is under way: by a signal first, so that it clears up, then by force. Tries of tasks that others have
        done are not waited for: frozen ones could not answer, and clear up when they thaw."""
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
    config: Config | None = None,
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
    """The main job on a cluster. The datasets are the same bytes as those of `lobset.process`.

    A run that died, whose driver died or whose cluster died goes on from what its tasks have finished when it is called
    again. One that has been published, with these settings and inputs, is not done again.

    Args:
        inputs: As for `lobset.process`; where every node reaches them.
        out: The folder to make, or the URL of one. In an object store its files have names that no other run uses, and
            `manifest.json`, put there last, says which of them count.
        config: The settings; the defaults when left out.
        address: The cluster, as for `ray.init`. Without one: the cluster that this process is connected to, or that
            RAY_ADDRESS names, or a new one on this machine.
        work: Where work files go, a folder or URL that every node reaches; beside `out` when left out.
        thresholds: A `thresholds.json` to apply in place of fitting.
        symbology: As for `lobset.process`; where every node reaches it.
        overwrite: Replace a dataset folder that exists, if it holds nothing else.
        threads: Threads, and so CPUs, of a task.
        deadline: Seconds after which a task without news is sent again, for nodes that are lost without a word.
        retries: How often a task is sent again before the run gives up.
        progress: As for `lobset.process`.

    Raises:
        ExecutorError: when there is no cluster, or tasks fail again and again.
        LobsetError: as for `lobset.process`.
        KeyboardInterrupt: on Ctrl-C, after the tasks have stopped and cleaned up.
    """
    with contextlib.closing(RayExecutor(address, deadline=deadline, retries=retries)) as executor:
        with _listener(progress) as listener:
            text = _lobset.process_as_tasks(
                executor,
                _paths(inputs),
                os.fspath(out),
                _path(work),
                _settings(config),
                _path(thresholds),
                _path(symbology),
                threads,
                overwrite,
                listener,
            )
    return Manifest._of(place(out), json.loads(text))
