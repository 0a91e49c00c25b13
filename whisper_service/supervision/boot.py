"""The first code of an actor: set signals, open the log, start the threads for the pipe, then call the entry.

Nothing heavy is imported here. The entry is a function `run(inbox, emit)`. The service knows only its name.
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

from whisper_service.supervision.faults import EXIT_UNCAUGHT
from whisper_service.supervision.messages.base import Cancel
from whisper_service.supervision.messages.media import Decode, Follow
from whisper_service.supervision.messages.speakers import Assign, Listen
from whisper_service.supervision.messages.speech import Transcribe
from whisper_service.supervision.protocol import Command, Report, decode_command, encode

Emit = Callable[[Report], None]
PINNED = {"OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
"""Environment variables of every actor, whatever the service was started with.

Numpy's BLAS adds in another order with another number of threads. Then the last bits of Whisper's features, and through
them the text, would depend on the machine. CTranslate2 sets the number of its threads itself. ONNX Runtime would write
an id of the device into the home directory and send reports to its makers.
"""
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Inbox:
    """The commands in order. A cancellation takes effect at once.

    A `Cancel` counts for the commands before it and not for those after it. So a job that is cancelled and given again
    is not cancelled.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[int, Command]] = SimpleQueue()
        self._arrived = 0
        self._taken: dict[str, int] = {}
        self._cancelled: dict[str, int] = {}

    def put(self, command: Command) -> None:
        """Add a command. Only the thread that reads the pipe calls this."""
        self._arrived += 1
        if isinstance(command, Cancel):
            self._cancelled[command.job_id] = self._arrived
        else:
            self._queue.put((self._arrived, command))

    def get(self, timeout: float | None = None) -> Command | None:
        """Wait for the next command. None: no command came within `timeout` seconds."""
        try:
            number, command = self._queue.get(timeout=timeout)
        except Empty:
            return None
        jobs: tuple[str, ...] = ()
        if isinstance(command, (Decode, Follow, Listen, Assign)):
            jobs = (command.job_id,)
        elif isinstance(command, Transcribe):
            jobs = tuple(chunk.job_id for chunk in command.chunks)
        for job_id in jobs:
            self._taken[job_id] = number
        return command

    def cancelled(self, job_id: str) -> bool:
        """Return whether the newest work on a job was cancelled. Any thread may ask."""
        return self._cancelled.get(job_id, 0) > self._taken.get(job_id, 0)


def run_actor(entry: str, commands: Connection, reports: Connection, log: str) -> None:
    """Run `entry` ("module:function") until it returns, raises, or the service is gone. Never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the service decides
    _die_with_service()
    _redirect(log)
    inbox = Inbox()
    threading.Thread(target=_listen, args=(commands, inbox), name="commands", daemon=True).start()
    lock = threading.Lock()

    def emit(report: Report) -> None:
        data = encode(report)
        try:
            with lock:
                reports.send_bytes(data)
        except OSError:  # the service closed its end or is gone
            os._exit(0)

    os.environ |= PINNED  # the libraries read them when the import below loads them
    module, _, name = entry.partition(":")
    try:
        getattr(import_module(module), name)(inbox, emit)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(EXIT_UNCAUGHT)
    sys.stderr.flush()
    os._exit(0)  # destructors of models were seen to hang and to crash


def _die_with_service() -> None:
    """Ask the kernel to kill this process when the service's thread with the event loop ends.

    `_listen` notices the end of the service too, on every system, but not in a stopped process (SIGSTOP, a debugger).
    """
    if sys.platform != "linux":
        return
    import ctypes

    parent = multiprocessing.parent_process()
    asked = ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    if asked and parent and os.getppid() != parent.pid:
        os._exit(0)  # the service ended before the kernel was asked


def _redirect(log: str) -> None:
    """Send everything that Python and native libraries write to stdout and stderr into the log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.enable(2)
    if hasattr(signal, "SIGUSR1"):  # the supervisor asks a hung actor for its stacks
        faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)


def _listen(commands: Connection, inbox: Inbox) -> None:
    while True:
        try:
            data = commands.recv_bytes()
        except (EOFError, OSError):
            os._exit(0)  # the service is gone, so the work is of no use
        inbox.put(decode_command(data))
