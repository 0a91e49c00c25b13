"""The downloads of models, with an actor that the test plays: share, cancel, die, go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from whisper_service.core.domain import Problem
from whisper_service.core.errors import DiskFull, ModelUnavailable
from whisper_service.host.machine import Machine
from whisper_service.models.catalog import Catalog
from whisper_service.models.inventory import Inventory
from whisper_service.scheduler.model_downloads import TRIES, ModelDownloads, describe
from whisper_service.scheduler.model_states import ModelStates
from whisper_service.storage.row_mapping import ModelRow
from whisper_service.supervision.messages.download import Download, Downloaded, DownloadProgress, Hub, Transfer
from whisper_service.supervision.supervisor import Supervisor

pytestmark = pytest.mark.anyio
PROBLEM = Problem("killed", "It was killed.")


class Actor:
    """Takes the place of a supervisor."""

    def __init__(self) -> None:
        self.idle_generation = self.generation = self.ready_generation = self.wanted = 0
        self.sent: list[tuple[int, Download]] = []

    def start(self) -> None:
        self.wanted += 1

    def go_idle(self) -> None:
        self.idle_generation, self.ready_generation = self.generation, 0

    def send(self, command: Download, *, generation: int, **_: Any) -> None:
        self.sent.append((generation, command))

    takes_command = Supervisor.takes_command

    def clear_deadline(self, key: object) -> None: ...
    def set_deadline(self, key: object, within_s: float, *, generation: int | None = None) -> None: ...
    def mark_useful(self, *, generation: int | None = None) -> None: ...

    @property
    def models(self) -> list[str]:
        return [command.model for _, command in self.sent]


class States(ModelStates):
    """Collects what is announced."""

    def __init__(self, root: Path, told: list[tuple[str, ModelRow | None]]) -> None:
        inventory = Inventory(Catalog(root, default="auto", bundled={}), Machine(cpus=2, memory_bytes=0))
        nothing: Any = None
        super().__init__(nothing, nothing, inventory, nothing)
        self.told = told

    async def announce(self, name: str, row: ModelRow | None) -> None:
        self.told.append((name, row))


class Isolated:
    def __init__(self, root: Path) -> None:
        self.actor = Actor()
        self.told: list[tuple[str, ModelRow | None]] = []
        self.states = States(root, self.told)
        self.downloads = ModelDownloads(self.actor, self.states, Hub(()), spare_bytes=0)  # type: ignore[arg-type]

    def ready(self) -> None:
        self.actor.generation += 1
        self.actor.ready_generation = self.actor.generation
        self.downloads.on_ready()


@pytest.fixture
def isolated(tmp_path: Path) -> Isolated:
    return Isolated(tmp_path)


async def wanted(isolated: Isolated, *names: str, asked: bool = False) -> None:
    for name in names:
        await isolated.downloads.start(name, asked=asked)


def states(told: Sequence[tuple[str, ModelRow | None]]) -> list[tuple[str, str | None]]:
    return [(name, row and row.state) for name, row in told]


async def test_an_actor_is_started_and_ends_when_there_is_nothing_more(isolated: Isolated) -> None:
    await wanted(isolated, "tiny")
    assert (isolated.actor.wanted, isolated.actor.sent) == (1, [])
    isolated.ready()
    assert isolated.actor.models == ["tiny"]
    await isolated.downloads.on_downloaded(Downloaded("tiny", 1))
    assert isolated.actor.idle_generation == 1
    assert states(isolated.told) == [("tiny", "downloading"), ("tiny", None)]
    assert not isolated.downloads.has("tiny")


async def test_what_is_wanted_twice_is_fetched_once_and_others_follow_in_turn(isolated: Isolated) -> None:
    await wanted(isolated, "tiny", "base", "tiny")
    isolated.ready()
    assert isolated.actor.models == ["tiny"]
    await isolated.downloads.on_downloaded(Downloaded("tiny", 1))
    assert isolated.actor.models == ["tiny", "base"]
    assert isolated.actor.idle_generation == 0


async def test_a_failure_is_remembered_until_it_is_tried_again(isolated: Isolated) -> None:
    await wanted(isolated, "tiny")
    isolated.ready()
    await isolated.downloads.on_failed("tiny", PROBLEM)
    assert isolated.states.problems == {"tiny": PROBLEM}
    assert isolated.told[-1] == ("tiny", ModelRow("tiny", "absent", problem=PROBLEM))
    await wanted(isolated, "tiny")
    assert isolated.states.problems == {}


async def test_cancelling_ends_the_actor_and_what_waited_is_next(isolated: Isolated) -> None:
    await wanted(isolated, "tiny", "base")
    isolated.ready()
    assert await isolated.downloads.cancel("tiny")
    assert not await isolated.downloads.cancel("tiny")
    assert isolated.actor.idle_generation == 1
    assert isolated.actor.models == ["tiny"]
    isolated.ready()
    assert isolated.actor.models == ["tiny", "base"]
    await isolated.downloads.on_progress(DownloadProgress("tiny", Transfer(5, 10)))  # of the one before
    assert isolated.states.wanted.keys() == {"base"}


async def test_cancelling_what_waits_disturbs_nobody(isolated: Isolated) -> None:
    await wanted(isolated, "tiny", "base")
    isolated.ready()
    assert await isolated.downloads.cancel("base")
    assert isolated.actor.idle_generation == 0
    assert isolated.downloads.has("tiny")


async def test_what_no_job_wants_any_more_stops_unless_it_was_asked_for(isolated: Isolated) -> None:
    await wanted(isolated, "tiny")
    await wanted(isolated, "base", asked=True)
    await isolated.downloads.release("tiny")
    await isolated.downloads.release("base")
    await isolated.downloads.release(None)
    assert isolated.states.wanted.keys() == {"base"}
    await wanted(isolated, "small")
    await wanted(isolated, "small", asked=True)  # asked for after a job wanted it
    await isolated.downloads.release("small")
    assert isolated.downloads.has("small")


async def test_another_actor_goes_on_after_a_death_but_not_for_ever(isolated: Isolated) -> None:
    await wanted(isolated, "tiny", "base")
    for number in range(TRIES - 1):
        isolated.ready()
        assert await isolated.downloads.on_died(PROBLEM) is None
        assert isolated.actor.models == ["tiny"] * (number + 1)
    isolated.ready()
    await isolated.downloads.on_progress(
        DownloadProgress("tiny", Transfer(5, 10))
    )  # it gets further: the count begins anew
    for _ in range(TRIES - 1):
        assert await isolated.downloads.on_died(PROBLEM) is None
        isolated.ready()
    assert await isolated.downloads.on_died(PROBLEM) == "tiny"
    assert isolated.states.problems["tiny"].code == "download_failed"
    isolated.ready()
    assert isolated.actor.models[-1] == "base"


async def test_the_death_of_an_idle_actor_changes_nothing(isolated: Isolated) -> None:
    isolated.ready()
    assert await isolated.downloads.on_died(PROBLEM) is None
    assert isolated.told == []


async def test_what_was_asked_for_goes_on_after_a_restart_and_what_was_wrong_is_known(isolated: Isolated) -> None:
    rows = [
        ModelRow("tiny", "downloading", asked=True),
        ModelRow("base", "downloading"),
        ModelRow("small", "broken", problem=PROBLEM),
    ]
    await isolated.downloads.resume(rows)
    assert isolated.states.wanted.keys() == {"tiny"}
    assert isolated.states.problems == {"small": PROBLEM}
    assert ("base", None) in isolated.told


async def test_what_no_hub_has_is_refused(isolated: Isolated) -> None:
    with pytest.raises(ModelUnavailable):
        await isolated.downloads.start("our-own")
    assert isolated.told == []


async def test_a_disk_that_is_full_stops_no_other_download(isolated: Isolated) -> None:
    await wanted(isolated, "tiny", "base", "small")
    isolated.ready()

    async def refuse(name: str, row: ModelRow | None) -> None:
        raise DiskFull

    isolated.states.announce = refuse
    with pytest.raises(DiskFull):
        await isolated.downloads.on_downloaded(Downloaded("tiny", 1))
    assert isolated.actor.models == ["tiny", "base"]
    with pytest.raises(DiskFull):
        await isolated.downloads.on_failed("base", PROBLEM)
    assert isolated.actor.models == ["tiny", "base", "small"]
    with pytest.raises(DiskFull):
        await isolated.downloads.start("medium")
    assert not isolated.downloads.has("medium")
    with pytest.raises(DiskFull):
        await isolated.downloads.cancel("small")
    assert isolated.states.wanted == {}


async def test_jobs_hear_of_it_in_steps(isolated: Isolated) -> None:
    await wanted(isolated, "tiny")
    assert isolated.downloads.message("tiny") == "Waiting for the download of the model tiny."
    isolated.ready()
    heard = set()
    for percent in range(0, 1001):
        now = Transfer(percent * 10_000_000, 10_000_000_000, 1e6, 60.0)
        await isolated.downloads.on_progress(DownloadProgress("tiny", now))
        heard.add(isolated.downloads.message("tiny"))
    assert 50 <= len(heard) <= 180


def test_how_far_it_is_in_words() -> None:
    assert (
        describe("x", Transfer(510_000_000, 3_090_000_000, 12_300_000, 210.0))
        == "Downloading the model x: 0.51 of 3.09 GB, 12.3 MB/s, 4 min left."
    )
    assert describe("x", Transfer(0, None)) == "Downloading the model x: 0.00 GB."
