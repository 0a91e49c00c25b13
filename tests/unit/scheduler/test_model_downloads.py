"""The order of downloads, against a child that the test plays: sharing, cancelling, dying, going on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from whisper_service.core.domain import Problem
from whisper_service.core.errors import DiskFull, ModelUnavailable
from whisper_service.models.catalog import Catalog
from whisper_service.models.hubs import Hub
from whisper_service.models.inventory import Transfer
from whisper_service.scheduler.model_downloads import TRIES, ModelDownloads, describe
from whisper_service.storage.row_mapping import ModelRow
from whisper_service.supervision.protocol import Download, Downloaded, DownloadProgress

pytestmark = pytest.mark.anyio
PROBLEM = Problem("killed", "It was killed.")


class Actor:
    """Stands where the supervisor stands."""

    def __init__(self) -> None:
        self.rested = self.generation = self.wanted = 0
        self.sent: list[tuple[int, Download]] = []

    def want(self) -> None:
        self.wanted += 1

    def rest(self) -> None:
        self.rested = self.generation

    def send(self, command: Download, *, generation: int, **_: Any) -> None:
        self.sent.append((generation, command))

    def settle(self, key: object) -> None: ...
    def expect(self, key: object, within_s: float, *, generation: int | None = None) -> None: ...
    def proven(self, *, generation: int | None = None) -> None: ...

    @property
    def models(self) -> list[str]:
        return [command.model for _, command in self.sent]


class Stage:
    def __init__(self, root: Path) -> None:
        self.actor = Actor()
        self.told: list[tuple[str, ModelRow | None]] = []
        catalog = Catalog(root, default="auto", bundled={})
        self.downloads = ModelDownloads(self.actor, catalog, Hub(), self.announce, spare_bytes=0)  # type: ignore[arg-type]

    async def announce(self, name: str, row: ModelRow | None) -> None:
        self.told.append((name, row))

    def ready(self) -> None:
        self.actor.generation += 1
        self.downloads.on_ready(self.actor.generation)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def wanted(stage: Stage, *names: str, asked: bool = False) -> None:
    for name in names:
        await stage.downloads.want(name, asked=asked)


def states(told: Sequence[tuple[str, ModelRow | None]]) -> list[tuple[str, str | None]]:
    return [(name, row and row.state) for name, row in told]


async def test_a_child_is_started_and_goes_when_there_is_nothing_more(stage: Stage) -> None:
    await wanted(stage, "tiny")
    assert (stage.actor.wanted, stage.actor.sent) == (1, [])
    stage.ready()
    assert stage.actor.models == ["tiny"]
    await stage.downloads.on_downloaded(Downloaded("tiny", "/x", 1))
    assert stage.actor.rested == 1
    assert states(stage.told) == [("tiny", "downloading"), ("tiny", None)]
    assert not stage.downloads.awaits("tiny")


async def test_what_is_wanted_twice_is_fetched_once_and_others_follow_in_turn(stage: Stage) -> None:
    await wanted(stage, "tiny", "base", "tiny")
    stage.ready()
    assert stage.actor.models == ["tiny"]
    await stage.downloads.on_downloaded(Downloaded("tiny", "/x", 1))
    assert stage.actor.models == ["tiny", "base"]
    assert stage.actor.rested == 0


async def test_a_failure_is_remembered_until_it_is_tried_again(stage: Stage) -> None:
    await wanted(stage, "tiny")
    stage.ready()
    await stage.downloads.on_failed("tiny", PROBLEM)
    assert stage.downloads.problems == {"tiny": PROBLEM}
    assert stage.told[-1] == ("tiny", ModelRow("tiny", "absent", problem=PROBLEM))
    await wanted(stage, "tiny")
    assert stage.downloads.problems == {}


async def test_cancelling_ends_the_child_and_what_waited_is_next(stage: Stage) -> None:
    await wanted(stage, "tiny", "base")
    stage.ready()
    assert await stage.downloads.cancel("tiny")
    assert not await stage.downloads.cancel("tiny")
    assert stage.actor.rested == 1
    stage.downloads.on_ready(1)  # said before it was sent to rest
    assert stage.actor.models == ["tiny"]
    stage.ready()
    assert stage.actor.models == ["tiny", "base"]
    await stage.downloads.on_progress(DownloadProgress("tiny", 5, 10))  # of the one before
    assert stage.downloads.transfers.keys() == {"base"}


async def test_cancelling_what_waits_disturbs_nobody(stage: Stage) -> None:
    await wanted(stage, "tiny", "base")
    stage.ready()
    assert await stage.downloads.cancel("base")
    assert stage.actor.rested == 0
    assert stage.downloads.awaits("tiny")


async def test_what_no_job_wants_any_more_stops_unless_it_was_asked_for(stage: Stage) -> None:
    await wanted(stage, "tiny")
    await wanted(stage, "base", asked=True)
    await stage.downloads.release("tiny")
    await stage.downloads.release("base")
    await stage.downloads.release(None)
    assert stage.downloads.transfers.keys() == {"base"}
    await wanted(stage, "small")
    await wanted(stage, "small", asked=True)  # asked for after a job wanted it
    await stage.downloads.release("small")
    assert stage.downloads.awaits("small")


async def test_another_child_goes_on_after_a_death_but_not_for_ever(stage: Stage) -> None:
    await wanted(stage, "tiny", "base")
    for number in range(TRIES - 1):
        stage.ready()
        assert await stage.downloads.on_died(PROBLEM) is None
        assert stage.actor.models == ["tiny"] * (number + 1)
    stage.ready()
    await stage.downloads.on_progress(DownloadProgress("tiny", 5, 10))  # it gets further: the count begins anew
    for _ in range(TRIES - 1):
        assert await stage.downloads.on_died(PROBLEM) is None
        stage.ready()
    assert await stage.downloads.on_died(PROBLEM) == "tiny"
    assert stage.downloads.problems["tiny"].code == "download_failed"
    stage.ready()
    assert stage.actor.models[-1] == "base"


async def test_an_idle_child_that_dies_is_nobodys_loss(stage: Stage) -> None:
    stage.ready()
    assert await stage.downloads.on_died(PROBLEM) is None
    assert stage.told == []


async def test_what_was_asked_for_goes_on_after_a_restart_and_what_was_wrong_is_known(stage: Stage) -> None:
    rows = [
        ModelRow("tiny", "downloading", asked=True),
        ModelRow("base", "downloading"),
        ModelRow("small", "broken", problem=PROBLEM),
    ]
    await stage.downloads.restore(rows)
    assert stage.downloads.transfers.keys() == {"tiny"}
    assert stage.downloads.problems == {"small": PROBLEM}
    assert ("base", None) in stage.told


async def test_what_no_hub_has_is_refused(stage: Stage) -> None:
    with pytest.raises(ModelUnavailable):
        await stage.downloads.want("our-own")
    assert stage.told == []


async def test_a_disk_that_is_full_stops_no_other_download(stage: Stage) -> None:
    await wanted(stage, "tiny", "base", "small")
    stage.ready()

    async def refuse(name: str, row: ModelRow | None) -> None:
        raise DiskFull

    stage.downloads._announce = refuse
    with pytest.raises(DiskFull):
        await stage.downloads.on_downloaded(Downloaded("tiny", "/x", 1))
    assert stage.actor.models == ["tiny", "base"]
    with pytest.raises(DiskFull):
        await stage.downloads.on_failed("base", PROBLEM)
    assert stage.actor.models == ["tiny", "base", "small"]
    with pytest.raises(DiskFull):
        await stage.downloads.want("medium")
    assert not stage.downloads.awaits("medium")
    with pytest.raises(DiskFull):
        await stage.downloads.cancel("small")
    assert stage.downloads.transfers == {}


async def test_jobs_hear_of_it_in_steps(stage: Stage) -> None:
    await wanted(stage, "tiny")
    assert stage.downloads.message("tiny") == "Waiting for the download of the model tiny."
    stage.ready()
    heard = set()
    for percent in range(0, 1001):
        await stage.downloads.on_progress(DownloadProgress("tiny", percent * 10_000_000, 10_000_000_000, 1e6, 60.0))
        heard.add(stage.downloads.message("tiny"))
    assert 50 <= len(heard) <= 180


def test_how_far_it_is_in_words() -> None:
    assert (
        describe("x", Transfer(510_000_000, 3_090_000_000, 12_300_000, 210.0))
        == "Downloading the model x: 0.51 of 3.09 GB, 12.3 MB/s, 4 min left."
    )
    assert describe("x", Transfer(0, None)) == "Downloading the model x: 0.00 GB."
