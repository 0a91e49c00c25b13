"""A real actor in a process of its own, started as a supervisor starts it, without a supervisor."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from whisper_service.supervision import boot
from whisper_service.supervision.protocol import Command, Report, decode_report, encode

REPORT_S = 120.0
"""Seconds within which the next report must come. Loading the bundled model takes a few on a busy machine."""
R = TypeVar("R", bound=Report)


class ActorProcess:
    """The process of an actor. `log` is the file of its standard error."""

    def __init__(self, entry: str, log: Path) -> None:
        self.log = log
        context = multiprocessing.get_context("spawn")
        commands, self._commands = context.Pipe(duplex=False)
        self._reports, reports = context.Pipe(duplex=False)
        self.process = context.Process(target=boot.run_actor, args=(entry, commands, reports, str(log)), daemon=True)
        self.process.start()
        commands.close()
        reports.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End the process with SIGKILL, if it still runs."""
        self.process.kill()
        self.process.join()
        self._commands.close()
        self._reports.close()

    def send(self, *commands: Command) -> None:
        for command in commands:
            self._commands.send_bytes(encode(command))

    def next(self, within_s: float = REPORT_S) -> Report:
        """Return the next report. Raises `TimeoutError` and, if the process ended, `EOFError`."""
        if not self._reports.poll(within_s):
            raise TimeoutError(f"no report within {within_s} s: {self.log.read_text()}")
        try:
            return decode_report(self._reports.recv_bytes())
        except EOFError:
            raise EOFError(f"the actor is gone: {self.log.read_text()}") from None

    def expect(self, kind: type[R]) -> R:
        """Return the next report, which must be of this kind."""
        report = self.next()
        assert isinstance(report, kind), report
        return report

    def until(self, done: Callable[[Report], bool]) -> list[Report]:
        """Return the reports up to the first for which `done` is true."""
        reports = [self.next()]
        while not done(reports[-1]):
            reports.append(self.next())
        return reports

    def until_kind(self, *kinds: type[Report]) -> list[Report]:
        """Return the reports up to the first of these kinds."""
        return self.until(lambda report: isinstance(report, kinds))
