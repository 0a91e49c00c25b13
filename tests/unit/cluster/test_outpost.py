"""Commands and reports of a far actor arrive in order and once, whatever happens to the calls that carry them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.cluster.fake_link import FakeLink, made
from whisper_service.cluster import outpost as outposts
from whisper_service.cluster import versions
from whisper_service.cluster.outpost import Outpost, Taken
from whisper_service.cluster.versions import Versions
from whisper_service.core.domain import Span
from whisper_service.supervision.link import Exit
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.speech import BatchDone, ChunkInput, Load, Transcribe
from whisper_service.supervision.protocol import decode_command, decode_report, encode

T = TypeVar("T")
HERE = versions.of_this_machine()


def command(number: int) -> bytes:
    return encode(Cancel(job_id=str(number)))


def report(number: int) -> bytes:
    return encode(BatchDone(batch=number, seconds=0.0, audio_s=0.0))


class OutpostMachine(RuleBasedStateMachine):
    """Calls are repeated and come in any order; an answer may be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.outpost, self.links = made()
        self.given = 0  # commands
        self.on_the_way: set[int] = set()  # commands that were not delivered yet
        self.arrived: set[int] = set()
        self.said = 0  # reports
        self.asked: list[int] = [0]  # what the other side asked for at any time
        self.taken: list[bytes] = []  # what the other side has
        self.code: int | None = None
        self.told: Exit | None = None

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(call)

    @rule()
    def start(self) -> None:
        started = self.run(self.outpost.start("entry", HERE))
        assert (started.pid, started.problem) == (7, None)
        assert len(self.links) == 1

    @rule()
    def give_a_command(self) -> None:
        self.on_the_way.add(self.given)
        self.given += 1

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def a_command_comes_or_comes_again(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, self.given - 1))
        self.run(self.outpost.put(number, command(number)))
        self.on_the_way.discard(number)
        self.arrived.add(number)

    @precondition(lambda self: self.links and self.code is None)
    @rule()
    def the_actor_reports(self) -> None:
        self.links[0].report(report(self.said))
        self.said += 1

    @precondition(lambda self: self.links and self.code is None)
    @rule(code=st.integers(-11, 70))
    def the_actor_ends(self, code: int) -> None:
        self.code = code
        self.links[0].end(Exit(code, "last words"))

    @rule(answered=st.booleans())
    def take(self, answered: bool) -> None:
        self.asked.append(len(self.taken))
        answer = self.run(self.outpost.take(len(self.taken), 0.0))
        if answered:
            self.accept(answer)

    @rule(data=st.data())
    def a_call_for_reports_comes_late_and_nobody_waits_for_its_answer(self, data: st.DataObject) -> None:
        self.run(self.outpost.take(data.draw(st.sampled_from(self.asked)), 0.0))

    def accept(self, answer: Taken) -> None:
        assert answer.first <= len(self.taken)
        self.taken += answer.reports[len(self.taken) - answer.first :]
        self.told = answer.exit or self.told

    @invariant()
    def the_actor_has_every_command_up_to_the_first_that_is_missing(self) -> None:
        whole = next(number for number in range(self.given + 1) if number not in self.arrived)
        if self.links and self.code is None:
            assert self.links[0].sent == [command(number) for number in range(whole)]
        elif self.links:
            sent = self.links[0].sent
            assert sent == [command(number) for number in range(len(sent))]
            assert len(sent) <= whole

    @invariant()
    def the_other_side_has_every_report_once(self) -> None:
        assert self.taken == [report(number) for number in range(len(self.taken))]
        if self.told is not None:
            assert (len(self.taken), self.told.code) == (self.said, self.code)

    def teardown(self) -> None:
        self.start()
        for number in sorted(self.on_the_way, reverse=True):
            self.run(self.outpost.put(number, command(number)))
        if self.code is None:
            assert len(self.links[0].sent) == self.given
            self.the_actor_ends(0)
        while self.told is None:
            self.take(answered=True)
        self.the_other_side_has_every_report_once()
        self.loop.close()


TestOutpost = OutpostMachine.TestCase
TestOutpost.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


async def started() -> tuple[Outpost, FakeLink]:
    outpost, links = made()
    await outpost.start("entry", HERE)
    return outpost, links[0]


@pytest.mark.anyio
async def test_a_call_for_reports_waits_for_one() -> None:
    outpost, link = await started()
    call = asyncio.ensure_future(outpost.take(0, 60.0))
    await asyncio.sleep(0)
    assert not call.done()
    link.report(report(0))
    assert await call == Taken(0, (report(0),))


@pytest.mark.anyio
async def test_many_reports_come_in_several_answers_and_the_exit_with_the_last() -> None:
    outpost, link = await started()
    count = outposts.AT_MOST + 1
    for number in range(count):
        link.report(report(number))
    link.end(Exit(-9, "killed"))
    first = await outpost.take(0, 0.0)
    assert (len(first.reports), first.exit) == (outposts.AT_MOST, None)
    assert await outpost.take(outposts.AT_MOST, 0.0) == Taken(
        outposts.AT_MOST, (report(count - 1),), Exit(-9, "killed")
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("field", "name"), [("whisper_service", "whisper_service"), ("python", "Python"), ("ray", "Ray")]
)
async def test_a_machine_with_another_version_starts_nothing_and_says_both(field: str, name: str) -> None:
    outpost, links = made()
    values = {"whisper_service": HERE.whisper_service, "python": HERE.python, "ray": HERE.ray, field: "0.1"}
    problem = (await outpost.start("entry", Versions(**values))).problem
    assert links == []
    assert problem is not None
    assert problem.code == "cluster_versions"
    assert problem.params["program"] == name
    assert (problem.params["here"], problem.params["there"]) == ("0.1", getattr(HERE, field))
    assert "0.1" in problem.message
    assert str(getattr(HERE, field) or "not at all") in problem.message


@pytest.mark.anyio
async def test_an_actor_that_cannot_be_started_ends_with_the_reason() -> None:
    def full(*_: object) -> FakeLink:
        raise OSError(28, "No space left on device")

    outpost = Outpost(full)
    assert (await outpost.start("entry", HERE)).problem is None
    ended = (await outpost.take(0, 0.0)).exit
    assert ended is not None
    assert ended.code is None
    assert "No space left on device" in ended.words
    await outpost.put(0, command(0))
    await outpost.signal(10)
    await outpost.kill()


@pytest.mark.anyio
async def test_the_model_must_be_on_the_machine(tmp_path: Path) -> None:
    outpost, link = await started()
    there = Load(model="m", path=str(tmp_path), device="cpu", compute_type="auto", slots=1, threads=1)
    missing = Load(model="n", path=str(tmp_path / "no"), device="cpu", compute_type="auto", slots=1, threads=1)
    await outpost.put(0, encode(missing))
    await outpost.put(1, encode(there))
    assert [decode_command(data) for data in link.sent] == [there]
    fault = decode_report((await outpost.take(0, 0.0)).reports[0])
    assert isinstance(fault, Fault)
    assert (fault.scope, fault.kind, fault.model) == ("model", "model_unavailable", "n")
    assert str(tmp_path / "no") in fault.problem.message


@pytest.mark.anyio
async def test_no_memory_for_sound_is_the_fault_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(name: str) -> int:
        raise OSError(24, "Too many open files")

    outpost, link = await started()
    monkeypatch.setattr("os.memfd_create", full)
    chunk = ChunkInput(job_id="job", span=Span(0, 0, 2, 0.0, 1.0), spool="/spool")
    await outpost.put(0, encode(Transcribe(batch=1, chunks=(chunk,))), [b"\0\0\0\0"])
    ended = (await outpost.take(0, 0.0)).exit
    assert ended is not None
    assert "Too many open files" in (ended.lost or "")
    assert link.sent == []
    assert link.killed == 1
