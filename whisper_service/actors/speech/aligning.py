"""Answers an `Align`: when words are said that a person wrote. An alignment has one chunk, and no second try."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from whisper_service.actors.samples import UnreadableChunk, read_samples
from whisper_service.actors.speech.engine import UnalignableText
from whisper_service.core.domain import Problem
from whisper_service.supervision import faults
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.speech import Align, Aligned, AlignedWord

if TYPE_CHECKING:
    from whisper_service.actors.speech.recognition import Recognizer

logger = logging.getLogger(__name__)

UNALIGNABLE: Final = Problem(
    "unalignable",
    "The model cannot say when this text is said.",
    "The words keep times in proportion to their length.",
)


def answer(command: Align, recognizer: Recognizer) -> Aligned | Fault:
    """Return the times of the words, or why there are none. Whatever the libraries raise, the actor goes on."""
    began = time.monotonic()
    try:
        audio = read_samples(command.spool, command.span)
        words = recognizer.align(audio, command.words, command.language, command.task)
    except UnreadableChunk as error:
        return _fault(command, FaultKind.MEDIA, error.problem)
    except UnalignableText:
        return _fault(command, FaultKind.UNKNOWN, UNALIGNABLE)
    except Exception as error:
        diagnosis = faults.classify(f"{type(error).__name__}: {error}")
        if diagnosis.kind is FaultKind.UNKNOWN:
            facts = {"action": "alignment_failed", "request": command.request}
            logger.exception("An alignment failed.", extra=facts)
        return _fault(command, diagnosis.kind, diagnosis.problem)
    found = tuple(AlignedWord(round(word.start, 3), round(word.end, 3), word.probability) for word in words)
    return Aligned(command.request, found, time.monotonic() - began)


def _fault(command: Align, kind: FaultKind, problem: Problem) -> Fault:
    return Fault("alignment", kind.value, problem, request=command.request)
