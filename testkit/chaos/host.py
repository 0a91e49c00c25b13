"""The service of a storm: a process of its own that is killed, stopped, starved of memory and started again."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import psutil
from anyio import to_thread

from testkit.process import spawn

START_S: Final = 90.0
"""A service that did not come up within this, disk and all else given back, does not come up."""
GONE_S: Final = 10.0
"""Children of a service that died are gone within this."""


class Host:
    """The process of the service, and what is done to it.

    `module` is what is run. `settings` are as in the environment, without the prefix.
    """

    def __init__(self, home: Path, disk: Path, module: Sequence[str], settings: dict[str, object]) -> None:
        self.data = disk / "data"
        self.log = home / "log"  # not on the disk that fills
        self.url = ""
        self.process: subprocess.Popen[str]
        self.done: Counter[str] = Counter()
        self.findings: list[str] = []
        self._home = home
        self._module = module
        self._settings = settings
        self._turn = anyio.Lock()  # nobody is killed twice at the same time
        self._down = True  # on purpose
        self._left: list[psutil.Process] = []  # by a service that was killed, for the next one to end

    @property
    def database(self) -> Path:
        return self.data / "whisper_service.db"

    async def start(self) -> None:
        """Start the service, and return once it answers.

        On a full disk it explains itself and ends. Then it is started again, as a service manager does.
        """
        with anyio.fail_after(START_S):
            while not await to_thread.run_sync(self._spawn):
                self.done["starts refused"] += 1
                await anyio.sleep(0.5)
        self._down = False

    def check(self) -> None:
        """Raise if the service died by itself."""
        if not self._down and (code := self.process.poll()) is not None:
            raise AssertionError(
                f"the service died by itself, with {code}: {self.log.read_text('utf-8', 'replace')[-2_000:]}"
            )

    def _spawn(self) -> bool:
        self.process, url = spawn(self.data, self.log, module=self._module, settings=self._settings)
        self.url = url or ""
        return url is not None

    # -- what happens to it ------------------------------------------------------------------------------------------

    async def kill(self) -> None:
        """Kill the service, and start a new one on the same data."""
        async with self._turn:
            await to_thread.run_sync(self._end, signal.SIGKILL)
            self.done["service killed"] += 1
            await self.start()
            await self._ended()

    async def leave(self) -> int:
        """End the service with SIGTERM. Return its exit code."""
        async with self._turn:
            return await to_thread.run_sync(self._end, signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        self.check()
        self._down = True
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        _, orphans = psutil.wait_procs(children, timeout=GONE_S)
        if number == signal.SIGKILL:
            self._left, orphans = self._stopped(orphans)
        self._note(orphans)
        return code

    def _stopped(self, orphans: list[psutil.Process]) -> tuple[list[psutil.Process], list[psutil.Process]]:
        """Split orphans into those that the next service has to end, and those that should be gone.

        An actor that was stopped in its first moments had not asked the kernel yet to be killed with its parent.
        Python's resource tracker waits for it and lives as long.
        """
        stopped = []
        for orphan in orphans:
            with suppress(psutil.NoSuchProcess):
                if orphan.status() == psutil.STATUS_STOPPED:
                    stopped.append(orphan)
        return (orphans, []) if stopped else ([], orphans)

    async def _ended(self) -> None:
        """Check that the new service has ended the actors that the last one left."""
        gone, orphans = await to_thread.run_sync(lambda: psutil.wait_procs(self._left, timeout=GONE_S))
        if gone:
            self.done["actors stopped at birth ended by the next service"] += 1
        self._note(orphans)
        self._left = []

    def _note(self, orphans: list[psutil.Process]) -> None:
        for orphan in orphans:
            self.findings.append(f"an actor outlived its service: {orphan}")
            with suppress(psutil.NoSuchProcess):
                orphan.kill()

    def abandon(self) -> None:
        """Kill everything, because the storm itself failed."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        for process in (self.process, *children):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        self._down = True
        self.process.wait(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        psutil.wait_procs(children, timeout=GONE_S)

    async def freeze(self, seconds: float) -> None:
        """Stop the service for a while, as on a machine that sleeps."""
        async with self._turn:
            self.process.send_signal(signal.SIGSTOP)
            await anyio.sleep(seconds)
            self.process.send_signal(signal.SIGCONT)
            self.done["service stopped for a while"] += 1

    async def strike(self, actor: str, number: signal.Signals) -> None:
        """Send a signal to the actors whose names begin with `actor`."""
        for name, pid in await self._pids(actor):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                self.done[f"{name.partition('-')[0]} actor {'killed' if number is signal.SIGKILL else 'stopped'}"] += 1

    async def doze(self, actor: str, seconds: float) -> None:
        """Stop actors and continue them before their deadline, so that they act late."""
        pids = await self._pids(actor)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for _, pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number is signal.SIGSTOP:
                await anyio.sleep(seconds)
        self.done[f"{actor} actor stopped for a while"] += 1

    async def starve(self, spare: int) -> None:
        """Leave the speech actor only this many more bytes of address space."""
        for _, pid in await self._pids("speech"):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                held = psutil.Process(pid).memory_info().vms
                resource.prlimit(pid, resource.RLIMIT_AS, (held + spare, resource.RLIM_INFINITY))
                self.done["speech actor starved"] += 1

    async def starve_at_birth(self, after_s: float) -> None:
        """Kill the speech actor. After `after_s` seconds leave the next one too little memory, wherever it then is."""
        await self.strike("speech", signal.SIGKILL)
        await anyio.sleep(after_s)
        await self.starve(0)

    async def feed(self) -> None:
        """Take the limits of memory away."""
        for _, pid in await self._pids(""):
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    async def _pids(self, actor: str) -> list[tuple[str, int]]:
        """Return names and process ids of the living actors. While the service does not answer, there are none."""
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                system = (await client.get(f"{self.url}/api/system")).json()
        except (httpx.HTTPError, ValueError):
            return []
        actors: list[dict[str, Any]] = system.get("actors", [])
        return [(a["name"], a["pid"]) for a in actors if a["name"].startswith(actor) and a["pid"]]

    async def lock(self, seconds: float) -> None:
        """Hold the database as another program, as a backup does."""
        with closing(sqlite3.connect(self.database, timeout=1, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.Error:  # the service has it, or the disk is full
                return
            await anyio.sleep(seconds)
            other.execute("ROLLBACK")
            self.done["database locked"] += 1

    # -- what can be seen of it --------------------------------------------------------------------------------------

    def children(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.process.pid).children()
        return found

    def descriptors(self) -> Counter[str]:
        """Count the open files of the service by kind, without the three pipes of each living actor."""
        kinds: Counter[str] = Counter()
        folder = Path(f"/proc/{self.process.pid}/fd")
        for entry in folder.iterdir():
            with suppress(FileNotFoundError):
                kinds[str(entry.readlink()).partition(":")[0]] += 1
        actors = sum("spawn_main" in " ".join(child.cmdline()) for child in self.children())
        kinds["pipe"] -= 3 * actors
        return kinds

    def log_entries(self) -> list[dict[str, Any]]:
        """Return what all services wrote to standard error.

        A line that is no JSON, or cut off by a kill, is its `message`.
        """
        entries: list[dict[str, Any]] = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                entries.append({"message": line})
        return entries

    def hungry(self) -> int:
        """Count how often a speech actor had too little memory for a batch, as far as its last logs tell."""
        logs = self.data.joinpath("logs").glob("speech-*.log")
        return sum(log.read_text("utf-8", "replace").count("tried again in two halves") for log in logs)

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Read the database, also while the service is dead."""
        with closing(sqlite3.connect(self.database, timeout=10)) as connection:
            found: list[Any] = connection.execute(sql, values).fetchall()
        return found
