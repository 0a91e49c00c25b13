"""The messages that every actor knows, and what a message is. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from whisper_service.core.domain import Problem


class Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A typed message."""


class Cancel(Message, frozen=True):
    """Drop the chunks or the decode of a job. Chunks that the model works on still end in a report."""

    job_id: str


class Shutdown(Message, frozen=True):
    """Exit now, without finishing any work."""


class Ready(Message, frozen=True):
    """The entry is imported and takes commands."""

    pid: int
    facts: dict[str, Any] = {}  # versions, devices, compute types: what only the actor can know


class Fault(Message, frozen=True):
    """A failure. The actor lives on, unless the fault is `fatal`: then it exits at once.

    A fault of scope "batch" with an `index` concerns that chunk alone, and a repetition does not help; the others go
    on. Without an `index` the fault ends the batch: the chunks that were not reported have no text.
    """

    scope: str  # "model" | "batch" | "alignment" | "draft" | "media" | "download" | "speakers" | "actor"
    kind: str  # a `faults.FaultKind`
    problem: Problem
    batch: int | None = None
    job_id: str | None = None
    index: int | None = None  # of the chunk
    fatal: bool = False
    model: str | None = None  # of a download
    request: int | None = None  # of an alignment, or of a draft
