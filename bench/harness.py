"""What the benchmarks share: a real service in a process of its own, its API as a client sees it, and what its processes use.

All figures come from outside: wall time on the monotonic clock, CPU seconds (user + system) of a whole process tree, resident
memory as the kernel counts it. Linux only.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
BANNER = "whisper_service is at "
MB = 1_000_000
TERMINAL = ("completed", "failed", "cancelled")


class Event(NamedTuple):
    """A server-sent event; `at` is `time.monotonic()` when it was complete here."""

    kind: str
    data: Any
    id: int | None
    at: float


class Spent(NamedTuple):
    """Seconds that something took."""

    wall: float
    cpu: float


class Device(NamedTuple):
    """Where both sides of a comparison compute, and in what."""

    name: str = "cpu"
    compute_type: str = "int8"

    @property
    def settings(self) -> dict[str, str]:
        """For `warm` and `service`."""
        return {"SPEECH__DEVICE": self.name, "SPEECH__COMPUTE_TYPE": self.compute_type}

    @property
    def words(self) -> list[str]:
        """For the command line of a benchmark."""
        return ["--device", self.name, "--compute-type", self.compute_type]

    @staticmethod
    def ask(parser: argparse.ArgumentParser) -> None:
        """The options that choose one."""
        parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N, for both sides (default: cpu)")
        parser.add_argument("--compute-type", help="for both sides (default: int8 on a CPU, float16 on a GPU)")

    @classmethod
    def given(cls, options: argparse.Namespace) -> Device:
        """What was chosen."""
        return cls(options.device, options.compute_type or ("int8" if options.device == "cpu" else "float16"))


class Service:
    """A service process: its address, its children, its end."""

    def __init__(self, process: subprocess.Popen[str], url: str, data: Path) -> None:
        self.process = process
        self.url = url
        self.data = data

    @property
    def client(self) -> httpx.AsyncClient:
        """A client for it, to be closed by whoever asked."""
        return httpx.AsyncClient(base_url=self.url, timeout=httpx.Timeout(600, connect=10))

    def cpu(self) -> float:
        """CPU seconds used so far by the service and all its children, dead ones included."""
        return tree_cpu(self.process.pid)


@asynccontextmanager
async def warm(model: Path, **environ: str) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """A service with a fresh data directory and its model in memory, and a client for it."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        service(Path(scratch) / "data", model=model, **environ) as live,
    ):
        async with live.client as client:
            await loaded(client)
            yield live, client


@contextmanager
def service(
    data: Path, *, model: Path | None, module: Sequence[str] = ("whisper_service", "serve"), **environ: str
) -> Iterator[Service]:
    """`python -m whisper_service serve` on a free port; SIGTERM at the end. `module`: another program that serves.

    `environ` are settings as in the environment without the prefix: `SPEECH__SLOTS="1"`.
    """
    live = start(data, model=model, module=module, **environ)
    try:
        yield live
    finally:
        stop(live.process)


def start(
    data: Path, *, model: Path | None, module: Sequence[str] = ("whisper_service", "serve"), **environ: str
) -> Service:
    """The same without the end: whoever kills it calls this."""
    words = [sys.executable, "-m", *module, "--port", "0", "--data-dir", str(data)]
    if model is not None:
        words += ["--model", str(model)]
    data.parent.mkdir(parents=True, exist_ok=True)
    with (data.parent / f"{data.name}.log").open("ab") as log:
        process = subprocess.Popen(
            words, cwd=ROOT, env=environment(**environ), stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(BANNER):
            return Service(process, line.removeprefix(BANNER).strip(), data)
    raise SystemExit(f"The service did not start (exit code {process.wait()}); {log.name} says why.")


def model(given: Path | None, scratch: Path) -> Path:
    """The directory that both sides load: the one given, else the built-in model, joined below `scratch`."""
    if given is not None:
        return given.resolve()
    from whisper_service.models.catalog import Catalog

    catalog = Catalog(scratch / "models", default="auto")
    return catalog.locate("base").path


def environment(**settings: str) -> dict[str, str]:
    """The environment of a service: nothing of ours but these settings, and its modules compiled once, as by an installation."""
    foreign = ("WHISPER_SERVICE_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {f"WHISPER_SERVICE_{name}": value for name, value in settings.items()}


def stop(process: subprocess.Popen[str]) -> None:
    """SIGTERM, and SIGKILL if that is not enough."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


# -- the API as a client sees it ---------------------------------------------------------------------------------------


async def loaded(client: httpx.AsyncClient, *, within_s: float = 120.0) -> None:
    """Wait until the model is in memory and a media actor is up: from here on the service is warm."""
    states: dict[str, str] = {}
    with anyio.move_on_after(within_s):
        while True:
            system = await get(client, "/api/system")
            states = {actor["name"]: actor["state"] for actor in system["actors"]}
            if system["model"] is not None and states["media-1"] == "ready":
                return
            await anyio.sleep(0.1)
    problems = (await get(client, "/api/system"))["actors"]
    raise SystemExit(
        f"The service was not warm after {within_s:.0f} s: {states}, {[actor['problem'] for actor in problems]}"
    )


async def get(client: httpx.AsyncClient, path: str) -> Any:
    """The JSON behind an address."""
    response = await client.get(path)
    response.raise_for_status()
    return response.json()


async def upload(client: httpx.AsyncClient, path: Path, **options: str | None) -> dict[str, Any]:
    """Send a file as its users do, as a form; the job that came back with 202."""
    fields = {name: value for name, value in options.items() if value}
    with path.open("rb") as file:
        response = await client.post("/api/jobs", files={"file": (path.name, file)}, data=fields)
    response.raise_for_status()
    job: dict[str, Any] = response.json()
    return job


async def follow(client: httpx.AsyncClient, job_id: str, last_id: int | None = None) -> AsyncGenerator[Event, None]:
    """The events of a job as they come, to `end` or to the end of the connection."""
    async with aclosing(events(client, f"/api/jobs/{job_id}/events", last_id)) as come:
        async for event in come:
            yield event


async def events(client: httpx.AsyncClient, path: str, last_id: int | None = None) -> AsyncGenerator[Event, None]:
    """The events of a stream as they come, to the end of the connection."""
    headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
    async with client.stream("GET", path, headers=headers, timeout=httpx.Timeout(60, connect=10)) as response:
        response.raise_for_status()
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if "data" in fields:
                data = fields["data"]
                number = int(fields["id"]) if "id" in fields else None
                kind = fields.get("event", "message")
                yield Event(kind, data if data == "done" else json.loads(data), number, time.monotonic())
            fields = {}


async def finished(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Wait for the `end` event; the job as it then is. Stops the program unless it completed."""
    async for _ in follow(client, job_id):
        pass
    job: dict[str, Any] = await get(client, f"/api/jobs/{job_id}")
    if job["status"] != "completed":
        raise SystemExit(f"The job ended as {job['status']}: {job['error'] or job['message']}")
    return job


async def actors(client: httpx.AsyncClient) -> dict[str, int]:
    """Name -> pid of the children that live."""
    system = await get(client, "/api/system")
    return {actor["name"]: actor["pid"] for actor in system["actors"] if actor["pid"]}


# -- what processes use ------------------------------------------------------------------------------------------------


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process and its descendants. Those that ended are in the sums of their parents."""
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            total += sum(process.cpu_times()[:4])  # user, system, and the same of children that were waited for
        except psutil.NoSuchProcess:
            continue
    return total


def high_water(pid: int) -> int:
    """The most resident memory a process ever had, in bytes (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


class Sampler:
    """The largest resident memory of some processes, looked at every 50 ms in a thread."""

    INTERVAL_S = 0.05

    def __init__(self, pids: Iterable[int]) -> None:
        self.peaks: dict[int, int] = {}
        self._processes = [psutil.Process(pid) for pid in pids]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self.INTERVAL_S):
            for process in self._processes:
                try:
                    self.peaks[process.pid] = max(self.peaks.get(process.pid, 0), process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue


# -- what is printed ---------------------------------------------------------------------------------------------------


def machine() -> str:
    """One line about where the figures come from; the load is that of the moment."""
    cpu = platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.exists() else ():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    libraries = ", ".join(f"{name} {version(name)}" for name in ("ctranslate2", "faster-whisper"))
    return (
        f"machine: {cpu}, {cores} cores{_cards()}, Python {platform.python_version()}, {libraries}, load average {load}"
    )


def _cards() -> str:
    """The graphics cards, as their driver calls them."""
    if shutil.which("nvidia-smi") is None:
        return ""
    words = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return "".join(
        f", {card}" for card in subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A Markdown table."""
    print(f"| {' | '.join(head)} |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """Median with the range in which all lie."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"
