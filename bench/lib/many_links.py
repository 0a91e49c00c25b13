"""A gateway without a cluster that plays all of its far actors itself. They answer every chunk at once.

The variable BENCH_LINKS says how many actors the one machine of its cluster has room for. So a service can be measured
with a thousand seats on a machine that could never run as many processes.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Final

from bench.lib.actors import Emit, sentences
from whisper_service.core.domain import SAMPLE_RATE
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.link import Exit
from whisper_service.supervision.messages.base import Ready, Shutdown
from whisper_service.supervision.messages.cluster import (
    NODES_EVERY_S,
    ClusterNode,
    Join,
    Kill,
    LinkClosed,
    Nodes,
    Open,
    Opened,
    Pass,
    Passed,
)
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, Load, Loaded, Transcribe
from whisper_service.supervision.protocol import Command, Report, decode_command, encode

LINKS: Final = "BENCH_LINKS"


def run(inbox: Inbox, emit: Emit) -> None:
    """Run the gateway. An entry."""
    emit(Ready(pid=os.getpid(), facts={}))
    commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
    threading.Thread(target=_forward, args=(inbox, commands), daemon=True).start()
    nodes = Nodes((ClusterNode("box", "box", "", cpus=float(os.environ[LINKS])),))
    told_at = 0.0
    joined = False
    while True:
        if joined and time.monotonic() - told_at > NODES_EVERY_S:
            emit(nodes)
            told_at = time.monotonic()
        try:
            command = commands.get(timeout=NODES_EVERY_S / 2)
        except queue.Empty:
            continue
        match command:
            case Shutdown():
                return
            case Join():
                joined = True
            case Open(link=link):
                emit(Opened(link, "box", "box", 0))
                _say(emit, link, Ready(pid=0, facts={"cpus": 1}))
            case Pass(link=link, data=data):
                _play(emit, link, decode_command(data))
            case Kill(link=link):
                emit(LinkClosed(link, Exit(-9)))


def _play(emit: Emit, link: int, command: Command) -> None:
    """Answer as a speech actor."""
    if isinstance(command, Load):
        _say(emit, link, Loaded(model=command.model, device="cpu", compute_type="none", seconds=0.0))
    if not isinstance(command, Transcribe):
        return
    for row in command.chunks:
        text = tuple(sentences(row.span))
        _say(emit, link, ChunkDone(command.batch, row.job_id, row.span.index, text, row.language or "en", None))
    audio_s = sum(row.span.samples for row in command.chunks) / SAMPLE_RATE
    _say(emit, link, BatchDone(batch=command.batch, seconds=audio_s / 100, audio_s=audio_s))


def _say(emit: Emit, link: int, report: Report) -> None:
    emit(Passed(link, encode(report)))


def _forward(inbox: Inbox, commands: queue.SimpleQueue[Command | None]) -> None:
    while True:
        commands.put(inbox.get())
