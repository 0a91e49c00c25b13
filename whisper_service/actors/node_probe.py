"""The actor with which `doctor` tries the way to a machine of a cluster.

It says what a speech actor would find there. The text of a chunk is a digest of its sound, so it tells whether the
sound arrived as it was sent.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

from whisper_service.core.domain import Segment
from whisper_service.host import memory
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.messages.base import Ready, Shutdown
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, Transcribe


def run(inbox: Inbox, emit: Emit) -> None:
    """Run the actor. The entry of the process."""
    emit(Ready(pid=os.getpid(), facts=_facts()))
    while not isinstance(command := inbox.get(), Shutdown):
        if isinstance(command, Transcribe):
            for chunk in command.chunks:
                span = chunk.span
                text = sha256(Path(chunk.spool).read_bytes()).hexdigest()
                segment = Segment(chunk=span.index, index=0, start=span.start, end=span.end, text=text)
                emit(ChunkDone(command.batch, chunk.job_id, span.index, (segment,), language=""))
            emit(BatchDone(batch=command.batch, seconds=0.0, audio_s=0.0))


def _facts() -> dict[str, Any]:
    """Return the facts of a speech actor, or as `broken` why there can be none, and the bytes of free memory."""
    free = {"memory_free": memory.free()}  # None: unknown
    try:
        from whisper_service.actors.speech import cuda_libraries

        cuda_libraries.preload()
        from whisper_service.actors.speech import loaded_model
    except Exception as error:  # a package is missing, or its libraries cannot be loaded
        return free | {"broken": f"{type(error).__name__}: {error}"}
    return free | loaded_model.facts()
