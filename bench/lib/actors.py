"""Actors of the benchmarks, with the real boot and pipes. `testkit.serve` is told their names.

`scripted` answers every chunk at once with as much text as that much speech has, so that hours of it take minutes.
`paced` and `script` need no recording at all: the file is JSON, {"chunks": N, "interval_s": SECONDS}. `journalled` is
the real speech actor that also writes down which chunks it was given, a line `monotonic-seconds job chunk` each, to the
file that BENCH_JOURNAL names.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from whisper_service.core.domain import SAMPLE_RATE, Segment, Span, Word
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.messages.base import Ready, Shutdown
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, MediaInfo
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, ChunkInput, Load, Loaded, Transcribe
from whisper_service.supervision.protocol import Command, Report

Emit = Callable[[Report], None]
JOURNAL = "BENCH_JOURNAL"
WORDS_PER_S = 2.5
WORDS_PER_SEGMENT = 12
CHUNK_S = 25.0


def scripted(inbox: Inbox, emit: Emit) -> None:
    """Run a speech actor without a model."""
    _speak(inbox, emit, lambda row: 0.0)


def paced(inbox: Inbox, emit: Emit) -> None:
    """Run a speech actor without a model: one chunk every `interval_s` seconds, as the script in the spool says."""
    _speak(inbox, emit, lambda row: float(json.loads(Path(row.spool).read_bytes())["interval_s"]))


def steady(inbox: Inbox, emit: Emit) -> None:
    """Run a speech actor without a model: ten chunks a second."""
    _speak(inbox, emit, lambda row: 0.1)


def script(inbox: Inbox, emit: Emit) -> None:
    """Run a media actor whose recordings are scripts. It finds chunks five times as fast as they are recognised."""
    _find(inbox, emit, sound=False)


def script_with_sound(inbox: Inbox, emit: Emit) -> None:
    """Do as `script`, with a spool that is as long as the recording would be: silence behind the script."""
    _find(inbox, emit, sound=True)


def _find(inbox: Inbox, emit: Emit, *, sound: bool) -> None:
    emit(Ready(pid=os.getpid(), facts={}))
    while not isinstance(command := inbox.get(), Shutdown):
        if not isinstance(command, Decode):
            continue
        data = Path(command.source).read_bytes()
        Path(command.spool).write_bytes(data)
        play = json.loads(data)
        count = int(play["chunks"])
        if sound:
            os.truncate(command.spool, int(2 * SAMPLE_RATE * CHUNK_S * count))
        emit(MediaInfo(job_id=command.job_id, duration_s=count * CHUNK_S))
        for index in range(count):
            time.sleep(play["interval_s"] / 5)
            start = index * CHUNK_S
            span = Span(index, int(start * SAMPLE_RATE), int(CHUNK_S * SAMPLE_RATE), start, start + CHUNK_S)
            emit(ChunkFound(job_id=command.job_id, span=span))
        emit(Decoded(job_id=command.job_id, duration_s=count * CHUNK_S))


def journalled(inbox: Inbox, emit: Emit) -> None:
    """Run the real speech actor behind a witness."""
    from whisper_service.actors.speech import main as speech

    speech.run(_Witness(inbox), emit)  # type: ignore[arg-type]  # the witness does what the actor asks of an inbox


class _Witness:
    """An inbox that writes down each chunk before the actor gets it, so that no kill can hide one."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._journal = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def get(self, timeout: float | None = None) -> Command | None:
        command = self._inbox.get() if timeout is None else self._inbox.get(timeout)
        if isinstance(command, Transcribe):
            now = time.monotonic()
            os.write(
                self._journal, "".join(f"{now} {row.job_id} {row.span.index}\n" for row in command.chunks).encode()
            )
        return command

    def cancelled(self, job_id: str) -> bool:
        return self._inbox.cancelled(job_id)


def _speak(inbox: Inbox, emit: Emit, delay: Callable[[ChunkInput], float]) -> None:
    emit(Ready(pid=os.getpid(), facts={"cpus": 1}))
    while not isinstance(command := inbox.get(), Shutdown):
        if isinstance(command, Load):
            emit(Loaded(model=command.model, device="cpu", compute_type="none", seconds=0.0))
        if not isinstance(command, Transcribe):
            continue
        began = time.monotonic()
        for row in command.chunks:
            if (seconds := delay(row)) > 0:
                time.sleep(seconds)
            emit(
                ChunkDone(
                    batch=command.batch,
                    job_id=row.job_id,
                    index=row.span.index,
                    segments=tuple(sentences(row.span)),
                    language=row.language or "en",
                    language_probability=None if row.language else 0.99,
                )
            )
        seconds = sum(row.span.samples for row in command.chunks) / SAMPLE_RATE
        emit(BatchDone(batch=command.batch, seconds=time.monotonic() - began, audio_s=seconds))


def sentences(span: Span) -> list[Segment]:
    """Return as many words as people say in that time, each with its place."""
    step = 1 / WORDS_PER_S
    count = max(1, int((span.end - span.start) * WORDS_PER_S))
    words = [Word(span.start + n * step, span.start + (n + 1) * step, " words", 0.87) for n in range(count)]
    groups = [words[at : at + WORDS_PER_SEGMENT] for at in range(0, count, WORDS_PER_SEGMENT)]
    return [
        Segment(
            chunk=span.index,
            index=number,
            start=group[0].start,
            end=group[-1].end,
            text="words" + " words" * (len(group) - 1),
            words=tuple(group),
            language="en",
            avg_logprob=-0.21,
            no_speech_prob=0.02,
            compression_ratio=1.4,
        )
        for number, group in enumerate(groups)
    ]
