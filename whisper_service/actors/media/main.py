"""The media actor: turns any recording into PCM in a spool, a waveform, and chunks of speech - while it decodes.

Owns the order of that work and what is reported about it, one file at a time. Never loads Whisper; never holds a file in
memory. Equal files give equal spools and equal chunks, so a decode that was cut off is simply done again.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Final

from whisper_service.actors.media.chunker import Chunker, ChunkPolicy, policy_for
from whisper_service.actors.media.decoder import Recording
from whisper_service.actors.media.spool import SpoolFile
from whisper_service.actors.media.waveform import Waveform
from whisper_service.actors.vad import SpeechDetector
from whisper_service.core.domain import SAMPLE_RATE, Problem, Span
from whisper_service.core.errors import DiskFull, ServiceError
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import FaultKind, classify
from whisper_service.supervision.protocol import (
    ChunkFound,
    Decode,
    Decoded,
    DecodeProgress,
    Fault,
    MediaInfo,
    Ready,
    Report,
    Shutdown,
)

logger = logging.getLogger(__name__)

PROGRESS_S: Final = 1.0
"""Seconds of work between two `DecodeProgress`."""
NICE: Final = 5
"""Decoding runs ahead of recognition anyhow; on a busy machine the cores go to the speech actor first."""
SHORT_BYTES: Final = 8 << 20
"""A file up to this size is read at full speed: it takes a second at most, and somebody may wait for its text."""
FREE_S: Final = 3600.0
"""Seconds of sound that any file may hold, however small."""
AHEAD: Final = 16
"""Blocks that are decoded and not yet listened to, at most: 8 s of sound."""
BYTES_PER_S: Final = 2 * SAMPLE_RATE
SHORT_S: Final = 1.0
SHORT_SHARE: Final = 0.02
"""A file that ends this many seconds, and this share of its length, before its stated end was cut off."""


class SpoolMissing(ServiceError):
    """The files for the decoded sound are not on the disk any more."""

    code = "spool_missing"
    hint = "Find out what removes files from the data directory, then retry the job."


class TooLong(ServiceError):
    """The recording is longer than this service accepts."""

    code = "too_long"
    hint = "Send it in parts, or raise media.max_duration_s."


class Inflated(ServiceError):
    """The recording unpacks to far more sound than a file of its size can hold."""

    code = "inflated"
    hint = "If it is a real recording, convert it to another format and send that, or raise media.max_expansion."


def run(inbox: Inbox, emit: Emit) -> None:
    """The entry of the process: decode what is asked for until `Shutdown`."""
    detector = SpeechDetector()
    aside = ThreadPoolExecutor(1, "aside", initializer=_step_back)
    emit(Ready(pid=os.getpid(), facts={"av": version("av"), "onnxruntime": version("onnxruntime")}))
    while not isinstance(command := inbox.get(), Shutdown):
        if not isinstance(command, Decode):
            continue
        if command.limit_s is not None or _bytes(command.source) <= SHORT_BYTES:
            _work(command, inbox, emit, detector)
        else:
            aside.submit(_work, command, inbox, emit, detector).result()


def _step_back() -> None:
    """Leave the cores to others. Linux counts this for the thread alone; elsewhere the whole process steps back."""
    if hasattr(os, "nice"):
        os.nice(NICE)


def _bytes(source: str) -> int:
    try:
        return Path(source).stat().st_size
    except OSError:  # whoever opens it says why
        return 0


def _work(command: Decode, inbox: Inbox, emit: Emit, detector: SpeechDetector) -> None:
    """Decode one file and report, whatever happens: one of the three borders where nothing may pass."""
    try:
        for report in decode(command, lambda: inbox.cancelled(command.job_id), detector=detector):
            emit(report)
    except ServiceError as error:
        emit(_fault(command, FaultKind.MEDIA, error.problem))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            emit(_fault(command, FaultKind.DISK_FULL, DiskFull().problem))
        else:
            _unexpected(command, emit, error)
    except Exception as error:
        _unexpected(command, emit, error)


def decode(
    command: Decode,
    cancelled: Callable[[], bool] = lambda: False,
    *,
    policy: ChunkPolicy | None = None,
    detector: SpeechDetector | None = None,
) -> Iterator[Report]:
    """Decode one file, yielding `MediaInfo`, `ChunkFound`s, `DecodeProgress`, and at last `Decoded`.

    Speech is looked for in a thread of its own: FFmpeg and the network take about as long as each other, and both let go of the
    interpreter. The files for samples and waveform are there already. Ends without `Decoded` once `cancelled()` is true; it is
    asked every half second of sound, some milliseconds of work. Raises a `ServiceError` for what is wrong with the file and
    `OSError` for what is wrong with the disk.
    """
    detector = detector or SpeechDetector()
    detector.reset()
    peaks = Waveform()
    with ExitStack() as files:
        recording = files.enter_context(Recording(command.source))
        try:
            spool, waveform = (files.enter_context(SpoolFile(path)) for path in (command.spool, command.peaks))
        except FileNotFoundError as error:
            if cancelled():  # they went with the job
                return
            raise SpoolMissing(detail=str(error)) from error
        yield MediaInfo(
            job_id=command.job_id, duration_s=recording.duration_s, format=recording.format, codec=recording.codec
        )
        _check_length(recording.duration_s, command)
        most_s = _most(command)
        chunker = Chunker(
            policy or policy_for(recording.duration_s, brief=command.limit_s is not None), recording.start_s
        )
        listening = files.enter_context(ThreadPoolExecutor(1, "listening"))
        heard: deque[Future[list[float]]] = deque()
        chunks = 0

        def found(spans: Iterable[Span]) -> Iterator[Report]:
            nonlocal chunks
            for span in spans:
                chunks += 1
                spool.flush()
                yield ChunkFound(job_id=command.job_id, span=span)

        limited = False
        due = time.monotonic() + PROGRESS_S
        for block in recording.blocks():
            if cancelled():
                return
            if limited := command.limit_s is not None and recording.position_s >= command.limit_s:
                break
            _check_length(recording.position_s, command)
            if recording.samples > most_s * SAMPLE_RATE:
                raise Inflated(at_s=round(recording.position_s, 1))
            spool.write(block.data)
            waveform.write(peaks.feed(block))
            heard.append(listening.submit(detector.feed, block))
            while heard and (heard[0].done() or len(heard) > AHEAD):
                yield from found(chunker.feed(heard.popleft().result()))
            if (now := time.monotonic()) >= due:
                due = now + PROGRESS_S
                waveform.flush()
                yield DecodeProgress(job_id=command.job_id, position_s=recording.position_s)
        heard.append(listening.submit(detector.finish))
        for probabilities in heard:
            yield from found(chunker.feed(probabilities.result()))
        yield from found(chunker.finish(recording.samples))
        waveform.write(peaks.finish())
        if cancelled():
            return
        waveform.seal()
        spool.seal()
        yield Decoded(
            job_id=command.job_id,
            duration_s=recording.position_s,
            chunks=chunks,
            warning=None if limited else _warning(recording),
        )


def spans(source: str, policy: ChunkPolicy | None = None) -> Iterator[Span]:
    """The chunks of a file, without writing anything."""
    detector = SpeechDetector()
    with Recording(source) as recording:
        chunker = Chunker(policy or policy_for(recording.duration_s), recording.start_s)
        for block in recording.blocks():
            yield from chunker.feed(detector.feed(block))
        yield from chunker.feed(detector.finish())
        yield from chunker.finish(recording.samples)


def _check_length(seconds: float | None, command: Decode) -> None:
    if seconds is not None and command.max_duration_s is not None and seconds > command.max_duration_s:
        raise TooLong(limit_s=command.max_duration_s)


def _most(command: Decode) -> float:
    """Seconds of sound that a file of this size may hold: silence packs well, but hours of it in kilobytes are meant to fill disks."""
    if command.max_expansion is None:
        return math.inf
    return max(FREE_S, Path(command.source).stat().st_size * command.max_expansion / BYTES_PER_S)


def _warning(recording: Recording) -> Problem | None:
    """What the user should know about a file that could be read, but not as it should."""
    end = recording.position_s
    if recording.missing_s > max(SHORT_S, SHORT_SHARE * (end + recording.missing_s)):
        return Problem(
            code="truncated",
            message=f"The file ends {recording.missing_s:.0f} seconds before the length it states.",
            hint="Everything up to there is transcribed. If the original is longer, send it again.",
            params={"at_s": round(end, 3), "missing_s": round(recording.missing_s, 3)},
        )
    if recording.damaged:
        return Problem(
            code="damaged",
            message=f"Parts of the file are damaged; {recording.damaged} packets were skipped.",
            hint="The rest is transcribed. If there is a better copy, send that.",
            params={"packets": recording.damaged},
        )
    return None


def _fault(command: Decode, kind: FaultKind, problem: Problem) -> Fault:
    return Fault(scope="media", kind=kind.value, problem=problem, job_id=command.job_id)


def _unexpected(command: Decode, emit: Emit, error: Exception) -> None:
    logger.exception("decoding failed", extra={"action": "decode_failed", "job": command.job_id})
    diagnosis = classify(f"{type(error).__name__}: {error}")
    emit(_fault(command, diagnosis.kind, diagnosis.problem))
