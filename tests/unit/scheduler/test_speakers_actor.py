"""The speakers actor as the scheduler sees it: one command at a time, late answers, cancelled work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from whisper_service.core.domain import ActorState, Problem, Segment, Span
from whisper_service.core.speaker_count import Wanted
from whisper_service.scheduler import speakers_actor as module
from whisper_service.scheduler.speakers_actor import Recount, SpeakersActor
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.speakers import Assign, Assigned, Heard, Listen

SPAN = Span(3, 0, 16_000, 0.0, 1.0)
SEGMENT = Segment(3, 0, 0.0, 1.0, "text")


class Supervised:
    """A supervisor that keeps what it was told."""

    def __init__(self) -> None:
        self.state = ActorState.READY
        self.ready_generation = 1
        self.broken = False
        self.sent: list[Any] = []
        self.deadlines: dict[object, float] = {}

    def send(self, command: Any, *, generation: int, within_s: float | None = None, key: object = None) -> None:
        self.sent.append(command)
        if within_s is not None:
            self.deadlines[key] = within_s

    def clear_deadline(self, key: object) -> None:
        self.deadlines.pop(key, None)

    def mark_useful(self, *, generation: int) -> None: ...
    def start(self) -> None:
        self.state = ActorState.STARTING

    def go_idle(self) -> None:
        self.ready_generation, self.state = 0, ActorState.IDLE

    def reset(self) -> None:
        self.broken = False


@pytest.fixture
def supervised() -> Supervised:
    return Supervised()


@pytest.fixture
def speakers(supervised: Supervised) -> SpeakersActor:
    return SpeakersActor(supervised, Path("/networks"))  # type: ignore[arg-type]


def test_a_chunk_is_sent_with_its_text_and_a_deadline(speakers: SpeakersActor, supervised: Supervised) -> None:
    assert speakers.is_ready()
    number = speakers.hear("job", Wanted(), SPAN, Path("/spool"), [SEGMENT])
    assert supervised.sent == [Listen("job", SPAN, "/spool", "/networks", (SEGMENT,))]
    assert list(supervised.deadlines.values()) == [module.HEAR_S]
    assert (speakers.is_ready(), speakers.has("job"), speakers.view(fetching=False).busy) == (False, True, True)
    assert speakers.on_heard(Heard("job", 3, b"voices"))
    assert (number, speakers.is_ready(), supervised.deadlines) == (1, True, {})


def test_the_naming_of_more_chunks_may_take_longer(speakers: SpeakersActor, supervised: Supervised) -> None:
    voices = [(index, b"voices") for index in range(100)]
    number = speakers.name("job", Wanted(2, 3), voices)
    assert supervised.sent == [Assign("job", number, tuple(voices), 2, 3)]
    assert list(supervised.deadlines.values()) == [module.NAME_S + 100 * module.NAME_CHUNK_S]


def test_answers_to_dropped_commands_change_nothing(speakers: SpeakersActor, supervised: Supervised) -> None:
    old = speakers.name("job", Wanted(), [(0, b"")])
    speakers.cancel("other")
    assert speakers.has("job")
    speakers.cancel("job")
    assert isinstance(supervised.sent[-1], Cancel)
    assert supervised.deadlines == {}
    new = speakers.name("job", Wanted(1, 1), [(0, b"")])
    assert speakers.on_assigned(Assigned("job", old, (), ())) is None
    assert speakers.on_fault(Fault("speakers", "unknown", Problem("unknown", "No."), job_id="job", index=3)) is None
    assert not speakers.on_heard(Heard("job", 0, b""))
    work = speakers.on_assigned(Assigned("job", new, (), ()))
    assert work is not None
    assert (work.number, work.wanted, work.recount) == (new, Wanted(1, 1), False)


def test_what_a_dead_actor_had_is_told_once(speakers: SpeakersActor) -> None:
    speakers.hear("job", Wanted(), SPAN, Path("/spool"), [])
    work = speakers.on_died()
    assert work is not None
    assert (work.job_id, work.index) == ("job", 3)
    assert speakers.on_died() is None


def test_an_actor_that_does_not_run_is_started_when_it_is_asked(
    speakers: SpeakersActor, supervised: Supervised
) -> None:
    supervised.go_idle()
    assert speakers.may_start()
    assert not speakers.is_ready()
    assert supervised.state is ActorState.STARTING
    assert not speakers.may_start()


def test_it_rests_after_a_while_without_work_only(speakers: SpeakersActor, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    speakers.hear("job", Wanted(), SPAN, Path("/spool"), [])
    assert speakers.rest_at is None
    speakers.on_heard(Heard("job", 3, b""))
    assert speakers.rest_at == 1000.0 + module.REST_AFTER_S
    clock[0] += module.REST_AFTER_S + 1
    assert speakers.rest_at is None  # the time is over: the next plan ends it, and no timer is needed
    assert speakers.view(fetching=False).rest_at < clock[0]
    speakers.rest()
    assert not speakers.view(fetching=False).ready


def test_a_count_that_a_client_waits_for_is_marked_and_answered(speakers: SpeakersActor) -> None:
    first, second = Recount("job", Wanted(2, 2)), Recount("other", Wanted())
    speakers.recounts = {"job": first, "other": second}
    assert speakers.view(fetching=False).recounts == ("job", "other")
    work = speakers.on_assigned(Assigned("job", speakers.name("job", first.wanted, [(0, b"")]), (), ()))
    assert work is not None
    assert work.recount
    speakers.end_recount("job")
    assert (first.done.is_set(), first.problem) == (True, None)
    stop = Problem("shutting_down", "The service ends.")
    speakers.end_recounts(stop)
    assert (second.problem, speakers.recounts) == (stop, {})
