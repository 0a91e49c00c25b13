"""The speakers actor in a process of its own, with the real networks, on speech of two real people."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest

from testkit.actor_process import ActorProcess
from testkit.sounds import RATE, Samples, hiss, join
from testkit.speaker_networks import NoNetworks, speaker_networks
from testkit.two_people import HERE, NOT_HERE, clip
from whisper_service.actors.speakers.chunk_voices import decode, encode
from whisper_service.actors.speakers.embedding import WIDTH
from whisper_service.actors.speakers.main import NICE
from whisper_service.core.domain import Segment, Span, Word
from whisper_service.models.speaker_networks import EMBEDDING, SEGMENTATION
from whisper_service.supervision.messages.base import Cancel, Fault, Ready, Shutdown
from whisper_service.supervision.messages.speakers import Assign, Assigned, Heard, Listen
from whisper_service.supervision.protocol import Report

ENTRY = "whisper_service.actors.speakers.main:run"
pytestmark = pytest.mark.skipif(not HERE, reason=NOT_HERE)

CONVERSATION = (
    (("A", "demo-abouttotry"), ("B", "0870"), ("A", "vm-options"), ("B", "0890")),
    (("B", "0880"), ("B", "0920"), ("A", "dir-intro"), ("B", "0930"), ("A", "demo-nogo")),
    (("A", "demo-moreinfo"),),
)
"""By chunk: who speaks, and which clip."""
PAUSE_S = 0.4


class Recording(NamedTuple):
    """A spool, its chunks and their text."""

    spool: Path
    spans: list[Span]
    segments: list[tuple[Segment, ...]]


@pytest.fixture(scope="module")
def networks() -> Path:
    try:
        return speaker_networks()
    except NoNetworks as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    sounds: list[Samples] = []
    spans: list[Span] = []
    texts: list[tuple[Segment, ...]] = []
    at = 0
    for index, clips in enumerate(CONVERSATION):
        start, segments = at, []
        for place, (_, name) in enumerate(clips):
            sound = clip(name)
            sounds += [sound, hiss(PAUSE_S)]
            segments.append(segment(index, place, at / RATE, len(sound) / RATE))
            at += len(sound) + len(sounds[-1])
        spans.append(Span(index, start, at - start, start / RATE, at / RATE))
        texts.append(tuple(segments))
    spool = tmp_path_factory.mktemp("speakers") / "spool"
    spool.write_bytes(join(*sounds).astype("<i2").tobytes())
    assert all(span.samples < 30 * RATE for span in spans)
    return Recording(spool, spans, texts)


def segment(chunk: int, index: int, start: float, seconds: float) -> Segment:
    """A segment of four words a second."""
    count = max(1, round(4 * seconds))
    edges = [start + seconds * n / count for n in range(count + 1)]
    words = tuple(Word(a, b, " word", 1.0) for a, b in pairwise(edges))
    return Segment(chunk, index, start, start + seconds, "word", words)


def listen(recording: Recording, networks: Path, index: int, job_id: str = "job") -> Listen:
    return Listen(job_id, recording.spans[index], str(recording.spool), str(networks), recording.segments[index])


@pytest.fixture
def actor(tmp_path: Path) -> Iterator[ActorProcess]:
    with ActorProcess(ENTRY, tmp_path / "actor.log") as actor:
        actor.expect(Ready)
        yield actor


@pytest.fixture(scope="module")
def heard(recording: Recording, networks: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """The voices of each chunk, heard in order by one process."""
    with ActorProcess(ENTRY, tmp_path_factory.mktemp("actor") / "actor.log") as actor:
        ready = actor.expect(Ready)
        assert ready.facts["onnxruntime"]
        if hasattr(os, "nice"):
            assert psutil.Process(actor.process.pid).nice() >= NICE
        actor.send(*(listen(recording, networks, span.index) for span in recording.spans))
        reports = [actor.expect(Heard) for _ in recording.spans]
    assert [(report.job_id, report.index) for report in reports] == [("job", 0), ("job", 1), ("job", 2)]
    return {report.index: report.voices for report in reports}


def names(report: Report) -> list[str]:
    """The speakers of the segments, of which each must have one."""
    assert isinstance(report, Assigned), report
    assert all(len(segment.turns) == 1 for segment in report.segments), report.segments
    return [segment.turns[0][1] for segment in report.segments]


def test_two_people_are_told_apart(actor: ActorProcess, heard: dict[int, bytes]) -> None:
    actor.send(Assign("job", 7, tuple(heard.items())))
    report = actor.expect(Assigned)
    assert names(report) == [who for clips in CONVERSATION for who, _ in clips]
    assert (report.job_id, report.request) == ("job", 7)
    assert [speaker.name for speaker in report.speakers] == ["A", "B"]
    a, b = (np.frombuffer(speaker.centroid, dtype="<f4") for speaker in report.speakers)
    assert a.shape == (WIDTH,)
    assert float(a @ a) == pytest.approx(1, abs=1e-5)
    assert float(a @ b) < 0.4
    assert [(row.chunk, row.index) for row in report.segments[3:5]] == [(0, 3), (1, 0)]


def test_the_count_of_speakers_is_changed_without_the_recording(actor: ActorProcess, heard: dict[int, bytes]) -> None:
    for request, (least, most, expected) in enumerate([(1, 1, 1), (3, 3, 3), (1, None, 2), (2, 2, 2)]):
        actor.send(Assign("job", request, tuple(heard.items()), least, most))
        report = actor.expect(Assigned)
        assert report.request == request
        assert len(report.speakers) == expected


def test_killed_in_other_order_and_in_other_processes_the_bytes_are_equal(
    recording: Recording, networks: Path, heard: dict[int, bytes], tmp_path: Path
) -> None:
    again: dict[int, bytes] = {}
    order = [2, 0, 1]
    for turn, index in enumerate(order):
        with ActorProcess(ENTRY, tmp_path / f"{turn}.log") as actor:
            actor.expect(Ready)
            actor.send(*(listen(recording, networks, other) for other in (index, *order[:turn])))
            again[index] = actor.expect(Heard).voices  # then the process is killed, with more to do
    assert again == heard
    with ActorProcess(ENTRY, tmp_path / "last.log") as actor:
        actor.expect(Ready)
        rows = list(again.items())
        random.Random(4).shuffle(rows)
        actor.send(Assign("job", 0, tuple(heard.items())), Assign("job", 0, tuple(rows)))
        assert actor.expect(Assigned) == actor.expect(Assigned)


def test_voices_are_heard_where_they_are(recording: Recording, heard: dict[int, bytes]) -> None:
    voices = decode(heard[0])
    assert encode(voices) == heard[0]
    assert [unit.segment for unit in voices.units] == [0, 1, 2, 3]
    first = recording.segments[0][1]
    assert voices.units[1].start == pytest.approx((first.start - recording.spans[0].start) * RATE, abs=1)
    assert voices.units[1].samples == pytest.approx((first.end - first.start) * RATE, abs=1)
    assert all(unit.embedding is not None for unit in voices.units)
    assert {len(window.voices) for window in voices.windows} <= {1, 2}
    assert {len(window.voices) for window in decode(heard[2]).windows} == {1}


def test_noise_has_no_voice_and_nobody_is_named(actor: ActorProcess, networks: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(hiss(12.0).astype("<i2").tobytes())
    actor.send(Listen("job", Span(0, 0, 12 * RATE, 0.0, 12.0), str(spool), str(networks)))
    voices = actor.expect(Heard).voices
    actor.send(Assign("job", 1, ((0, voices),)))
    report = actor.expect(Assigned)
    assert (report.speakers, report.segments) == ((), ())


def test_a_chunk_shorter_than_every_window_is_heard(actor: ActorProcess, recording: Recording, networks: Path) -> None:
    short = Span(0, 0, RATE // 100, 0.0, 0.01)
    actor.send(Listen("job", short, str(recording.spool), str(networks), (segment(0, 0, 0.0, 0.01),)))
    assert len(decode(actor.expect(Heard).voices).units) == 1


def test_a_cancelled_job_is_not_heard(actor: ActorProcess, recording: Recording, networks: Path) -> None:
    actor.send(
        listen(recording, networks, 0, "first"),
        listen(recording, networks, 1, "gone"),
        Assign("gone", 1, ()),
        Cancel("gone"),
        listen(recording, networks, 2, "gone"),
        listen(recording, networks, 2, "last"),
    )
    reports = [actor.expect(Heard) for _ in range(3)]
    assert [(report.job_id, report.index) for report in reports] == [("first", 0), ("gone", 2), ("last", 2)]


def test_faults_name_the_cause_and_the_actor_lives_on(
    actor: ActorProcess, recording: Recording, networks: Path, heard: dict[int, bytes], tmp_path: Path
) -> None:
    good = listen(recording, networks, 2)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / SEGMENTATION.file).write_bytes(b"no network")
    (broken / EMBEDDING.file).write_bytes(b"no network")
    late = Span(0, 0, 900 * RATE, 0.0, 900.0)
    cases = [
        (Listen("job", good.span, good.spool, str(tmp_path / "nowhere")), "model_unavailable", "model_unavailable", 2),
        (Listen("job", good.span, good.spool, str(broken)), "model_broken", "model_broken", 2),
        (Listen("job", good.span, str(tmp_path / "gone"), str(networks)), "media", "spool_missing", 2),
        (Listen("job", late, good.spool, str(networks)), "media", "spool_short", 0),
        (Assign("job", 1, ((0, heard[0]), (1, b"\x09damaged"))), "unknown", "voices_unreadable", None),
    ]
    for command, kind, code, index in cases:
        actor.send(command)
        fault = actor.expect(Fault)
        assert (fault.scope, fault.kind, fault.problem.code) == ("speakers", kind, code)
        assert (fault.job_id, fault.index, fault.fatal) == ("job", index, False)
        assert fault.problem.message
        assert fault.problem.hint
    actor.send(good)
    assert actor.expect(Heard).voices == heard[2]


def test_a_command_to_exit_ends_the_process(actor: ActorProcess) -> None:
    actor.send(Shutdown())
    actor.process.join(30)
    assert actor.process.exitcode == 0
