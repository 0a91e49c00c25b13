"""The service's end of one actor process: messages to and from it, signals, its exit code.

Only this module and `boot` use `multiprocessing`. The meaning of messages is left to the supervisor.
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
from queue import SimpleQueue
from typing import Final

from whisper_service.host import oom_kills
from whisper_service.supervision import actor_logs, boot
from whisper_service.supervision.link import Exit

logger = logging.getLogger(__name__)

STOP_S: Final = 1.5
"""Seconds that an actor has to exit after it was told to, or after it closed its pipe."""
AT_ONCE: Final = 32 * 1024
"""Bytes of a message that the buffer of a pipe takes without a reader: half of 64 KiB. A longer message would block the
event loop for as long as the actor does not read, for ever if the actor is stopped."""


class ActorProcess:
    """The link to an actor that is a process of this machine. It is open from the beginning."""

    host: Final = None
    is_open: Final = True
    obstacle: Final = None

    def __init__(
        self,
        entry: str,
        log: Path,
        on_open: Callable[[], None],
        on_message: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> None:
        context = multiprocessing.get_context("spawn")
        commands_in, self._commands = context.Pipe(duplex=False)
        reports, reports_out = context.Pipe(duplex=False)
        self._process = context.Process(
            target=boot.run_actor, args=(entry, commands_in, reports_out, str(log)), name=entry, daemon=True
        )
        self._exited = False
        self._entry = entry
        self._log = log
        self._kills = oom_kills.count()
        self._outgoing: SimpleQueue[bytes | None] | None = None  # since the first long message; None ends its thread
        self._process.start()
        self.pid = self._process.pid or 0
        commands_in.close()  # while this end is open, no side sees the end of the pipe
        reports_out.close()
        loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        threading.Thread(
            target=self._read, args=(reports, loop, on_message), name=f"reports of {entry}", daemon=True
        ).start()

    def send(self, data: bytes) -> None:
        """Send a message. An actor that is gone is no error here: `on_exit` is called soon.

        A long message, and all after it, are written by a thread.
        """
        if self._outgoing is None and len(data) > AT_ONCE:
            self._outgoing = SimpleQueue()
            threading.Thread(
                target=self._write, args=(self._outgoing,), name=f"commands to {self._entry}", daemon=True
            ).start()
        if self._outgoing is not None:
            self._outgoing.put(data)
        else:
            self._write_one(data)

    def signal(self, number: int) -> None:
        """Send a signal if the actor still lives."""
        if not self._exited and self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the actor if it still lives."""
        if not self._exited:
            self._process.kill()

    def _write(self, outgoing: SimpleQueue[bytes | None]) -> None:
        """Write messages until the actor is gone, then close the pipe. Runs in a thread."""
        with self._commands:
            while (data := outgoing.get()) is not None:
                self._write_one(data)

    def _write_one(self, data: bytes) -> None:
        try:
            self._commands.send_bytes(data)
        except OSError:
            logger.debug("The actor is gone.", extra={"action": "send_failed", "pid": self.pid})

    def _read(self, reports: Connection, loop: asyncio.AbstractEventLoop, on_message: Callable[[bytes], None]) -> None:
        """Read reports until the actor exits. Runs in a thread, because reading half a message would block the loop."""
        call = loop.call_soon_threadsafe
        try:
            with reports:
                while True:
                    call(on_message, reports.recv_bytes())
        except (EOFError, OSError):
            pass
        except RuntimeError:  # the loop is closed
            return
        if not wait([self._process.sentinel], timeout=STOP_S):  # the actor closed its pipe but lives
            self._process.kill()
            wait([self._process.sentinel])
        try:
            call(self._end)
        except RuntimeError:
            return

    def _end(self) -> None:
        self._exited = True
        self._process.join()
        if self._outgoing is None:
            self._commands.close()
        else:
            self._outgoing.put(None)
        code = self._process.exitcode
        self._on_exit(Exit(code, actor_logs.tail(self._log), oom_killed=oom_kills.count() > self._kills))
        self._process.close()
