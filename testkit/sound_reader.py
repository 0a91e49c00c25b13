"""A speech actor without a model: the text of a chunk is a digest of its samples. It tells whether the sound was equal.

The prompt of a batch may ask for a fault: "abort", "hang", or "linger": the batch ends after a minute.
"""

from __future__ import annotations

import os
import signal
import time
from hashlib import sha256

from whisper_service.actors.samples import UnreadableChunk, read_channels
from whisper_service.core.domain import Segment
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.speech import (
    Align,
    Aligned,
    AlignedWord,
    BatchDone,
    ChunkDone,
    ChunkInput,
    Load,
    Loaded,
    Transcribe,
)
from whisper_service.supervision.protocol import Report


def run(inbox: Inbox, emit: Emit) -> None:
    """Run the actor. The entry of the process."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    emit(Ready(pid=os.getpid(), facts={"cpus": 1, "omp_num_threads": threads, "cwd": os.getcwd()}))  # noqa: PTH109
    while not isinstance(command := inbox.get(), Shutdown):
        match command:
            case Load(model=model, device=device):
                emit(Loaded(model=model, device=device, compute_type="none", seconds=0.0))
            case Transcribe():
                _transcribe(command, inbox, emit)
            case Align(spool=spool, span=span, request=request):
                digest = sha256(read_channels(spool, span, 1).tobytes()).digest()
                emit(Aligned(request, (AlignedWord(0.0, 1.0, digest[0] / 255),)))


def _transcribe(command: Transcribe, inbox: Inbox, emit: Emit) -> None:
    if command.prompt == "abort":
        os.write(2, b"terminate called after throwing an instance of 'std::runtime_error'\n")
        os.abort()
    if command.prompt == "hang":
        signal.sigtimedwait(set(), 3600)
    if command.prompt == "linger":
        time.sleep(60)
    for chunk in command.chunks:
        if not inbox.cancelled(chunk.job_id):
            emit(_hear(command.batch, chunk))
    emit(
        BatchDone(batch=command.batch, seconds=0.0, audio_s=sum(chunk.span.samples for chunk in command.chunks) / 16e3)
    )


def _hear(batch: int, chunk: ChunkInput) -> Report:
    span = chunk.span
    try:
        samples = read_channels(chunk.spool, span, chunk.channels or 1)
    except UnreadableChunk as error:
        return Fault("batch", "media", error.problem, batch=batch, job_id=chunk.job_id, index=span.index)
    text = sha256(samples.tobytes()).hexdigest()
    segment = Segment(chunk=span.index, index=0, start=span.start, end=span.end, text=text)
    return ChunkDone(batch=batch, job_id=chunk.job_id, index=span.index, segments=(segment,), language="en")
