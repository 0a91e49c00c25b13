"""Answers a `DraftSound`: reads the newest sound of the sessions, and gives their words the times of the sessions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from whisper_service.actors.samples import UnreadableChunk, read_samples
from whisper_service.actors.speech.drafting import DraftAudio, DraftText
from whisper_service.actors.speech.engine import UnalignableText
from whisper_service.core import chinese
from whisper_service.core.domain import SAMPLE_RATE, Problem, Segment, Span
from whisper_service.supervision import faults
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.drafts import DraftDone, DraftedRow, DraftedWord, DraftRow, DraftSound

if TYPE_CHECKING:
    from whisper_service.actors.speech.recognition import Recognizer

logger = logging.getLogger(__name__)

UNALIGNABLE: Final = Problem(
    "unalignable", "The model cannot tell when words are said.", "The text follows when its chunk is complete."
)


def answer(command: DraftSound, recognizer: Recognizer, cancelled: Callable[[str], bool]) -> DraftDone | Fault:
    """Return the words of the sessions, or why there are none. Whatever the libraries raise, the actor goes on."""
    began = time.monotonic()
    rows: list[DraftRow] = []
    sounds: list[DraftAudio] = []
    for row in command.rows:
        if cancelled(row.job_id):
            continue
        try:
            audio = read_samples(row.spool, _span(row))
        except UnreadableChunk:  # the sound is written again: the next draft finds it
            continue
        rows.append(row)
        sounds.append(DraftAudio(audio, row.prefix, row.language, row.task))
    try:
        texts = recognizer.draft(sounds) if sounds else []
        found = tuple(_row(row, text) for row, text in zip(rows, texts, strict=True))
    except UnalignableText:
        return _fault(command, FaultKind.UNKNOWN, UNALIGNABLE)
    except Exception as error:
        diagnosis = faults.classify(f"{type(error).__name__}: {error}")
        if diagnosis.kind is FaultKind.UNKNOWN:
            logger.exception("A draft failed.", extra={"action": "draft_failed", "request": command.request})
        return _fault(command, diagnosis.kind, diagnosis.problem)
    return DraftDone(command.request, found, time.monotonic() - began)


def _span(row: DraftRow) -> Span:
    start, end = row.start_sample / SAMPLE_RATE, (row.start_sample + row.samples) / SAMPLE_RATE
    return Span(0, row.start_sample, row.samples, start, end)


def _row(row: DraftRow, text: DraftText) -> DraftedRow:
    """Return the words with the times of the session. Chinese is written as in the segments of the job."""
    offset = row.start_sample / SAMPLE_RATE
    words = tuple(
        replace(word, start=round(offset + word.start, 3), end=round(offset + word.end, 3)) for word, _ in text.words
    )
    line = Segment(0, 0, 0.0, 0.0, "".join(word.word for word in words), words, language=text.language)
    (written,) = chinese.written([line], row.script)
    drafted = tuple(
        DraftedWord(word.start, word.end, word.word, tokens)
        for word, (_, tokens) in zip(written.words, text.words, strict=True)
    )
    return DraftedRow(row.job_id, drafted, text.language)


def _fault(command: DraftSound, kind: FaultKind, problem: Problem) -> Fault:
    return Fault("draft", kind.value, problem, request=command.request)
