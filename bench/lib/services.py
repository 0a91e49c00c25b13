"""A real service in a process of its own."""

from __future__ import annotations

import argparse
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from bench.lib import api, usage
from testkit.process import SERVE, spawn


class Device(NamedTuple):
    """Where both sides of a comparison compute, and in which numbers."""

    name: str = "cpu"
    compute_type: str = "int8"

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings for `warm` and `service`."""
        return {"SPEECH__DEVICE": self.name, "SPEECH__COMPUTE_TYPE": self.compute_type}

    @property
    def words(self) -> list[str]:
        """Return the options for the command line of a benchmark."""
        return ["--device", self.name, "--compute-type", self.compute_type]

    @staticmethod
    def ask(parser: argparse.ArgumentParser) -> None:
        """Add the options that choose a device."""
        parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N, for both sides (default: cpu)")
        parser.add_argument("--compute-type", help="for both sides (default: int8 on a CPU, float16 on a GPU)")

    @classmethod
    def given(cls, options: argparse.Namespace) -> Device:
        """Return the device that the options choose."""
        return cls(options.device, options.compute_type or ("int8" if options.device == "cpu" else "float16"))


class Service:
    """The process of a service."""

    def __init__(self, process: subprocess.Popen[str], url: str, data: Path) -> None:
        self.process = process
        self.url = url
        self.data = data

    @property
    def client(self) -> httpx.AsyncClient:
        """Return a client that the caller closes."""
        return httpx.AsyncClient(base_url=self.url, timeout=httpx.Timeout(600, connect=10))

    def cpu(self) -> float:
        """Return the CPU seconds of the service and all its actors so far, dead ones included."""
        return usage.tree_cpu(self.process.pid)


@asynccontextmanager
async def warm(model: Path, **environ: str) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """A service with a fresh data directory and its model in memory, and a client."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        service(Path(scratch) / "data", model=model, **environ) as live,
    ):
        async with live.client as client:
            await api.loaded(client)
            yield live, client


@contextmanager
def service(data: Path, *, model: Path | None, module: Sequence[str] = SERVE, **environ: str) -> Iterator[Service]:
    """A service on a free port until the end of the block. `module` is another program that serves.

    `environ` are settings as in the environment without the prefix: `SPEECH__SLOTS="1"`.
    """
    live = start(data, model=model, module=module, **environ)
    try:
        yield live
    finally:
        stop(live.process)


def start(data: Path, *, model: Path | None, module: Sequence[str] = SERVE, **environ: str) -> Service:
    """Start a service that the caller ends."""
    words = [*module] if model is None else [*module, "--model", str(model)]
    data.parent.mkdir(parents=True, exist_ok=True)
    log = data.parent / f"{data.name}.log"
    process, url = spawn(data, log, module=words, settings=environ)
    if url is None:
        raise SystemExit(f"The service did not start (exit code {process.returncode}); {log} says why.")
    return Service(process, url, data)


def model(given: Path | None, scratch: Path) -> Path:
    """Return the folder of the model for both sides: the given one, else the bundled one, joined below `scratch`."""
    if given is not None:
        return given.resolve()
    from whisper_service.models.catalog import Catalog

    catalog = Catalog(scratch / "models", default="auto")
    return catalog.locate("base").path


def stop(process: subprocess.Popen[str]) -> None:
    """End a process with SIGTERM, and with SIGKILL if it does not end within 15 seconds."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
