"""A child's first code: quiet signals, its own log, pipe threads, parent watch; then the entry that was named.

Nothing heavy is imported here. The entry is a function `run(inbox, emit)`; it is named, not imported, by the parent.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import overload

from whisper_service.supervision.faults import UNCAUGHT
from whisper_service.supervision.protocol import Cancel, Command, Decode, Report, Transcribe, decode_command, encode

Emit = Callable[[Report], None]
PINNED = {"OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
"""Environment of every child, whatever its parent was started with. Numpy's BLAS adds up in another order with another number
of threads: the last bits of Whisper's features would depend on the machine, and through them the text. CTranslate2 sets the
number of its own threads itself. ONNX Runtime would write an id of this device into the home directory and look for a server of
its makers to report to."""
FAILED = UNCAUGHT
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Inbox:
    """Commands in order, and cancellations ahead of it.

    A `Cancel` counts at once for everything that came before it, and not for what comes after: a job that is cancelled and
    given again is not cancelled.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[int, Command]] = SimpleQueue()
        self._arrived = 0
        self._taken: dict[str, int] = {}
        self._cancelled: dict[str, int] = {}

    def put(self, command: Command) -> None:
        """Called by the one thread that reads the pipe."""
        self._arrived += 1
        if isinstance(command, Cancel):
            self._cancelled[command.job_id] = self._arrived
        else:
            self._queue.put((self._arrived, command))

    @overload
    def get(self) -> Command: ...

    @overload
    def get(self, timeout: float | None) -> Command | None: ...

    def get(self, timeout: float | None = None) -> Command | None:
        """The next command; None if none came within `timeout` seconds."""
        try:
            number, command = self._queue.get(timeout=timeout)
        except Empty:
            return None
        jobs: tuple[str, ...] = ()
        if isinstance(command, Decode):
            jobs = (command.job_id,)
        elif isinstance(command, Transcribe):
            jobs = tuple(chunk.job_id for chunk in command.chunks)
        for job_id in jobs:
            self._taken[job_id] = number
        return command

    def cancelled(self, job_id: str) -> bool:
        """Whether the work on this job that was taken last should be dropped. Any thread may ask."""
        return self._cancelled.get(job_id, 0) > self._taken.get(job_id, 0)


def child(entry: str, commands: Connection, reports: Connection, log: str) -> None:
    """Run `entry` ("module:function") until it returns, raises, or the parent is gone. Never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides
    _die_with_parent()
    _redirect(log)
    inbox = Inbox()
    threading.Thread(target=_listen, args=(commands, inbox), name="commands", daemon=True).start()
    lock = threading.Lock()

    def emit(report: Report) -> None:
        data = encode(report)
        try:
            with lock:
                reports.send_bytes(data)
        except OSError:  # the parent closed its end or is gone
            os._exit(0)

    os.environ |= PINNED  # read when the library is loaded, by the import below
    module, _, name = entry.partition(":")
    try:
        getattr(import_module(module), name)(inbox, emit)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(FAILED)
    sys.stderr.flush()
    os._exit(0)  # destructors of a model have been seen to hang and to crash


def _die_with_parent() -> None:
    """Have the kernel kill this process when the parent's thread that started it ends, which is the one with the event loop.

    `_listen` notices the end of the parent too, and everywhere, but not in a process that is stopped (SIGSTOP, a debugger).
    """
    if sys.platform != "linux":
        return
    import ctypes

    parent = multiprocessing.parent_process()
    if (
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
        and parent
        and os.getppid() != parent.pid
    ):
        os._exit(0)  # it ended before that was said


def _redirect(log: str) -> None:
    """Everything written to stdout and stderr, by libraries and by the C++ runtime too, goes to the log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.enable(2)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(
            signal.SIGUSR1, file=2, all_threads=True
        )  # the supervisor asks a hung child for its stacks


def _listen(commands: Connection, inbox: Inbox) -> None:
    while True:
        try:
            data = commands.recv_bytes()
        except (EOFError, OSError):
            os._exit(0)  # the parent is gone, however it went: nobody waits for this work any more
        inbox.put(decode_command(data))
