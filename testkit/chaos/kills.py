"""The service as `testkit.killable` runs it, killed at random moments."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import anyio
import psutil

from testkit.chaos.seats import SEATS
from testkit.repository import ROOT


def start(actors: str, data_dir: Path, files: list[Path], seats: int = SEATS) -> subprocess.Popen[str]:
    """Start the service with these files. `actors`: "fake", "speakers" or "real"."""
    command = [sys.executable, "-m", "testkit.killable", str(data_dir), actors, *map(str, files)]
    environment = {**os.environ, "CHAOS_SEATS": str(seats)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


async def kill_until_ended(
    actors: str, data_dir: Path, files: list[Path], seed: int, lives_s: tuple[float, float], seats: int = SEATS
) -> int:
    """Start the service and kill it at random moments, until it ends by itself. Return how often it was killed.

    Each of the first eight lives lasts a time within `lives_s`, in seconds.
    """
    chance = random.Random(seed)
    kills = 0
    while True:
        process = start(actors, data_dir, files, seats)
        children: list[psutil.Process] = []
        try:
            with anyio.move_on_after(chance.uniform(*lives_s) if kills < 8 else 60):
                await anyio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
            if process.poll() is not None:
                assert process.returncode == 0
                return kills
            children = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
            process.communicate()
        kills += 1
        _, alive = await anyio.to_thread.run_sync(partial(psutil.wait_procs, children, timeout=10))
        assert not alive, "an actor outlived its service"
