"""The media actor: decodes recordings, one at a time, into a spool, a waveform and chunks of speech.

Chunks are reported while the recording is decoded. No Whisper model is loaded, and no file is held in memory. Equal
files give equal spools and equal chunks, so an interrupted decode is simply repeated.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from math import inf
from pathlib import Path
from typing import Final

from whisper_service.actors.media import channels, remarks
from whisper_service.actors.media.chunker import Chunker, ChunkPolicy, policy_for
from whisper_service.actors.media.decoder import Recording
from whisper_service.actors.media.listening_copy import ListeningCopy
from whisper_service.actors.media.resampler import SoundBlock
from whisper_service.actors.media.spool import SpoolFile
from whisper_service.actors.media.time_range import TimeRange
from whisper_service.actors.media.unheard import Unheard
from whisper_service.actors.media.waveform import WaveformFiles
from whisper_service.actors.vad import SpeechDetector
from whisper_service.core.domain import SAMPLE_RATE, Problem, Span
from whisper_service.core.errors import DiskFull, ServiceError
from whisper_service.core.files import is_disk_full
from whisper_service.models.files import file_size
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import FaultKind, classify
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, DecodeProgress, MediaInfo
from whisper_service.supervision.protocol import Report

logger = logging.getLogger(__name__)

PROGRESS_S: Final = 1.0
"""Seconds of work between two `DecodeProgress`."""
NICE: Final = 5
"""The niceness of decoding. Decoding is faster than recognition, so the speech actor comes first on a busy machine."""
SMALL_BYTES: Final = 8 << 20
"""A file up to this size is decoded at normal priority: it takes a second at most, and a caller may wait for it."""
FREE_S: Final = 3600.0
"""Seconds of sound that every file may hold, however small."""
MAX_WAITING: Final = 16
"""Most decoded blocks that wait for speech detection: 8 s of sound."""
BYTES_PER_S: Final = 2 * SAMPLE_RATE


class SpoolMissing(ServiceError):
    """The files for the decoded sound are not on the disk any more."""

    hint = "Find out what removes files from the data directory, then retry the job."


class TooLong(ServiceError):
    """The recording is longer than this service accepts."""

    hint = "Send the recording in parts, or raise media.max_duration_s."


class Inflated(ServiceError):
    """The recording decodes to far more sound than a file of its size can hold."""

    hint = (
        "If this is a real recording, convert it to another format and send the result, or raise media.max_expansion."
    )


def run(inbox: Inbox, emit: Emit) -> None:
    """Decode what is commanded until `Shutdown`. This function is the entry of the process."""
    detector = SpeechDetector()
    low_priority = ThreadPoolExecutor(1, "low priority", initializer=_lower_priority)
    emit(Ready(pid=os.getpid(), facts={"av": version("av"), "onnxruntime": version("onnxruntime")}))
    while not isinstance(command := inbox.get(), Shutdown):
        if not isinstance(command, Decode):
            continue
        if command.limit_s is not None or file_size(Path(command.source)) <= SMALL_BYTES:
            _decode_and_report(command, inbox, emit, detector)
        else:
            low_priority.submit(_decode_and_report, command, inbox, emit, detector).result()


def _lower_priority() -> None:
    """Lower the priority of this thread. Only Linux does so for one thread; other systems do for the whole process."""
    if hasattr(os, "nice"):
        os.nice(NICE)


def _decode_and_report(command: Decode, inbox: Inbox, emit: Emit, detector: SpeechDetector) -> None:
    """Decode one file and emit every report. Every exception becomes a fault; none passes."""
    try:
        for report in decode(command, lambda: inbox.cancelled(command.job_id), detector=detector):
            emit(report)
    except ServiceError as error:
        emit(_fault(command, FaultKind.MEDIA, error.problem))
    except Exception as error:
        if is_disk_full(error):
            emit(_fault(command, FaultKind.DISK_FULL, DiskFull().problem))
            return
        facts = {"action": "decode_failed", "job": command.job_id}
        logger.exception("decoding failed with an unexpected error", extra=facts)
        diagnosis = classify(f"{type(error).__name__}: {error}")
        emit(_fault(command, diagnosis.kind, diagnosis.problem))


def decode(
    command: Decode,
    cancelled: Callable[[], bool] = lambda: False,
    *,
    policy: ChunkPolicy | None = None,
    detector: SpeechDetector | None = None,
) -> Iterator[Report]:
    """Decode one file and yield `MediaInfo`, `ChunkFound` for each chunk, `DecodeProgress`, and at last `Decoded`.

    Speech is detected in a second thread: FFmpeg and the network take about the same time, and both release the GIL.
    The listening copy follows behind the chunks. The files for samples and waveform must exist. The decode ends without
    `Decoded` when `cancelled()` is true; this is asked after every half second of sound, some milliseconds of work.
    Raises `ServiceError` for problems of the file and `OSError` for problems of the disk.
    """
    detector = detector or SpeechDetector()
    detector.reset()
    with ExitStack() as files:
        recording = files.enter_context(
            Recording(command.source, track=command.track, language=command.language, name=command.name)
        )
        try:
            apart = channels.channels_of(command) if command.apart else 0
            spool = files.enter_context(SpoolFile(command.spool))
            waveform = files.enter_context(WaveformFiles(command.peaks, command.fine_peaks))
            by_channel = files.enter_context(SpoolFile(command.apart)) if apart else None
        except FileNotFoundError as error:
            if cancelled():  # the files were deleted with the job
                return
            raise SpoolMissing(detail=str(error)) from error
        yield _info(command, recording, apart)
        _check_length(recording.duration_s, command)
        max_s = _max_seconds(command)
        part = TimeRange(command.begin_s, command.end_s, recording.start_s)
        length_s = part.length_s(recording.duration_s)
        chunker = Chunker(policy or policy_for(length_s, brief=command.limit_s is not None), part.start_s)
        detection = files.enter_context(ThreadPoolExecutor(1, "speech detection"))
        copy = files.enter_context(ListeningCopy(command, recording))
        waiting: deque[Future[list[float]]] = deque()  # probabilities of the blocks, in order
        unheard = Unheard()
        chunks: list[Span] = []

        def found(spans: Iterable[Span]) -> Iterator[Report]:
            for span in spans:
                chunks.append(span)
                spool.flush()
                if by_channel is not None:
                    by_channel.flush()
                yield ChunkFound(job_id=command.job_id, span=span)
                copy.follow(part.samples)

        limited = False
        due = time.monotonic() + PROGRESS_S
        for block in _blocks(command, recording, apart):
            if cancelled():
                return
            if isinstance(block, MediaInfo):
                yield block
                continue
            _check_length(recording.position_s, command)
            if recording.samples > max_s * SAMPLE_RATE:
                raise Inflated(at_s=round(recording.position_s, 1))
            waveform.feed(block.mono)
            if len((inside := part.inside(block)).mono):
                if by_channel is not None:
                    by_channel.write(channels.interleaved(inside, apart))
                spool.write(inside.mono.tobytes())
                unheard.feed(inside.mono)
                waiting.append(detection.submit(detector.feed, inside.mono))
            while waiting and (waiting[0].done() or len(waiting) > MAX_WAITING):
                yield from found(chunker.feed(waiting.popleft().result()))
            if (now := time.monotonic()) >= due:
                due = now + PROGRESS_S
                waveform.flush()
                yield DecodeProgress(job_id=command.job_id, position_s=recording.position_s)
            if limited := part.is_over or _is_enough(recording.position_s, command):
                break  # behind the last block: the last chunk reaches to the end of what was written
        part.check()
        waiting.append(detection.submit(detector.finish))
        for probabilities in waiting:
            yield from found(chunker.feed(probabilities.result()))
        yield from found(chunker.finish(part.samples))
        waveform.finish()
        if cancelled():
            return
        waveform.seal()
        if by_channel is not None:
            by_channel.seal()
        spool.seal()  # last: a complete spool says that everything was written
        copy.follow(part.samples, last=True)
        while not copy.ended(PROGRESS_S):
            if cancelled():
                return
            yield DecodeProgress(job_id=command.job_id, position_s=recording.position_s)
        copied = copy.result()
        yield Decoded(
            job_id=command.job_id,
            duration_s=min(recording.position_s, command.end_s or inf),
            warnings=(
                *_warnings(recording, None if limited else unheard.remark(chunks, part.start_s), limited),
                *channels.remark(command, apart),
                *([copied.remark] if copied.remark is not None else []),
            ),
            playable=copied.playable,
            copy_bytes=copied.bytes,
        )


def _info(command: Decode, recording: Recording, apart: int) -> MediaInfo:
    duration_s = recording.duration_s
    if duration_s is not None and command.end_s is not None:
        duration_s = min(duration_s, command.end_s)
    return MediaInfo(command.job_id, duration_s, recording.tracks, apart)


def _blocks(command: Decode, recording: Recording, apart: int) -> Iterator[SoundBlock | MediaInfo]:
    """Yield the blocks, and what is known of the tracks whenever another track takes the place of one without sound."""
    told = recording.tracks
    try:
        for block in recording.blocks_by_channel():
            if recording.tracks != told:
                told = recording.tracks
                yield _info(command, recording, apart)
            yield block
    except ServiceError:
        if recording.tracks != told:
            yield _info(command, recording, apart)
        raise


def _is_enough(seconds: float, command: Decode) -> bool:
    return command.limit_s is not None and seconds >= command.limit_s


def _check_length(seconds: float | None, command: Decode) -> None:
    if seconds is not None and command.max_duration_s is not None and seconds > command.max_duration_s:
        raise TooLong(limit_s=command.max_duration_s)


def _max_seconds(command: Decode) -> float:
    """Return how many seconds of sound a file of this size may hold.

    Silence compresses well, but hours of it in kilobytes are an attack on the disk.
    """
    if command.max_expansion is None:
        return inf
    return max(FREE_S, Path(command.source).stat().st_size * command.max_expansion / BYTES_PER_S)


def _warnings(recording: Recording, unheard: Problem | None, limited: bool) -> tuple[Problem, ...]:
    """Return what was not read or not heard. A `limited` decode did not come to the end."""
    if limited:
        return tuple(remarks.on_tracks(recording))
    return (*remarks.on_recording(recording), *([unheard] if unheard is not None else []))


def _fault(command: Decode, kind: FaultKind, problem: Problem) -> Fault:
    return Fault(scope="media", kind=kind.value, problem=problem, job_id=command.job_id)
