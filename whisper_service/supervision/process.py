"""The parent's end of one child process: bytes to it, bytes from it, signals, the exit code.

With `actor.boot` the only user of `multiprocessing`. What the bytes mean and whether the child should live is for the supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from whisper_service.supervision import boot

logger = logging.getLogger(__name__)

STOP_S: Final = 1.5
"""Time to leave for a child that was told to, or that closed its pipe."""


class ActorProcess:
    """Bytes to a child, bytes from it, kill, exit code. The seam behind which an actor could run elsewhere."""

    def __init__(
        self, entry: str, log: Path, on_message: Callable[[bytes], None], on_exit: Callable[[int | None], None]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        commands_in, self._commands = context.Pipe(duplex=False)
        reports, reports_out = context.Pipe(duplex=False)
        self._process = context.Process(
            target=boot.child, args=(entry, commands_in, reports_out, str(log)), name=entry, daemon=True
        )
        self._gone = False
        self._process.start()
        self._pid = self._process.pid or 0
        commands_in.close()  # else neither side would ever see the other's end of file
        reports_out.close()
        loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        threading.Thread(
            target=self._read, args=(reports, loop, on_message), name=f"reports of {entry}", daemon=True
        ).start()

    @property
    def pid(self) -> int:
        return self._pid

    def send(self, data: bytes) -> None:
        """Hand over a message; a child that is gone is not an error here, its exit is on its way."""
        try:
            self._commands.send_bytes(data)
        except OSError:
            logger.debug("the child is gone", extra={"action": "send_failed", "pid": self.pid})

    def signal(self, number: int) -> None:
        """Send a signal, if the child still lives."""
        if not self._gone and self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, if it is still there."""
        if not self._gone:
            self._process.kill()

    def _read(self, reports: Connection, loop: asyncio.AbstractEventLoop, on_message: Callable[[bytes], None]) -> None:
        """Runs in a thread of its own, because reading half a message would block the loop."""
        call = loop.call_soon_threadsafe
        try:
            with reports:
                while True:
                    call(on_message, reports.recv_bytes())
        except (EOFError, OSError):
            pass
        except RuntimeError:  # the loop is closed: nobody listens any more
            return
        if not wait([self._process.sentinel], timeout=STOP_S):  # it closed its pipe but lives on
            self._process.kill()
            wait([self._process.sentinel])
        try:
            call(self._exited)
        except RuntimeError:
            return

    def _exited(self) -> None:
        self._gone = True
        self._process.join()
        self._commands.close()
        self._on_exit(self._process.exitcode)
        self._process.close()
