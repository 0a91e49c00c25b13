"""The `models` command: list, download, unload, remove, import, verify, test-connection - in the data directory, or through the service that has it.

Owns the grammar and how it looks in a terminal; the work is done by the modules it imports when it is chosen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from whisper_service.app.local_models import LocalModels
    from whisper_service.cli.remote_models import RemoteModels
    from whisper_service.config.schema import Config, SettingSource
    from whisper_service.models.inventory import ModelInfo

STEPS: Final = 10
"""Lines for a download where there is no bar to move."""
WIDTH: Final = 150
"""Columns of a list that goes into a file."""
_SUFFIXES: Final = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")


def add(
    commands: Any,
    common: argparse.ArgumentParser,
    settings: Callable[[argparse.Namespace], Config],
    sources: Callable[[argparse.Namespace], Mapping[str, SettingSource]],
) -> None:
    """The grammar of the command."""
    models = commands.add_parser("models", help="list, fetch, import, check and remove models")
    verbs = models.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, act: Callable[[Config, argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = verbs.add_parser(name, parents=[common], help=help)
        made.set_defaults(command=lambda options: act(settings(options), options), sources=sources)
        return made

    listing = verb("list", _list, "every model there is or could be, and what it is good for on this machine")
    listing.add_argument("--json", action="store_true", help="for programs")
    verb("download", _download, "fetch models from the hub").add_argument(
        "names", nargs="+", metavar="NAME", help="like small, large-v3-turbo, or owner/name on the hub"
    )
    verb("remove", _remove, "take models off the disk").add_argument("names", nargs="+", metavar="NAME")
    verb("unload", _unload, "give the memory of a loaded model back").add_argument("names", nargs="+", metavar="NAME")
    taking = verb("import", _import, "make a model of a folder or an archive (.zip, .tar, .tar.gz)")
    taking.add_argument("source", type=Path, metavar="PATH")
    taking.add_argument("--name", help="what to call it (default: as the folder or the archive is called)")
    verb("verify", _verify, "read models whole and compare them with what they should be").add_argument(
        "names", nargs="*", metavar="NAME", help="(default: all that are here)"
    )
    testing = verb("test-connection", _test, "could a model be fetched? asks every endpoint, fetches nothing")
    testing.add_argument("name", nargs="?", metavar="NAME", help="which model (default: a small one)")
    testing.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="URL",
        help="instead of those in the settings; may be said again",
    )
    testing.add_argument("--proxy", metavar="URL", help="instead of the one in the settings")


@contextmanager
def _shelf(config: Config, options: argparse.Namespace) -> Iterator[LocalModels | RemoteModels]:
    """The data directory, held for the time of the command; or the running service that holds it."""
    from whisper_service.app.local_models import LocalModels, in_force
    from whisper_service.cli.remote_models import RemoteModels
    from whisper_service.core.errors import DataDirectoryInUse
    from whisper_service.storage.data_dir import DataDir

    with ExitStack() as stack:
        try:
            stack.enter_context(DataDir(config.data_dir).hold())
        except DataDirectoryInUse:
            yield RemoteModels.of(config)
        else:
            yield LocalModels(in_force(config, options.sources(options)))


def _list(config: Config, options: argparse.Namespace) -> int:
    with _shelf(config, options) as shelf:
        models = shelf.list()
    if options.json:
        import msgspec

        sys.stdout.write(msgspec.json.format(msgspec.json.encode(models), indent=2).decode() + "\n")
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "state", "languages", "disk", "memory", "on this machine", "good for"):
        table.add_column(column, no_wrap=column != "good for", overflow="fold")
    for info in models.models:
        mark = " (auto)" if info.default else ""
        table.add_row(
            info.name, _state(info) + mark, info.languages or "", _size(info.disk_bytes or info.download_bytes),
            _size(info.memory_bytes), fit(info), info.good_for,
        )  # fmt: skip
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(table)
    return 0


def _download(config: Config, options: argparse.Namespace) -> int:
    failed = False
    with _shelf(config, options) as shelf, _display() as show:
        for name in options.names:
            try:
                info = shelf.download(name, show)
            except KeyboardInterrupt:
                shelf.cancel(name)
                _say("Stopped. The same command goes on from here.")
                raise
            show(info)
            if info.problem is not None:
                _say(f"  {info.problem.hint}")
            failed |= info.problem is not None or info.disk_bytes == 0
    return 1 if failed else 0


def _remove(config: Config, options: argparse.Namespace) -> int:
    with _shelf(config, options) as shelf:
        for name in options.names:
            shelf.remove(name)
            _say(f"{name}: removed")
    return 0


def _unload(config: Config, options: argparse.Namespace) -> int:
    with _shelf(config, options) as shelf:
        for name in options.names:
            info = shelf.unload(name)
            _say(f"{info.name}: {_state(info)}")
    return 0


def _test(config: Config, options: argparse.Namespace) -> int:
    with _shelf(config, options) as shelf:
        tested = shelf.test(options.name, tuple(options.endpoint), options.proxy)
    for endpoint in tested.endpoints:
        if endpoint.problem is None:
            _say(f"{endpoint.endpoint}: {tested.repo} can be fetched")
        else:
            _say(f"{endpoint.endpoint}: {endpoint.problem.message}\n  {endpoint.problem.hint}")
    return 0 if any(endpoint.problem is None for endpoint in tested.endpoints) else 1


def _import(config: Config, options: argparse.Namespace) -> int:
    from whisper_service.core.errors import InvalidRequest

    source = options.source.expanduser().resolve()
    if not source.exists():
        raise InvalidRequest(
            f"{options.source}: there is no such file or folder.",
            hint="Name a folder with model.bin in it, or an archive of one.",
        )
    name = options.name or source.name
    while not options.name and source.is_file() and Path(name).suffix.lower() in _SUFFIXES:
        name = Path(name).stem
    with _shelf(config, options) as shelf:
        info = shelf.take(source, name)
    _say(f"{info.name}: {info.state.value}, {_size(info.disk_bytes)}")
    return 0


def _verify(config: Config, options: argparse.Namespace) -> int:
    """Needs nobody's leave: it only reads."""
    from whisper_service.app.local_models import LocalModels

    failed = False
    for name, verdict, problem in LocalModels(config).verify(options.names):
        _say(f"{name}: {verdict}" + (f"\n  {problem.hint}" if problem and problem.hint else ""))
        failed |= problem is not None
    return 1 if failed else 0


@contextmanager
def _display() -> Iterator[Callable[[ModelInfo], None]]:
    """A bar that moves, or a line now and then where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    last: dict[str, str] = {}

    def line(info: ModelInfo) -> None:
        said = progress(info)
        step = said.split(",")[0]
        if last.get(info.name) != step:
            last[info.name] = step
            _say(f"{info.name}: {said}")

    if not console.is_terminal:
        yield line
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
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
    """`40 %, 12.3 MB/s, from https://hub`: the first part changes in steps."""
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
    """How well it suits this machine, in words."""
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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
