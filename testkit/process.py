"""A service in a process of its own: how it is started, and where it says that it listens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from testkit.repository import ROOT

SERVE: Final = ("whisper_service", "serve")
BANNER: Final = "whisper_service is at "
"""What a service prints before its address, once it answers."""


def environment(**settings: object) -> dict[str, str]:
    """Return the environment of a service: no settings but these, `server__port=0`, and this repository as its code.

    Its modules are compiled once, as those of an installation are.
    """
    foreign = ("WHISPER_SERVICE_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    ours = {f"WHISPER_SERVICE_{name.upper()}": str(value) for name, value in settings.items()}
    return kept | ours | {"PYTHONPATH": str(ROOT)}


def spawn(
    data: Path, log: Path, *, module: Sequence[str] = SERVE, settings: Mapping[str, Any] | None = None
) -> tuple[subprocess.Popen[str], str | None]:
    """Start `python -m whisper_service serve`, or another module, on any free port with its data in `data`.

    Return the process and its address. Without an address it has ended, and `log` says why.
    """
    words = [sys.executable, "-m", *module, "--port", "0", "--data-dir", str(data)]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            words,
            cwd=log.parent,
            env=environment(**(settings or {})),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(BANNER):
            return process, line.removeprefix(BANNER).strip()
    process.wait()
    process.stdout.close()
    return process, None
