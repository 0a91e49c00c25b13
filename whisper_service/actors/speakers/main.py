"""The speakers actor: hears the voices of chunks, and names the speakers of a job. One command at a time.

What it answers is a function of the command and of the files that the command names. So a command can be given again,
to another process, in any order.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import version
from pathlib import Path
from typing import Final

from whisper_service.actors.samples import UnreadableChunk, read_samples
from whisper_service.actors.speakers.chunk_voices import BadVoices, decode, encode
from whisper_service.actors.speakers.clustering import HowMany
from whisper_service.actors.speakers.labels import label
from whisper_service.actors.speakers.listener import Listener
from whisper_service.core.domain import SAMPLE_RATE, Problem
from whisper_service.core.errors import ModelBroken, ModelUnavailable
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.faults import Diagnosis, FaultKind, classify
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.speakers import (
    Assign,
    Assigned,
    AssignedSpeaker,
    AssignedTurns,
    Heard,
    Listen,
)
from whisper_service.supervision.protocol import Report

logger = logging.getLogger(__name__)

NICE: Final = 5
"""The niceness of the process. Text comes first on a busy machine, speakers follow."""


def run(inbox: Inbox, emit: Emit) -> None:
    """Answer commands until `Shutdown`. This function is the entry of the process."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    listeners = Listeners()
    emit(Ready(pid=os.getpid(), facts={"onnxruntime": version("onnxruntime"), "numpy": version("numpy")}))
    while not isinstance(command := inbox.get(), Shutdown):
        if isinstance(command, (Listen, Assign)) and not inbox.cancelled(command.job_id):
            emit(answer(command, listeners))


class Listeners:
    """Keeps the networks that were used last, so that they are loaded once."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._listener: Listener | None = None

    def of(self, folder: Path) -> Listener:
        """Return the listener with the networks in a folder. Raises `ModelUnavailable` and `ModelBroken`."""
        if self._listener is None or self._folder != folder:
            self._listener = None  # the next networks need its memory
            self._listener, self._folder = Listener(folder), folder
        return self._listener


def answer(command: Listen | Assign, listeners: Listeners) -> Report:
    """Return the report that answers a command. Every exception becomes a fault; none passes."""
    try:
        return heard(command, listeners) if isinstance(command, Listen) else assigned(command)
    except UnreadableChunk as error:
        return _fault(command, Diagnosis(FaultKind.MEDIA, error.problem))
    except ModelUnavailable as error:
        return _fault(command, Diagnosis(FaultKind.MODEL_UNAVAILABLE, error.problem))
    except ModelBroken as error:
        return _fault(command, Diagnosis(FaultKind.MODEL_BROKEN, error.problem))
    except BadVoices as error:
        return _fault(command, Diagnosis(FaultKind.UNKNOWN, _unreadable(error)))
    except Exception as error:
        logger.exception("the speakers failed with an unexpected error", extra={"action": "speakers_failed"})
        return _fault(command, classify(f"{type(error).__name__}: {error}"))


def heard(command: Listen, listeners: Listeners) -> Heard:
    """Hear the voices of a chunk."""
    listener = listeners.of(Path(command.networks))
    voices = listener.hear(read_samples(command.spool, command.span), command.span, command.segments)
    audio_s = command.span.samples / SAMPLE_RATE
    return Heard(job_id=command.job_id, index=command.span.index, voices=encode(voices), audio_s=audio_s)


def assigned(command: Assign) -> Assigned:
    """Name the speakers of a job. Raises `BadVoices`."""
    labels = label({index: decode(data) for index, data in command.voices}, HowMany(command.least, command.most))
    return Assigned(
        job_id=command.job_id,
        request=command.request,
        speakers=tuple(
            AssignedSpeaker(speaker.name, round(speaker.seconds, 3), speaker.centroid.astype("<f4").tobytes())
            for speaker in labels.speakers
        ),
        segments=tuple(AssignedTurns(row.chunk, row.segment, row.turns) for row in labels.segments),
    )


def _unreadable(error: BadVoices) -> Problem:
    return Problem(
        "voices_unreadable",
        "The stored voices of this recording cannot be read: they are damaged, or of another version of the service.",
        "Transcribe the recording again, with speakers.",
        {"detail": str(error)},
    )


def _fault(command: Listen | Assign, diagnosis: Diagnosis) -> Fault:
    return Fault(
        scope="speakers",
        kind=diagnosis.kind.value,
        problem=diagnosis.problem,
        job_id=command.job_id,
        index=command.span.index if isinstance(command, Listen) else None,
    )
