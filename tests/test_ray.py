"""Runs spread over workers: by hand, where each step can be seen, and on a real Ray with two of them."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import FAKE, call, line

from localjudge.engine_choice import EngineChoice
from localjudge.errors import EngineError, StoppedError, UsageError
from localjudge.export import write_merged
from localjudge.intake import RunRequest, make_plan, prepare, records_of
from localjudge.ray_executor import Places, RayChoice, places
from localjudge.records import TaskType
from localjudge.rubric import Rubric, load_rubric
from localjudge.run import execute
from localjudge.segments import read_segment
from localjudge.store import RunStore
from localjudge.strategies import Settings
from localjudge.verdicts import Usage
from localjudge.work import Progress
from localjudge.worker import Desk, News, Worker, batches

pytestmark = pytest.mark.usefixtures("own_home")
COUNT = 240
RUBRICS: dict[TaskType, Rubric] = {"push": load_rubric("push").select(("1.1", "5.4"))}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(line(f"r{number:03d}") for number in range(COUNT)))
    return path


def request(records: Path, out: Path, delay: float = 0.0, engine: EngineChoice | None = None) -> RunRequest:
    return RunRequest(
        inputs=(records,),
        out=out,
        rubrics=RUBRICS,
        model=None,
        engine=engine or EngineChoice("fake", {"delay": delay}),
        settings=Settings(strategy="explain", rules="off"),
    )


def merged(out: Path) -> bytes:
    file = io.BytesIO()
    write_merged(file, RunStore.open(out).stored().by_id())
    return file.getvalue()


@pytest.fixture
def whole(records: Path, tmp_path: Path) -> bytes:
    execute(request(records, tmp_path / "unbroken"))
    return merged(tmp_path / "unbroken")


# A worker


class Told:
    """A desk that asks to stop once so many records are stored."""

    def __init__(self, stop_after: int = COUNT) -> None:
        self.desk, self.stop_after, self.news = Desk(), stop_after, list[News]()

    def __call__(self, news: News) -> bool:
        self.desk.tell(news)
        self.news += self.desk.take(len(self.stored) >= self.stop_after)
        return self.desk.tell(News())

    @property
    def stored(self) -> list[str]:
        return [name for news in self.news for name in news.stored]


class KilledError(BaseException):
    pass


def worker(asked: RunRequest, told: Told, before: frozenset[str] = frozenset()) -> Worker:
    return Worker(asked, make_plan(asked, prepare(asked)[0]), before, told)


def test_workers_side_by_side_leave_what_one_process_leaves(records: Path, tmp_path: Path, whole: bytes) -> None:
    asked, told = request(records, tmp_path / "out"), Told()
    both = worker(asked, told), worker(asked, told)
    for number, batch in batches(asked, frozenset(), 50, told):
        both[number % 2].do(number, batch)
    assert merged(asked.out) == whole
    assert len(list((asked.out / "verdicts").iterdir())) == 2
    assert sorted(told.stored) == [record.id for record in records_of(asked)]
    assert sum((news.usage for news in told.news), Usage()).requests == 2 * COUNT
    result = execute(asked)
    assert (result.before, result.judged, result.manifest is None) == (COUNT, 0, True)


def test_a_worker_started_anew_skips_what_the_dead_one_stored_and_each_id_is_told_once(
    records: Path, tmp_path: Path, whole: bytes
) -> None:
    asked, told = request(records, tmp_path / "out"), Told()
    (number, batch), *rest = batches(asked, frozenset(), COUNT, told)
    assert not rest

    def until_killed(news: News) -> bool:
        told(news)
        if len(told.stored) >= 100:
            raise KilledError
        return False

    first = Worker(asked, make_plan(asked, prepare(asked)[0]), frozenset(), until_killed)
    with pytest.raises(KilledError):
        first.do(number, batch)
    held = len(told.stored)
    again = worker(asked, told)
    again.do(number, batch)
    again.do(number, batch)
    assert sorted(told.stored) == sorted(record.id for record in batch)
    stored = RunStore.open(asked.out).stored()
    assert (stored.duplicates, merged(asked.out)) == (0, whole)
    assert [len(list(read_segment(path))) for path in sorted((asked.out / "verdicts").iterdir())] == [
        held,
        COUNT - held,
    ]


def test_batches_are_the_same_ones_whatever_is_stored_meanwhile(records: Path, tmp_path: Path) -> None:
    asked, told = request(records, tmp_path / "out"), Told()
    early = Told(stop_after=1)
    worker(asked, early).do(0, list(records_of(asked)))
    before = frozenset(path.name for path in (asked.out / "verdicts").iterdir())
    first = list(batches(asked, before, 32, told))
    assert [record.id for _, batch in first for record in batch] == [
        f"r{n:03d}" for n in range(len(early.stored), COUNT)
    ]
    worker(asked, told, before).do(*first[1])
    assert list(batches(asked, before, 32, told)) == first


def test_a_worker_that_is_told_to_stop_ends_what_it_began_and_begins_no_more(records: Path, tmp_path: Path) -> None:
    asked, told = request(records, tmp_path / "out", delay=0.001), Told(stop_after=1)
    one = worker(asked, told)
    one.do(0, list(records_of(asked)))
    stored = len(told.stored)
    assert 0 < stored < COUNT
    assert not any(news.whole for news in told.news)
    one.do(1, list(records_of(asked)))
    assert stored == len(told.stored) == len(RunStore.open(asked.out).stored())
    assert list(batches(asked, frozenset(), 50, told)) == []


def test_an_engine_that_does_not_open_is_told_to_the_desk_and_nothing_is_written(records: Path, tmp_path: Path) -> None:
    asked, told = request(records, tmp_path / "out", engine=EngineChoice("server")), Told()
    worker(asked, told).do(0, list(records_of(asked)))
    news = told.news[-1]
    assert isinstance(news.failed, UsageError)
    assert news.failed.problem == "engine server needs a model."
    assert not asked.out.exists()


def test_a_batch_that_four_workers_died_of_ends_the_run() -> None:
    desk = Desk()
    for number in (7, 8):
        assert [desk.tell(News(number, begun=True)) for _ in range(4)] == [False] * 4
    assert not desk.tell(News(7, stored=("r7",), whole=True))
    assert not any(news.failed for news in desk.take(stop=False))
    assert desk.tell(News(8, begun=True)), "the others are to stop as well"
    (failed,) = filter(None, (news.failed for news in desk.take(stop=False)))
    assert isinstance(failed, EngineError)
    assert "4 workers died over the same records" in failed.problem


# Places

TWO_NODES = [{"CPU": 64.0, "GPU": 8.0}, {"CPU": 64.0, "GPU": 8.0}]


@pytest.mark.parametrize(
    ("wanted", "cards", "nodes", "found"),
    [
        (None, 1, TWO_NODES, Places(16, 1, 1)),
        (None, 4, TWO_NODES, Places(4, 1, 4)),
        (None, 3, TWO_NODES, Places(4, 1, 3)),  # no engine is spread over nodes
        (3, 2, TWO_NODES, Places(3, 1, 2)),
        (None, 1, [{"CPU": 2.0}], Places(1, 2, 0)),
        (2, 1, [{"CPU": 2.0}], Places(2, 1, 0)),
        (None, 0, TWO_NODES, Places(2, 64, 0)),  # an engine elsewhere takes no card
    ],
)
def test_engines_take_whole_cards_or_share_the_cores(
    wanted: int | None, cards: int, nodes: list[dict[str, float]], found: Places
) -> None:
    assert places(wanted, cards, nodes) == found


@pytest.mark.parametrize(
    ("wanted", "cards", "nodes", "room"), [(5, 4, TWO_NODES, 4), (None, 16, TWO_NODES, 0), (3, 1, [{"CPU": 2.0}], 2)]
)
def test_more_workers_than_fit_are_refused_instead_of_waited_for(
    wanted: int | None, cards: int, nodes: list[dict[str, float]], room: int
) -> None:
    with pytest.raises(UsageError, match=rf"room for {room}\."):
        places(wanted, cards, nodes)


# Options


def test_without_ray_there_is_one_line_with_what_to_install(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = call("run", records, *FAKE, "--executor", "ray", "--out", tmp_path / "out")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        3,
        "error: --executor ray needs Ray. Run: pip install 'localjudge[ray]'",
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [("--workers", "2"), ("--ray-address", "127.0.0.1:6379")])
def test_options_of_ray_are_refused_without_it(records: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    result = call("run", records, *FAKE, *option, "--out", tmp_path / "out")
    assert (result.exit_code, "belong to --executor ray" in result.stderr) == (2, True)


@pytest.mark.parametrize("address", ["10.0.0.7:6379", "ray.example.com:6379", "ray://10.0.0.7:10001"])
def test_a_cluster_off_this_machine_has_to_be_allowed_by_name(address: str) -> None:
    with pytest.raises(UsageError, match="is not on this machine, and records would leave it"):
        RayChoice.of(address, None)
    assert RayChoice.of("127.0.0.1:6379", 2).workers == 2
    assert RayChoice.of("10.0.0.7:6379", None, ("10.0.0.7",)).address


# On a real Ray


@pytest.fixture
def _ray() -> None:
    if not sys.platform.startswith("linux") or importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray, and Linux's /proc")


class After:
    """Does something once so many verdicts are stored."""

    def __init__(self, count: int, action: Any) -> None:
        self.count, self.action, self.stored = count, action, list[str]()

    def __call__(self, progress: Progress) -> None:
        self.stored += progress.stored
        if len(self.stored) >= self.count and self.action():
            self.count = COUNT + 1


def kill_a_writer(out: Path) -> bool:
    """Kills the process that has a segment open; whether there was one."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            held = link.readlink()
        except OSError:
            continue
        pid = int(link.parts[2])
        if held.parent == out / "verdicts" and pid != os.getpid():
            os.kill(pid, signal.SIGKILL)
            return True
    return False


@pytest.mark.ray
@pytest.mark.usefixtures("_ray")
def test_ray_ends_what_this_process_began_although_a_worker_is_killed(
    records: Path, tmp_path: Path, whole: bytes
) -> None:
    out = tmp_path / "out"
    with pytest.raises(StoppedError):
        execute(request(records, out, delay=0.002), After(1, lambda: os.kill(os.getpid(), signal.SIGTERM) is None))
    before = len(RunStore.open(out).stored())
    killed = After(10, lambda: kill_a_writer(out))
    result = execute(request(records, out, delay=0.02), killed, RayChoice(workers=2).open)
    assert killed.count > COUNT, "no worker was killed"
    assert (result.before, result.judged) == (before, COUNT - before)
    assert result.summary is not None
    assert len(killed.stored) == len(set(killed.stored)) == COUNT - before
    assert merged(out) == whole
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert manifest["executor"] | {"version": ""} == {"name": "ray", "workers": 2, "started": 3, "version": ""}
    assert manifest["engine"]["engine"] == "fake"
    assert manifest["store"]["syncs"] > 0


@pytest.mark.ray
@pytest.mark.usefixtures("_ray")
def test_a_signal_stops_ray_and_this_process_goes_on(records: Path, tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out"
    handler = signal.getsignal(signal.SIGTERM)

    def terminate() -> bool:
        # Only while the run listens: outside of it the signal would end the tests.
        if signal.getsignal(signal.SIGTERM) is not handler:
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    stopper = After(10, terminate)
    with pytest.raises(StoppedError, match=rf"stopped by SIGTERM\. \d+ of {COUNT} verdicts are stored") as caught:
        execute(request(records, out, delay=0.02), stopper, RayChoice(workers=2).open)
    assert caught.value.exit_code == 75
    assert signal.getsignal(signal.SIGTERM) is handler
    held = {verdict.id for verdict in RunStore.open(out).verdicts()}
    assert held == set(stopper.stored)
    assert 0 < len(held) < COUNT
    execute(request(records, out))
    assert merged(out) == whole


@pytest.mark.ray
@pytest.mark.usefixtures("_ray")
def test_an_engine_that_does_not_open_on_ray_is_told_in_one_line(records: Path, tmp_path: Path) -> None:
    asked = request(records, tmp_path / "out", engine=EngineChoice("server"))
    with pytest.raises(UsageError, match=r"^engine server needs a model\. Give --model"):
        execute(asked, open_executor=RayChoice().open)
    assert not asked.out.exists()
