"""The messages about drafts of live sessions: the newest sound, and the words in it. Pure."""

from __future__ import annotations

import msgspec

from whisper_service.core.domain import Script, Task
from whisper_service.supervision.messages.base import Message


class DraftRow(msgspec.Struct, frozen=True):
    """The newest sound of one session."""

    job_id: str
    spool: str  # raw little-endian int16 PCM, 16 kHz mono
    start_sample: int
    samples: int  # at most one window of the model, with its margin
    prefix: tuple[int, ...] = ()  # tokens of the words that are stable in this sound: the text goes on behind them
    language: str | None = None  # None: detect it on this sound
    task: Task = Task.TRANSCRIBE
    script: Script | None = None  # as in `ChunkInput`


class DraftSound(Message, frozen=True):
    """Find the words in the newest sound of some sessions.

    Answered by `DraftDone` or `Fault(scope="draft")`. A row that is missing in the answer could not be heard. Nothing
    is tried again: the next command has newer sound.
    """

    request: int  # comes back in the answer
    rows: tuple[DraftRow, ...]
    express: bool = False  # every slot has a batch: one of them pauses


class DraftedWord(msgspec.Struct, frozen=True):
    """A word behind the prefix, in seconds from the beginning of the session."""

    start: float
    end: float
    word: str
    tokens: tuple[int, ...]


class DraftedRow(msgspec.Struct, frozen=True):
    """What was heard in one row."""

    job_id: str
    words: tuple[DraftedWord, ...]
    language: str


class DraftDone(Message, frozen=True):
    """The words of the sessions that could be heard."""

    request: int
    rows: tuple[DraftedRow, ...]
    seconds: float  # of work
