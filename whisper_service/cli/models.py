"""The `models` command: list, download, unload, remove, import, verify, test-connection.

Works in the data directory, or through the service that has it. Defines the arguments and the look in a terminal. The
modules that do the work are imported when the command is chosen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from whisper_service.cli.output import write_bytes

if TYPE_CHECKING:
    from whisper_service.app.local_models import LocalModels
    from whisper_service.cli.remote_models import RemoteModels
    from whisper_service.config.schema import Config, SettingSource
    from whisper_service.models.inventory import ModelInfo

STEPS: Final = 10
"""Lines that a download prints where there is no bar."""
WIDTH: Final = 150
"""Columns of a list that is not printed on a terminal."""
_SUFFIXES: Final = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")


def add(
    commands: Any,
    common: argparse.ArgumentParser,
    settings: Callable[[argparse.Namespace], Config],
    sources: Callable[[argparse.Namespace], Mapping[str, SettingSource]],
) -> None:
    """Add the command to the commands."""
    models = commands.add_parser("models", help="List, download, import, verify and remove models.")
    verbs = models.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, act: Callable[[Config, argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = verbs.add_parser(name, parents=[common], help=help)
        made.set_defaults(command=lambda options: act(settings(options), options), sources=sources)
        return made

    names: dict[str, Any] = {"nargs": "+", "metavar": "NAME"}
    listing = verb("list", _list, "List the models that are known or here, and what they are good for on this machine.")
    listing.add_argument("--json", action="store_true", help="Print JSON for programs.")
    download = verb("download", _download, "Download models from the hub.")
    download.add_argument("names", **names, help="Like small, large-v3-turbo, or owner/name on the hub.")
    verb("remove", _remove, "Delete models from this machine.").add_argument("names", **names)
    verb("unload", _unload, "Free the memory of the loaded model.").add_argument("names", **names)
    importing = verb("import", _import, "Make a model of a folder or an archive (.zip, .tar, .tar.gz).")
    importing.add_argument("source", type=Path, metavar="PATH")
    importing.add_argument("--name", help="Name of the model. Default: the name of the folder or the archive.")
    verify = verb("verify", _verify, "Read models completely and compare them with their known hashes.")
    verify.add_argument("names", nargs="*", metavar="NAME", help="Default: all models on this machine.")
    testing = verb(
        "test-connection", _test, "Ask every endpoint whether a model could be downloaded. Downloads nothing."
    )
    testing.add_argument("name", nargs="?", metavar="NAME", help="Model to ask for. Default: a small one.")
    endpoint = "Ask this endpoint instead of those in the settings. May be repeated."
    testing.add_argument("--endpoint", action="append", default=[], metavar="URL", help=endpoint)
    testing.add_argument("--proxy", metavar="URL", help="Use this proxy instead of the one in the settings.")


@contextmanager
def _models(config: Config, options: argparse.Namespace) -> Iterator[LocalModels | RemoteModels]:
    """Hold the data directory for the time of the command, or find the running service that holds it."""
    from whisper_service.app.local_models import LocalModels, active_config
    from whisper_service.cli.remote_models import RemoteModels
    from whisper_service.core.errors import DataDirectoryInUse
    from whisper_service.storage.data_dir import DataDir

    with ExitStack() as stack:
        try:
            stack.enter_context(DataDir(config.data_dir).hold())
        except DataDirectoryInUse:
            yield RemoteModels(config)
        else:
            yield LocalModels(active_config(config, options.sources(options)))


def _list(config: Config, options: argparse.Namespace) -> int:
    with _models(config, options) as models:
        listed = models.list()
    if options.json:
        import msgspec

        write_bytes(msgspec.json.format(msgspec.json.encode(listed), indent=2) + b"\n")
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "state", "languages", "disk", "memory", "on this machine", "good for"):
        table.add_column(column, no_wrap=column != "good for", overflow="fold")
    for info in listed.models:
        mark = " (auto)" if info.default else ""
        table.add_row(
            info.name,
            _state(info) + mark,
            info.languages or "",
            _size(info.disk_bytes or info.download_bytes),
            _size(info.memory_bytes),
            fit(info),
            info.good_for,
        )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(table)
    return 0


def _download(config: Config, options: argparse.Namespace) -> int:
    failed = False
    with _models(config, options) as models, _display() as show:
        for name in options.names:
            try:
                info = models.download(name, show)
            except KeyboardInterrupt:
                models.cancel(name)
                _print("Stopped. The same command goes on from here.")
                raise
            show(info)
            if info.problem is not None:
                _print(f"  {info.problem.hint}")
            failed |= info.problem is not None or info.disk_bytes == 0
    return 1 if failed else 0


def _remove(config: Config, options: argparse.Namespace) -> int:
    with _models(config, options) as models:
        for name in options.names:
            models.remove(name)
            _print(f"{name}: removed")
    return 0


def _unload(config: Config, options: argparse.Namespace) -> int:
    with _models(config, options) as models:
        for name in options.names:
            info = models.unload(name)
            _print(f"{info.name}: {_state(info)}")
    return 0


def _test(config: Config, options: argparse.Namespace) -> int:
    with _models(config, options) as models:
        tested = models.test(options.name, tuple(options.endpoint), options.proxy)
    for endpoint in tested.endpoints:
        if endpoint.problem is None:
            _print(f"{endpoint.endpoint}: {tested.repo} can be fetched")
        else:
            _print(f"{endpoint.endpoint}: {endpoint.problem.message}\n  {endpoint.problem.hint}")
    return 0 if any(endpoint.problem is None for endpoint in tested.endpoints) else 1


def _import(config: Config, options: argparse.Namespace) -> int:
    from whisper_service.core.errors import InvalidRequest
    from whisper_service.models.speaker_networks import SPEAKERS, has_checkpoints

    source = options.source.expanduser().resolve()
    if not source.exists():
        hint = "Name a folder with model.bin in it, or an archive of one."
        raise InvalidRequest(f"{options.source}: there is no such file or folder.", hint=hint)
    name = options.name or source.name
    while not options.name and source.is_file() and Path(name).suffix.lower() in _SUFFIXES:
        name = Path(name).stem
    if not options.name and source.is_file() and has_checkpoints(source):
        name = SPEAKERS
    with _models(config, options) as models:
        info = models.import_model(source, name)
    _print(f"{info.name}: {info.state.value}, {_size(info.disk_bytes)}")
    return 0


def _verify(config: Config, options: argparse.Namespace) -> int:
    """Verify models. This only reads, so the data directory need not be held."""
    from whisper_service.app.local_models import LocalModels

    failed = False
    for name, result, problem in LocalModels(config).verify(options.names):
        _print(f"{name}: {result}" + (f"\n  {problem.hint}" if problem and problem.hint else ""))
        failed |= problem is not None
    return 1 if failed else 0


@contextmanager
def _display() -> Iterator[Callable[[ModelInfo], None]]:
    """Return a function that shows a download: as a bar, or as a line now and then where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    last: dict[str, str] = {}

    def line(info: ModelInfo) -> None:
        said = progress(info)
        step = said.split(",")[0]
        if last.get(info.name) != step:
            last[info.name] = step
            _print(f"{info.name}: {said}")

    if not console.is_terminal:
        yield line
        return
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def move(info: ModelInfo) -> None:
            if info.name not in tasks:
                tasks[info.name] = bars.add_task(info.name, total=None)
            moved = info.transfer
            if moved is not None:
                bars.update(tasks[info.name], completed=moved.bytes, total=moved.total)
            elif info.problem is None:
                bars.update(tasks[info.name], completed=info.disk_bytes, total=info.disk_bytes)

        yield move


def progress(info: ModelInfo) -> str:
    """Return a line like `40 %, 12.3 MB/s, from https://hub`. Its first part changes in steps."""
    if info.transfer is None:
        return _state(info)
    moved = info.transfer
    if not moved.total:
        return "asking the hub"
    said = f"{100 // STEPS * int(STEPS * moved.bytes / moved.total)} %"
    if moved.speed_bps:
        said += f", {moved.speed_bps / 1e6:.1f} MB/s"
    return said + (f", from {moved.endpoint}" if moved.endpoint else "")


def fit(info: ModelInfo) -> str:
    """Return in words how well the model suits this machine."""
    if info.suits is None:
        return ""
    if info.suits.fit == "too_big":
        return "too big"
    said = {"gpu": "on the GPU", "cpu": "well", "slow": "slow"}[info.suits.fit]
    if info.suits.speed:
        said += f", about {info.suits.speed:.1f}x"
    return said + (", recommended" if info.recommended else "")


def _state(info: ModelInfo) -> str:
    said = info.state.value + (" (built in)" if info.builtin else "")
    return f"{said}: {info.problem.message}" if info.problem else said


def _size(count: int | None) -> str:
    if not count:
        return ""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
