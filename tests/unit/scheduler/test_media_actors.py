"""Which media actors are started, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whisper_service.config.schema import MediaSettings, StorageSettings, SupervisionSettings
from whisper_service.core.domain import ActorState, Job, Options, Problem, Status
from whisper_service.scheduler.media_actors import MediaActors, workers_for
from whisper_service.scheduler.views import MediaActorView
from whisper_service.storage.data_dir import DataDir


class Actor:
    """An actor that can be started and takes commands."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = ActorState.IDLE
        self.ready_generation = 0
        self.broken = False
        self.problem: Problem | None = None

    def go_idle(self) -> None:
        self.state = ActorState.IDLE

    def start(self) -> None:
        self.state = ActorState.STARTING

    def send(self, *_: Any, **__: Any) -> None: ...


def test_while_recordings_are_read_one_actor_more_is_ready(tmp_path: Path) -> None:
    actors = [Actor(f"media-{n}") for n in range(3)]
    data = DataDir(tmp_path)
    for folder in (data.spool, data.peaks, data.fine_peaks, data.copies):
        folder.mkdir(parents=True, exist_ok=True)
    media = MediaActors(actors, data, MediaSettings(), SupervisionSettings(), StorageSettings())  # type: ignore[arg-type]

    def read(name: str, job_id: str) -> list[str]:
        """Let an actor read a recording. Return the states of all."""
        actor: Any = media.actors[name]
        actor.state, actor.ready_generation = ActorState.READY, 1
        assert media.start(Job(job_id, "talk", Status.PROCESSING, Options(), 0.0, 1, "0"), name)
        return [actor.state.value for actor in actors]

    assert [actor.state.value for actor in actors] == ["idle"] * 3, "nothing is read"
    assert read("media-0", "a") == ["ready", "starting", "idle"]
    actors[1].state = ActorState.READY
    assert read("media-0", "a") == ["ready", "ready", "idle"], "one is free"
    assert read("media-1", "b") == ["ready", "ready", "starting"]
    assert read("media-2", "c") == ["ready"] * 3, "there are no more"


def test_there_are_as_many_actors_as_the_cores_can_feed() -> None:
    assert [workers_for(cores) for cores in (1, 2, 4, 6, 16, 32, 192)] == [2, 2, 2, 3, 8, 16, 16]


class Cluster:
    """Machines with room for some decoders."""

    decoders = 0
    decoding_problem = None


def test_decoders_on_other_machines_follow_the_room_there(tmp_path: Path) -> None:
    here, there, cluster = [Actor("media-1")], [Actor(f"cluster-media-{n + 1}") for n in range(2)], Cluster()
    media = MediaActors(
        here,  # type: ignore[arg-type]
        DataDir(tmp_path),
        MediaSettings(),
        SupervisionSettings(),
        StorageSettings(),
        far_actors=there,  # type: ignore[arg-type]
        cluster=cluster,
    )

    def states() -> list[str]:
        return [actor.state.value for actor in there]

    media.follow_cluster(work=True)
    assert states() == ["idle", "idle"], "there is no room"
    cluster.decoders = 1
    media.follow_cluster(work=False)
    assert states() == ["idle", "idle"], "there is no work"
    media.follow_cluster(work=True)
    assert states() == ["starting", "idle"]
    there[0].state = ActorState.PENDING
    assert [view.name for view in media.view()] == ["media-1"], "who waits for a machine gets no work"
    there[0].state, there[0].ready_generation = ActorState.READY, 1
    assert media.view() == (MediaActorView("media-1", True), MediaActorView("cluster-media-1", True, far=True))
    cluster.decoders = 0
    media.follow_cluster(work=True)
    assert states() == ["ready", "idle"], "an actor goes with its machine"
    there[0].state, there[0].ready_generation = ActorState.PENDING, 0
    media.follow_cluster(work=True)
    assert states() == ["idle", "idle"]


def test_recordings_are_read_while_one_actor_can(tmp_path: Path) -> None:
    here, there = Actor("media-1"), Actor("cluster-media-1")
    problem = Problem("crashed", "It crashed.")
    here.broken, here.problem, here.state = True, problem, ActorState.BROKEN
    parts: Any = (DataDir(tmp_path), MediaSettings(), SupervisionSettings(), StorageSettings())
    media = MediaActors([here], *parts, far_actors=[there], cluster=Cluster())  # type: ignore[list-item]
    there.state = ActorState.PENDING
    assert media.obstacle == problem
    there.state, there.ready_generation = ActorState.READY, 1
    assert media.obstacle is None
