"""A recording that grows is cut, sample by sample, as the whole file is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from testkit.sounds import Samples, babble, hiss, join, silence
from whisper_service.actors.media import live
from whisper_service.actors.media.chunker import SHORT_S
from whisper_service.actors.media.growing import GrowingRecording
from whisper_service.actors.media.main import decode
from whisper_service.actors.vad import SpeechDetector
from whisper_service.core.domain import Encoding, Playable
from whisper_service.core.errors import NotFound
from whisper_service.core.sound_format import SoundFormat
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.messages.base import Cancel, Fault, Ready, Shutdown
from whisper_service.supervision.messages.media import (
    ChunkFound,
    CutHere,
    Decode,
    Decoded,
    Follow,
    Followed,
    Grow,
    HearAhead,
    HeardAhead,
    SessionState,
)
from whisper_service.supervision.protocol import Command, Report

SPEECH = join(
    hiss(2), babble(14), silence(0.4), babble(9, seed=1), silence(0.7), babble(16, seed=2), silence(4),
    babble(3, seed=3), silence(11), babble(12.3, seed=4), silence(0.9),
)  # fmt: skip
"""73 s: cuts in pauses, between pauses, and after so long a silence that the detector begins anew."""
MONO = SoundFormat(16_000)
FORMS = [MONO, SoundFormat(44_100), SoundFormat(48_000, Encoding.F32LE, 2), SoundFormat(8_000, Encoding.MULAW)]


def raw(form: SoundFormat, sound: Samples = SPEECH) -> bytes:
    """Return the sound in a format. How well it is made does not matter: both ways get the same bytes."""
    length = len(sound) * form.rate // 16_000
    resampled = np.interp(np.arange(length) / form.rate, np.arange(len(sound)) / 16_000, sound.astype(float))
    if form.encoding is Encoding.MULAW:
        level = np.log1p(255 * np.abs(resampled) / 32_768) / np.log1p(255)
        samples = (~(np.where(resampled < 0, 0x80, 0) | (level * 127).astype(int)) & 0xFF).astype(np.uint8)
    else:
        samples = (resampled / 32_768).astype("<f4") if form.encoding is Encoding.F32LE else resampled.astype("<i2")
    return np.repeat(samples, form.channels).tobytes()


class Session:
    """A session whose sound comes in pieces, and the reports about it."""

    def __init__(self, folder: Path, form: SoundFormat, data: bytes) -> None:
        folder.mkdir(exist_ok=True)
        self.form, self.data, self.folder = form, data, folder
        self.reports: list[Report] = []
        self.source = folder / "sound.wav"
        self.source.write_bytes(form.header(None))
        self.written = 0
        for name in ("pcm", "peaks"):
            (folder / name).touch()

    def command(self, **fields: Any) -> Follow:
        spool, peaks = str(self.folder / "pcm"), str(self.folder / "peaks")
        return Follow("job", str(self.source), spool, peaks, self.form, self.written, **fields)

    def write(self, size: int) -> int:
        """Write the next bytes, which may end inside a sample, and return how many whole ones are there."""
        end = min(len(self.data), self.written + size)
        with self.source.open("ab") as file:
            file.write(self.data[self.written : end])
        self.written = end
        return end // self.form.frame_bytes * self.form.frame_bytes

    @property
    def chunks(self) -> list[ChunkFound]:
        return [report for report in self.reports if isinstance(report, ChunkFound)]

    def results(self) -> tuple[list[Any], bytes, bytes, float, tuple[Any, ...]]:
        (end,) = (report for report in self.reports if isinstance(report, Decoded))
        spans = [report.span for report in self.chunks]
        files = (self.folder / "pcm").read_bytes(), (self.folder / "peaks").read_bytes()
        return spans, *files, end.duration_s, end.warnings


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


@pytest.fixture
def follow(detector: SpeechDetector) -> Iterator[Callable[..., GrowingRecording]]:
    """Follow a session until the end of the test."""
    with ExitStack() as opened:

        def begin(session: Session, **fields: Any) -> GrowingRecording:
            return opened.enter_context(closing(GrowingRecording(session.command(**fields), detector)))

        yield begin


def as_file(folder: Path, form: SoundFormat, data: bytes) -> Session:
    """Return what the media actor makes of a finished file with this sound."""
    whole = Session(folder, form, data)
    whole.source.write_bytes(form.header(len(data)) + data)
    spool, peaks = str(folder / "pcm"), str(folder / "peaks")
    whole.reports = list(decode(Decode(job_id="job", source=str(whole.source), spool=spool, peaks=peaks)))
    return whole


def pieces(dice: random.Random, form: SoundFormat) -> Iterator[int]:
    """Yield sizes of appends: single bytes, odd numbers, tenths of a second, seconds."""
    while True:
        yield dice.choice([1, 3, 801, form.rate // 10 * form.frame_bytes, dice.randrange(1, 5 * form.rate)])


@pytest.mark.parametrize("form", FORMS)
def test_a_recording_that_grows_becomes_what_the_whole_file_becomes(
    tmp_path: Path, form: SoundFormat, follow: Callable[..., GrowingRecording]
) -> None:
    data = raw(form)
    session = Session(tmp_path / "live", form, data)
    growing = follow(session)
    for size in pieces(random.Random(7), form):
        growing.grow(session.write(size), ended=session.written == len(data))
        while growing.has_work and session.written < len(data):
            assert not growing.step(session.reports.append)
        if session.written == len(data):
            break
    while not growing.step(session.reports.append):
        pass
    whole = as_file(tmp_path / "file", form, data)
    assert session.results() == whole.results()
    assert len(session.chunks) > 3
    assert len(SPEECH) / 16_000 > SHORT_S  # else a file of known length is cut otherwise


@pytest.mark.parametrize("form", FORMS)
def test_the_newest_sound_is_heard_ahead_and_that_changes_nothing(
    tmp_path: Path, form: SoundFormat, follow: Callable[..., GrowingRecording]
) -> None:
    data = raw(form)
    whole = as_file(tmp_path / "file", form, data)
    expected = np.frombuffer(whole.results()[1], "<i2").astype(float)
    session = Session(tmp_path / "live", form, data)
    growing, dice, heard, lagged = follow(session), random.Random(3), [], 0.0
    while session.written < len(data):
        size = dice.choice([form.frame_bytes, 801, dice.randrange(1, 4 * form.rate * form.frame_bytes)])
        growing.grow(session.write(size), ended=False)
        while growing.has_work:
            growing.step(session.reports.append)
        growing.hear_ahead(session.reports.append)
        report = session.reports.pop()
        assert isinstance(report, HeardAhead)
        come_s = session.written // form.frame_bytes / form.rate
        assert report.position_s == pytest.approx(come_s, abs=0.005)
        lagged = max(lagged, come_s - growing._samples / 16_000)
        samples = np.frombuffer((tmp_path / "live" / "pcm").read_bytes(), "<i2").astype(float)
        begin, end = max(0, round(16_000 * (come_s - 0.7))), round(16_000 * (come_s - 0.01))
        if end - begin > 8_000:
            apart = np.abs(samples[begin:end] - expected[begin:end]).mean()
            assert apart <= 0.05 * np.abs(expected[begin:end]).mean() + 1, "almost what it will be"
        heard.append((report.position_s, report.speaking, report.speech))
    assert len(heard) > 20
    assert lagged > 0.4, "else there is nothing to hear ahead"
    assert any(speaking for _, speaking, _ in heard)
    assert any(speech is not None and position - speech[1] < 0.1 for position, _, speech in heard)
    growing.grow(len(data) // form.frame_bytes * form.frame_bytes, ended=True)
    while not growing.step(session.reports.append):
        pass
    assert session.results() == whole.results()


def test_a_session_that_is_followed_again_gives_the_same_chunks(
    tmp_path: Path, follow: Callable[..., GrowingRecording]
) -> None:
    session = Session(tmp_path, MONO, raw(MONO))
    first = follow(session)
    first.grow(session.write(40 * 32_000), ended=False)
    while first.has_work:
        first.step(session.reports.append)
    before = list(session.chunks)
    first.close()  # the actor was killed
    session.reports.clear()
    session.write(len(session.data))
    again = follow(session, ended=True)
    while not again.step(session.reports.append):
        pass
    assert session.chunks[: len(before)] == before
    assert len(session.chunks) > len(before) > 0
    assert session.results() == as_file(tmp_path / "file", MONO, session.data).results()


def states_of(reports: list[Report]) -> list[SessionState]:
    return [report for report in reports if isinstance(report, SessionState)]


@pytest.mark.parametrize("form", FORMS)
def test_a_session_goes_on_from_any_of_its_states(
    tmp_path: Path, form: SoundFormat, follow: Callable[..., GrowingRecording]
) -> None:
    data = raw(form)
    whole = as_file(tmp_path / "file", form, data)
    session = Session(tmp_path / "live", form, data)
    growing = follow(session)
    growing.grow(session.write(70 * form.rate * form.frame_bytes), ended=False)
    while growing.has_work:
        growing.step(session.reports.append)
    told = list(session.reports)
    session.write(len(data))
    assert len(states_of(told)) >= 3
    for state in states_of(told):
        before = told[: told.index(state)]
        session.reports = [report for report in before if isinstance(report, ChunkFound)]
        again = follow(session, ended=True, state=state.state)
        while not again.step(session.reports.append):
            pass
        assert session.results() == whole.results()
        taken = [report.position_s for report in session.reports if isinstance(report, Followed)]
        assert taken[0] > before[-1].span.end if isinstance(before[-1], ChunkFound) else taken


def test_a_session_goes_on_behind_a_cut(tmp_path: Path, follow: Callable[..., GrowingRecording]) -> None:
    session = Session(tmp_path, MONO, raw(MONO, join(babble(25), silence(4), babble(5, seed=1))))
    growing = follow(session)
    growing.grow(session.write(8 * 32_000), ended=False)
    growing.step(session.reports.append)
    growing.cut(session.reports.append)
    growing.grow(session.write(len(session.data)), ended=True)
    while not growing.step(session.reports.append):
        pass
    undisturbed = session.results()
    state = states_of(session.reports)[0]
    session.reports = session.chunks[:1]
    again = follow(session, ended=True, state=state.state)
    while not again.step(session.reports.append):
        pass
    assert session.results() == undisturbed


@pytest.mark.parametrize("harm", ["no spool", "short peaks", "odd bytes", "another version", "more than there is"])
def test_a_state_that_does_not_fit_is_not_used(
    tmp_path: Path, follow: Callable[..., GrowingRecording], harm: str
) -> None:
    session = Session(tmp_path, MONO, raw(MONO))
    growing = follow(session)
    growing.grow(session.write(len(session.data)), ended=True)
    while not growing.step(session.reports.append):
        pass
    expected, state = session.results(), states_of(session.reports)[-1].state
    match harm:
        case "no spool":
            (tmp_path / "pcm").write_bytes(b"")
        case "short peaks":
            (tmp_path / "peaks").write_bytes(b"xx")
        case "odd bytes":
            state = b"\xc1" + state
        case "another version":
            state = state[:1] + b"\x00" + state[2:]
        case _:
            session.written = 32_000
    again = follow(session, state=state)
    assert again._samples == 0
    if harm != "more than there is":
        session.reports.clear()
        again.grow(session.written, ended=True)
        while not again.step(session.reports.append):
            pass
        assert session.results() == expected


def test_a_chunk_is_told_when_its_samples_are_in_the_spool(
    tmp_path: Path, follow: Callable[..., GrowingRecording]
) -> None:
    session = Session(tmp_path, MONO, raw(MONO))
    growing = follow(session)
    growing.grow(session.write(len(session.data)), ended=True)
    told = 0

    def emit(report: Report) -> None:
        nonlocal told
        if isinstance(report, ChunkFound):
            span, told = report.span, told + 1
            assert (tmp_path / "pcm").stat().st_size >= 2 * (span.start_sample + span.samples)

    while not growing.step(emit):
        pass
    assert told > 3


def test_a_cut_ends_the_chunk_and_loses_no_speech(tmp_path: Path, follow: Callable[..., GrowingRecording]) -> None:
    session = Session(tmp_path, MONO, raw(MONO, join(babble(12), babble(5, seed=1), silence(4))))
    growing = follow(session)
    growing.grow(session.write(8 * 32_000), ended=False)
    growing.step(session.reports.append)
    growing.cut(session.reports.append)
    (first,) = session.chunks
    assert first.span.end == pytest.approx(8.0, abs=0.5)
    growing.cut(session.reports.append)  # nothing was said since
    growing.grow(session.write(len(session.data)), ended=True)
    while not growing.step(session.reports.append):
        pass
    spans = [report.span for report in session.chunks]
    assert spans[1].start_sample == spans[0].start_sample + spans[0].samples
    assert spans[-1].end == pytest.approx(17.5, abs=0.1)


@pytest.mark.parametrize("seconds", [0.0, 0.05, 1.0])
def test_a_session_without_speech_ends(tmp_path: Path, follow: Callable[..., GrowingRecording], seconds: float) -> None:
    session = Session(tmp_path, MONO, silence(seconds).tobytes())
    session.write(len(session.data))
    growing = follow(session, ended=True)
    assert growing.has_work
    assert growing.step(session.reports.append)
    (end,) = session.reports
    assert isinstance(end, Decoded)
    assert end.duration_s == pytest.approx(seconds)
    assert end.playable is (Playable.RECORDING if seconds else None)


@pytest.mark.parametrize("encoding", Encoding)
def test_bytes_that_are_no_sound_harm_nothing(
    tmp_path: Path, follow: Callable[..., GrowingRecording], encoding: Encoding
) -> None:
    """Among them are numbers that are none, and infinite ones."""
    form = SoundFormat(11_025, encoding, 2)
    noise = np.random.default_rng(3).integers(0, 256, 11_025 * form.frame_bytes * 2, np.uint8).tobytes()
    session = Session(tmp_path, form, noise)
    session.write(len(noise))
    growing = follow(session, ended=True)
    while not growing.step(session.reports.append):
        pass
    assert session.results()[3] == pytest.approx(2.0, abs=0.001)


def test_a_file_that_was_cut_is_an_error_and_not_a_shorter_text(
    tmp_path: Path, follow: Callable[..., GrowingRecording]
) -> None:
    session = Session(tmp_path, MONO, raw(MONO))
    growing = follow(session)
    growing.grow(1_000_000, ended=False)
    with pytest.raises(NotFound):
        growing.step(session.reports.append)


# -- the actor -------------------------------------------------------------------------------------------------------


def act(*commands: Command) -> list[Report]:
    """Run the actor on these commands and return what it says."""
    reports: list[Report] = []
    inbox = Inbox()
    for command in commands:
        inbox.put(command)

    def emit(report: Report) -> None:
        reports.append(report)
        if sum(isinstance(report, Decoded | Fault) for report in reports) == sum(
            isinstance(command, Follow) for command in commands
        ):
            inbox.put(Shutdown())

    live.run(inbox, emit)
    return reports


def test_sessions_take_turns_and_a_broken_one_harms_no_other(tmp_path: Path) -> None:
    good, gone = Session(tmp_path / "good", MONO, raw(MONO)), Session(tmp_path / "gone", MONO, b"")
    good.write(len(good.data))
    gone.source.unlink()
    other = Follow("other", str(gone.source), str(gone.folder / "pcm"), str(gone.folder / "peaks"), MONO, 0)
    reports = act(good.command(), other, Grow({"unknown": 5, "job": len(good.data)}, ended=True))
    assert isinstance(reports[0], Ready)
    (fault,) = (report for report in reports if isinstance(report, Fault))
    assert (fault.scope, fault.job_id, fault.problem.code) == ("media", "other", "not_found")
    good.reports = [report for report in reports if not isinstance(report, Ready | Fault)]
    assert good.results() == as_file(tmp_path / "file", MONO, good.data).results()
    taken = [report.sound_bytes for report in reports if isinstance(report, Followed)]
    assert len(taken) > 5
    assert taken == sorted(taken)


def test_a_cut_takes_in_first_what_came_before_it(tmp_path: Path) -> None:
    session = Session(tmp_path, MONO, raw(MONO, join(babble(25), silence(1))))
    session.write(len(session.data))
    reports = act(session.command(), CutHere("job"), Grow({"job": session.written}, ended=True))
    session.reports = reports
    (chunk,) = session.chunks
    assert chunk.span.end == pytest.approx(25.5, abs=0.2)


def test_a_session_is_heard_up_to_what_has_come_by_then(tmp_path: Path) -> None:
    session = Session(tmp_path, MONO, raw(MONO, babble(3.3)))
    session.write(len(session.data))
    reports = act(session.command(), HearAhead("job"), HearAhead("unknown"), Grow({"job": session.written}, ended=True))
    (heard,) = (report for report in reports if isinstance(report, HeardAhead))
    assert (heard.position_s, heard.speaking) == (3.3, True)
    assert heard.speech == (pytest.approx(0, abs=0.5), pytest.approx(3.3, abs=0.04))
    assert [type(report) for report in reports[:3]] == [Ready, Followed, HeardAhead]


def test_a_cancelled_session_is_not_taken_in(tmp_path: Path) -> None:
    session = Session(tmp_path, MONO, raw(MONO))
    session.write(len(session.data))
    inbox, reports = Inbox(), list[Report]()
    for command in (session.command(ended=True), Cancel("job"), Shutdown()):
        inbox.put(command)
    live.run(inbox, reports.append)
    assert [type(report) for report in reports] == [Ready]
