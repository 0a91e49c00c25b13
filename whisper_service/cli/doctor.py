"""The `doctor` command: try what the service needs, and say what does not work and what to do.

Has the order of the checks, how they are shown, and the light checks. Checks that need an actor are in `app.self_test`.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Final

import anyio
import msgspec
from anyio import to_thread
from rich.console import Console
from rich.table import Table
from rich.text import Text

from whisper_service import __version__
from whisper_service.app import cluster_check, object_storage_check, self_test
from whisper_service.app.self_test import Check, Verdict, failed
from whisper_service.cli.output import write_bytes
from whisper_service.config.load import CONFIG_VARIABLE, ENV_PREFIX, NO_SETTINGS, resource
from whisper_service.config.schema import Config
from whisper_service.core.domain import Job, Options, Problem, Status
from whisper_service.core.errors import DataDirectoryInUse, ServiceError
from whisper_service.core.text import reason
from whisper_service.integrations.site_support import site_support
from whisper_service.models.catalog import Catalog, Located
from whisper_service.models.speaker_networks import SPEAKERS
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.web import server

PACKAGES: Final = (
    "litestar", "uvicorn", "aiosqlite", "msgspec", "anyio",
    "ctranslate2", "faster-whisper", "huggingface_hub", "av", "onnxruntime",
)  # fmt: skip
"""The packages that the service needs."""


def run(load: Callable[[], Config], file: Path | None, *, as_json: bool) -> int:
    """Check everything, print the checks, and return the exit code: 1 if one of them is a FAIL.

    `load` reads the configuration.
    """
    checks: list[Check] = []
    console = Console(highlight=False)

    def add(check: Check) -> None:
        checks.append(check)
        if not as_json:
            _print(console, check)

    add(python())
    add(packages())
    try:
        config = load()
    except ServiceError as error:
        add(failed("configuration", error.problem))
    else:
        add(configuration(config, file))
        anyio.run(_examine, config, add)
    if as_json:
        write_bytes(msgspec.json.format(msgspec.json.encode(checks), indent=2) + b"\n")
    return 1 if any(check.verdict is Verdict.FAIL for check in checks) else 0


async def _examine(config: Config, add: Callable[[Check], None]) -> None:
    data = DataDir(config.data_dir)
    check, running = directory(data, config.storage.min_free_bytes)
    add(check)
    add(port(config, running=running))
    add(static_files())
    add(sites(config))
    if check.verdict is Verdict.FAIL:
        return  # the other checks need the directory
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=data.root, ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        add(await database(scratch))
        if config.storage.media:
            add(await object_storage_check.check(config))
        add(await self_test.media(config, scratch))
        check, located = await model(config, data)
        add(check)
        async for check in self_test.speech(config, scratch, located):
            add(check)
        networks = Catalog(data.models, default=config.speech.model).target_of(SPEAKERS)
        add(await self_test.speakers(config, scratch, networks))
        if config.cluster.engine:
            for check in await cluster_check.cluster(config, scratch):
                add(check)


def python() -> Check:
    """Describe the interpreter and the machine."""
    detail = f"{platform.python_version()}, {platform.platform()}, {os.cpu_count() or 1} cores"
    return Check("python", Verdict.OK, detail)


def packages() -> Check:
    """Check which packages are installed, without importing them."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    if absent := [package for package, version in found.items() if version is None]:
        return Check(
            "packages",
            Verdict.FAIL,
            f"Not installed: {', '.join(absent)}.",
            hint="Install whisper_service again, with pip, into this environment.",
        )
    versions = ", ".join(f"{package} {version}" for package, version in found.items())
    return Check("packages", Verdict.OK, f"whisper_service {__version__}, {versions}")


def configuration(config: Config, file: Path | None) -> Check:
    """Describe where the settings come from."""
    named = os.environ.get(CONFIG_VARIABLE)
    chosen = file or (Path(named) if named else Path("config.toml"))
    origin = str(chosen.resolve()) if chosen.is_file() else "the defaults"
    if names := sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name not in NO_SETTINGS):
        origin += f" and {', '.join(names)}"
    used = f"data in {config.data_dir}, model {config.speech.model}, device {config.speech.device}"
    return Check("configuration", Verdict.OK, f"From {origin}: {used}.")


def directory(data: DataDir, reserve: int) -> tuple[Check, bool]:
    """Check space, permissions and locks of the data directory. Return also whether a service runs in it."""
    name = "data directory"
    with ExitStack() as stack:
        try:
            stack.enter_context(data.hold())
            running = False
        except DataDirectoryInUse:
            running = True
        except ServiceError as error:
            return failed(name, error.problem), False
        free = shutil.disk_usage(data.root).free
        detail = f"{data.root}, {free / 1e9:.1f} GB free"
        if free < reserve:
            problem = Problem(code="disk_full", message=f"{detail}.", hint="Free some space: uploads are refused.")
            return failed(name, problem), running
        if running:
            return Check(name, Verdict.OK, f"{detail}. A service runs in it."), True
        try:
            with data.hold():
                hint = "Never start two services in it, or choose a local disk with --data-dir."
                detail += ". The file system does not lock files."
                return Check(name, Verdict.WARN, detail, hint=hint), False
        except DataDirectoryInUse:
            return Check(name, Verdict.OK, f"{detail}. Files can be written and locked."), False


async def database(scratch: Path) -> Check:
    """Check that a database on this file system stores a job."""
    path = scratch / "doctor.db"
    job = Job("doctor", "doctor", Status.PENDING, Options(), created_at=time.time(), bytes=1, sha256="0" * 64)
    try:
        async with Store.open(path) as store:
            written = await store.add(job)
            read = await store.job("doctor")
            wal = await anyio.Path(f"{path}-wal").exists()
    except (sqlite3.Error, OSError, ServiceError) as error:
        problem = Problem(code="database", message=f"{reason(error)}.", hint="Choose a local disk with --data-dir.")
        return failed("database", problem)
    if not wal or read != written.job:
        hint = "The file system is probably a network share. Choose a local disk with --data-dir."
        return Check("database", Verdict.FAIL, "Write-ahead logging does not work here.", hint=hint)
    detail = f"SQLite {sqlite3.sqlite_version} writes ahead and reads back."
    return Check("database", Verdict.OK, detail)


def port(config: Config, *, running: bool) -> Check:
    """Check that the service can listen. A `running` service may have the port already."""
    host, number = config.server.host, config.server.port
    try:
        server.listen(host, number).close()
    except ServiceError as error:
        if running:
            detail = f"{host}:{number} is taken, probably by the running service."
            return Check("address", Verdict.OK, detail)
        return failed("address", error.problem)
    detail = f"{host}:{number} is free." if number else f"{host}, any port."
    return Check("address", Verdict.OK, detail)


def static_files() -> Check:
    """Check that the files of the page are there."""
    page = resource("static") / "index.html"
    if not page.is_file():
        hint = "The API works without it. Install whisper_service again to get it back."
        return Check("web page", Verdict.WARN, f"{page} is missing.", hint=hint)
    return Check("web page", Verdict.OK, str(page))


def sites(config: Config) -> Check:
    """Describe whether recordings can be fetched from web pages, and warn of an old yt-dlp."""
    if not (config.links.enabled and config.links.sites):
        return Check("links to sites", Verdict.OK, "Switched off.")
    support = site_support(True)
    if support.version is None:
        return Check("links to sites", Verdict.OK, "yt-dlp is not installed: only links to files work.", support.hint)
    verdict = Verdict.WARN if support.hint else Verdict.OK
    return Check("links to sites", verdict, f"yt-dlp {support.version} fetches recordings from them.", support.hint)


async def model(config: Config, data: DataDir) -> tuple[Check, Located | None]:
    """Check the model of jobs that name none. The built-in model is unpacked by this."""
    catalog = Catalog(data.models, default=config.speech.model)
    try:
        located = await to_thread.run_sync(catalog.locate, "auto")
    except ServiceError as error:
        return failed("model", error.problem), None
    names = await to_thread.run_sync(catalog.installed)
    detail = f"{located.name} in {located.path}. Installed: {', '.join(names)}."
    return Check("model", Verdict.OK, detail), located


_STYLES: Final = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def _print(console: Console, check: Check) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=4, style=_STYLES[check.verdict])
    table.add_column(width=16)
    table.add_column(overflow="fold")
    table.add_row(check.verdict.upper(), check.name, Text(check.detail))
    if check.hint:
        table.add_row("", "", Text(f"-> {check.hint}"))
    console.print(table)
