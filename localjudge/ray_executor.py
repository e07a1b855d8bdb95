"""Judging on Ray: records stream through `ray.data` to a pool of workers with an engine each. The one importer of ray.

Ray decides where a worker stands, hands out batches, and starts a dead worker anew with the batch it died of. What is
stored, and what is judged again, does not rest on Ray: the workers write segments of their own, as shards do.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from localjudge.errors import ConfigError, EngineError, LocalJudgeError, UsageError
from localjudge.intake import RunRequest
from localjudge.manifest import Plan
from localjudge.offline import check_local, go_offline
from localjudge.stop import GraceOver, Stop
from localjudge.stored import Stored
from localjudge.work import Work
from localjudge.worker import Desk, News, Worker, batches

BATCH_RECORDS = 128
"""At most. A worker ends one batch before it begins the next, so small ones leave the engine idle more often."""
BATCHES_A_WORKER = 8
"""At least, where there are records enough: the last worker is to be done soon after the first."""
OBJECT_STORE_BYTES = 256 << 20
POLL_SECONDS = 0.2

_LOOPBACK = "127.0.0.1"
_GOES_ON = "The same command goes on."
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # With `uv run`, Ray would pack up the working folder and send it to the workers.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_LOCAL_ENVIRONMENT = {
    # Off a cluster Ray listens on the loopback alone; on Linux this is the only way to ask for it.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Who reaches a port and knows the token can run code as this user; Ray's own token lies in a readable file.
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    # Unasked, Ray starts workers at nice 15, and whatever else the machine does goes before the judging.
    "RAY_worker_niceness": "0",
}
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Where a user may have the token of a cluster, besides Ray's own file."""


@dataclass(frozen=True, slots=True)
class RayChoice:
    """Which Ray cluster, and how many workers."""

    address: str = ""
    """`host:port` of a cluster that runs already; empty for one of this process's own, which ends with it."""
    workers: int | None = None
    """Engines; None for the number in the model's entry, else as many as there are cards for, else one a node."""

    @classmethod
    def of(cls, address: str, workers: int | None, allowed_hosts: tuple[str, ...] = ()) -> RayChoice:
        """Checks the address. Raises UsageError for one that is neither on this machine nor allowed by name."""
        if address:
            check_local(f"//{address}", allowed_hosts)
        return cls(address, workers)

    def open(self, request: RunRequest, plan: Plan, stored: Stored, stop: Stop, left: int) -> RayExecutor:
        """As `OpenExecutor` has it. Raises ConfigError where Ray is not installed."""
        os.environ.update(_ENVIRONMENT | ({} if self.address else _LOCAL_ENVIRONMENT))
        if not os.environ.keys().isdisjoint(_TOKENS):
            os.environ.setdefault("RAY_AUTH_MODE", "token")  # which Ray leaves off for a given address
        try:
            import ray.data
        except ImportError as error:
            raise ConfigError("--executor ray needs Ray.", hint="Run: pip install 'localjudge[ray]'") from error
        return RayExecutor(ray, self, request, plan, stored, stop, left)


@dataclass(frozen=True, slots=True)
class Places:
    """How many workers, and what Ray sets aside for each."""

    workers: int
    cpus: int
    gpus: int


def places(wanted: int | None, cards: int, nodes: list[dict[str, float]]) -> Places:
    """Where engines of so many cards go on nodes with such resources (`CPU`, `GPU`).

    A card is never shared, and no engine is spread over nodes. Where there is no card, the engines share the cores.
    Raises UsageError for more workers than there is room for.
    """
    on_cards = cards > 0 and any(node.get("GPU", 0) for node in nodes)
    cores = [int(node.get("CPU", 0)) for node in nodes]
    room = sum(int(node.get("GPU", 0)) // cards for node in nodes) if on_cards else sum(cores)
    workers = wanted or (room if on_cards else min(room, sum(core > 0 for core in cores)))
    if not 0 < workers <= room:
        what = f"{cards} GPUs each" if on_cards else "a CPU core each"
        raise UsageError(
            f"{workers or 1} workers with {what} do not fit: Ray has room for {room}.",
            hint="Lower --workers or --tensor-parallel-size." if room else "Give Ray more resources.",
        )
    return Places(workers, 1, cards) if on_cards else Places(workers, max(1, room // workers), 0)


class RayExecutor:
    """Engines on a Ray cluster. A thread of its own talks to Ray, so that signals find this one at leisure."""

    def __init__(
        self, ray: Any, choice: RayChoice, request: RunRequest, plan: Plan, stored: Stored, stop: Stop, left: int
    ) -> None:
        """Waits until the first engine is open. Raises what opening it raises, and EngineError where Ray fails."""
        self._ray = ray
        self._choice = choice
        self._request = _anchored(request)
        self._plan = plan
        self._before = frozenset(path.name for path in stored.lines)
        self._stop = stop
        self._left = left
        self._places = Places(0, 0, 0)
        self._opened: list[dict[str, Any]] = []
        self._reopened, self._seconds, self._syncs = 0, 0.0, 0
        self._folder = "" if choice.address else tempfile.mkdtemp(prefix="lj-")
        self._desk: Any = None
        self._failure: LocalJudgeError | None = None
        self._connected, self._ended = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="ray", daemon=True).start()
        self._news = self._listen()
        try:
            self._await_engine()
        except BaseException:
            self.close()
            raise

    def do(self, work: Work) -> None:
        work.follow((news.usage, news.stored) for news in self._stop.watch(self._news) if news.stored)
        if work.left and not self._stop.asked:
            raise EngineError(f"Ray came to its end, and {work.left} records have no verdict.", hint=_GOES_ON)

    def facts(self) -> dict[str, Any]:
        first = self._opened[0] if self._opened else {"engine": {"engine": self._plan.engine}}
        spread = {"workers": self._places.workers, "started": len(self._opened), "version": self._ray.__version__}
        return {
            **first,
            "engine_reopened": self._reopened,
            "store": {"seconds": round(self._seconds, 4), "syncs": self._syncs},
            "executor": {"name": "ray", **spread},
        }

    def close(self) -> None:
        """Ends the workers, and the cluster if it is this process's own."""
        self._connected.wait()
        self._ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _await_engine(self) -> None:
        for news in self._news:
            if self._stop.asked:
                raise GraceOver
            if news.opened:
                self._news = chain([news], self._news)
                return

    def _listen(self) -> Iterator[News]:
        """What the workers tell, until there is nothing left to judge; with an empty word now and then, for whoever
        waits for more than news. Raises what a worker gave up with."""
        ended = False
        while not ended:
            ended = self._ended.wait(POLL_SECONDS)
            for news in self._take() if self._desk else ():
                self._note(news)
                yield news
            yield News()
        if self._failure:
            raise self._failure

    def _take(self) -> Iterator[News]:
        try:
            asked = self._desk.take.remote(not any(self._stop.feed((True,))))
            while not self._ray.wait([asked], timeout=POLL_SECONDS)[0]:
                yield News()
            yield from self._ray.get(asked)
        except self._ray.exceptions.RayActorError as error:
            lost = EngineError("Ray lost the process that its workers report to.", hint=_GOES_ON)
            raise self._failure or lost from error
        except self._ray.exceptions.RayError as error:
            raise self._failure or _given_up(error) from error

    def _note(self, news: News) -> None:
        if news.failed:
            raise news.failed
        if news.opened:
            self._opened.append(news.opened)
        self._reopened += news.reopened
        self._seconds, self._syncs = self._seconds + news.store[0], self._syncs + news.store[1]

    def _run(self) -> None:
        try:
            try:
                self._connect()
            finally:
                self._connected.set()
            for _ in self._pipeline().iter_rows():
                pass
        except LocalJudgeError as error:
            self._failure = error
        except Exception as error:
            self._failure = _given_up(error)
        finally:
            self._ended.set()

    def _connect(self) -> None:
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong comes as an exception too
        try:
            self._ray.init(**self._cluster(), log_to_driver=False, logging_level=logging.CRITICAL)
        except ConnectionError as error:
            raise EngineError(
                f"no Ray cluster answers at {self._choice.address}, or it asks for another token.",
                hint="Its token goes into RAY_AUTH_TOKEN.",
            ) from error
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        entry = self._request.model.spec.workers if self._request.model else None
        self._places = places(self._choice.workers or entry, self._request.engine.cards(self._request.model), nodes)

    def _cluster(self) -> dict[str, Any]:
        if self._choice.address:
            return {"address": self._choice.address}
        return {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_node_ip_address": _LOOPBACK,
            # Ray opens this folder to everyone, and spilled records lie in it; the one around it is private.
            "_temp_dir": str(Path(self._folder) / "ray"),
        }

    def _pipeline(self) -> Any:
        data = self._ray.data
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.target_max_block_size = 1  # a block is one row, and a row is one batch
        context.execution_no_progress_timeout_s = -1  # a large model loads, and thinks, for longer than any limit
        here = {"ray.io/node-id": self._ray.get_runtime_context().get_node_id()}
        self._desk = desk = self._ray.remote(num_cpus=0, label_selector=here)(Desk).remote()
        request, before = self._request, self._before
        size = max(1, min(BATCH_RECORDS, self._left // (self._places.workers * BATCHES_A_WORKER)))
        # No CPU for the reader: with the workers holding all of them it would wait for ever.
        rows = data.from_items([0]).map_batches(
            lambda _: _rows(request, before, size, desk), batch_size=None, num_cpus=0, label_selector=here
        )
        return rows.map_batches(
            _RayWorker,
            fn_constructor_args=(request, self._plan, before, desk),
            batch_size=1,
            compute=data.ActorPoolStrategy(size=self._places.workers, max_tasks_in_flight_per_actor=1),
            num_cpus=self._places.cpus,
            num_gpus=self._places.gpus,
        )


class _RayWorker:
    """A `Worker` as `map_batches` wants it."""

    def __init__(self, request: RunRequest, plan: Plan, before: frozenset[str], desk: Any) -> None:
        go_offline()
        self._worker = Worker(request, plan, before, _line_to(desk))

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        for number, records in zip(rows["number"], rows["records"], strict=True):
            self._worker.do(int(number), pickle.loads(records))  # noqa: S301 - the reader below made it
        return {"number": rows["number"]}


def _rows(request: RunRequest, before: frozenset[str], size: int, desk: Any) -> Iterator[dict[str, Any]]:
    tell = _line_to(desk)
    try:
        for number, records in batches(request, before, size, tell):
            yield {"number": [number], "records": [pickle.dumps(records)]}
    except LocalJudgeError as error:
        tell(News(failed=error))


def _line_to(desk: Any) -> Any:
    import ray

    return lambda news: ray.get(desk.tell.remote(news))


def _anchored(request: RunRequest) -> RunRequest:
    """The same with absolute paths: a worker's working folder is another one."""
    model = request.model and replace(request.model, path=request.model.path.absolute())
    labels = {path.absolute(): label for path, label in request.labels.items()}
    inputs = tuple(path.absolute() for path in request.inputs)
    return replace(request, inputs=inputs, labels=labels, out=request.out.absolute(), model=model)


def _given_up(error: Exception) -> EngineError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return EngineError(f"Ray gave up: {lines[-1].strip().partition('. ')[0].rstrip('.')}.", hint=_GOES_ON)
