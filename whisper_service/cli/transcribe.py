"""The `transcribe` command: run the service without the web in this process, for files given by name.

Every file becomes an ordinary job in the data directory. A job with equal bytes and options goes on where it stopped:
the same command continues what Ctrl-C or a power cut ended. Transcripts appear complete or not at all.
"""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import anyio
import msgspec
from anyio import to_thread
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from whisper_service.app.service import Service
from whisper_service.cli.output import shown, write_bytes
from whisper_service.cli.written import WrittenFiles
from whisper_service.config.schema import Config, SettingSource
from whisper_service.core import languages
from whisper_service.core.chinese import script_of
from whisper_service.core.domain import Job, Options, Phase, Status
from whisper_service.core.errors import InvalidRequest, ServiceError
from whisper_service.core.file_names import MAX_BYTES, shortened
from whisper_service.core.job_states import TERMINAL, Cause
from whisper_service.core.speaker_count import OFF, decided
from whisper_service.core.text import reason
from whisper_service.export import render
from whisper_service.export.layout import Layout, layout_of
from whisper_service.export.render import Format
from whisper_service.models.catalog import Catalog
from whisper_service.scheduler.speakers_ledger import UNAVAILABLE
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.uploads import Received

BLOCK: Final = 1024 * 1024
STANDARD_INPUT: Final = "stdin"
"""The name of a recording that comes from standard input."""
RECORD: Final = "transcripts.json"
"""The file in the data directory that says which transcripts this command wrote."""
STEPS: Final = 10  # lines for each phase of a file where there is no bar


class InputFile(NamedTuple):
    """A file and where its transcripts go. Source None: standard input. Target None: standard output."""

    source: Path | None
    targets: Mapping[Format, Path | None]

    @property
    def name(self) -> str:
        """The name of the file for people."""
        return shown(self.source.name) if self.source else STANDARD_INPUT


class Display(Protocol):
    """Shows the work on the files in a terminal."""

    def show(self, item: InputFile, progress: float, doing: str) -> None:
        """Show the present state of a file. `progress` is 0..1."""

    def end(self, item: InputFile, verdict: str) -> None:
        """Show the end of a file."""


def run(
    config: Config,
    files: Sequence[Path | None],
    kinds: Sequence[Format],
    output: Path | None,
    wishes: Mapping[str, Any],
    looks: Mapping[str, Any],
    sources: Mapping[str, SettingSource] | None = None,
    *,
    overwrite: bool = False,
) -> int:
    """Transcribe files, print the paths of the transcripts, and return the exit code: 1 if a file failed or has gaps.

    `sources` says where settings come from. `overwrite`: replace files that this command did not write. Raises
    `ServiceError` before anything starts.
    """
    items = plan(files, kinds, output)
    written = WrittenFiles(config.data_dir / RECORD)
    if not overwrite:
        for target in (path for item in items for path in item.targets.values() if path is not None):
            _check_replaceable(written, target)
    Catalog(DataDir(config.data_dir).models, default=config.speech.model).obtainable("auto")  # raises if no hub has it
    options = options_of(config, wishes)
    given = {name: value for name, value in looks.items() if value is not None}
    layout = layout_of(config.captions, {"author": config.page.title, **given})
    work = _TranscribeRun(items, options, layout, written, overwrite=overwrite)
    try:
        with _display() as display:
            anyio.run(work.run, config, sources or {}, display)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)  # noqa: T201
        raise
    finally:
        for path in work.paths:
            print(path)  # noqa: T201
        write_bytes(work.printed)
    return 1 if work.failed else 0


def plan(files: Sequence[Path | None], kinds: Sequence[Format], output: Path | None) -> list[InputFile]:
    """Return the files with their targets: NAME.FORMAT, or NAME.EXTENSION.FORMAT where that would hit another file.

    Raises `InvalidRequest` if a file does not exist or cannot be read, or if a folder cannot be written to.
    """
    if None in files and output is None:
        return [_piped(files, kinds)]
    from_input = Path(STANDARD_INPUT)
    sources = list(dict.fromkeys(from_input if file is None else file for file in files))
    for source in sources:
        if source is not from_input:
            _check(source)
    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{output} cannot be created: {error.strerror}."
            raise InvalidRequest(message, hint="Choose another with -o.") from error
    folders = {source: source.parent if output is None else output for source in sources}
    for folder in dict.fromkeys(folders.values()):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InvalidRequest(f"{folder} cannot be written to.", hint="Choose another directory with -o.")
    stems = Counter(_key(folder / source.stem) for source, folder in folders.items())
    taken = {_key(source) for source in sources}
    items = []
    for source, folder in folders.items():
        for base, number in _bases(source, short=stems[_key(folder / source.stem)] == 1):
            targets: dict[Format, Path | None] = {}
            for kind in kinds:
                room = MAX_BYTES - len(number) - len(kind.value) - 1
                targets[kind] = folder / f"{shortened(base, room)}{number}.{kind.value}"
            keys = {_key(path) for path in targets.values() if path is not None}
            if not keys & taken:
                taken |= keys
                items.append(InputFile(None if source is from_input else source, targets))
                break
    return items


def _piped(files: Sequence[Path | None], kinds: Sequence[Format]) -> InputFile:
    """Return standard input with standard output as its target."""
    if len(files) > 1 or len(kinds) > 1:
        message = "Standard output takes one transcript in one format."
        raise InvalidRequest(message, hint="Name one format with -f and no other file, or a directory with -o.")
    if sys.stdin is None or sys.stdin.isatty():
        hint = "Nothing was started. Send a recording into the command: cat FILE | whisper_service transcribe -"
        raise InvalidRequest("Standard input is a terminal.", hint=hint)
    return InputFile(None, {kinds[0]: None})


def options_of(config: Config, wishes: Mapping[str, Any]) -> Options:
    """Return the options of every job. Raises `InvalidRequest`.

    The model stays "auto": which one that is depends on the device, which only the speech actor knows.
    """
    given = {key: value for key, value in wishes.items() if value is not None}
    tag = given.get("language", "")
    given["language"] = languages.check_code(tag)
    given.setdefault("script", script_of(tag) or config.speech.default_script)
    try:
        options = msgspec.convert({"preset": config.speech.preset, **given}, Options, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The options are not valid: {error}.") from error
    decided(options, OFF)  # raises for numbers of speakers that contradict each other
    return options


class _TranscribeRun:
    """One run of the command."""

    def __init__(
        self,
        items: Sequence[InputFile],
        options: Options,
        layout: Layout,
        written: WrittenFiles,
        *,
        overwrite: bool,
    ) -> None:
        self.items = items
        self.options = options
        self.layout = layout
        self.written = written
        self.overwrite = overwrite
        self.paths: list[Path] = []  # of the transcripts
        self.printed = b""  # the transcript for standard output
        self.failed = 0

    async def run(self, config: Config, sources: Mapping[str, SettingSource], display: Display) -> None:
        """Submit the files one after the other. The service works on them together."""
        async with Service.open(config, sources=sources) as service, anyio.create_task_group() as tasks:
            for item in self.items:
                display.show(item, 0.0, "reading")
                try:
                    received = await _receive(service, item.source)
                    job = await service.jobs.submit(received, self.options, reuse=True)
                    if job.status is Status.COMPLETED and job.gaps:  # of an earlier run
                        job = await service.jobs.change(job.id, Cause.RETRY)
                except (ServiceError, OSError) as error:
                    self._give_up(item, error, display)
                else:
                    tasks.start_soon(self._finish, service, item, job, display)

    async def _finish(self, service: Service, item: InputFile, job: Job, display: Display) -> None:
        try:
            job = await _follow(service, item, job, display)
            if job.status is Status.COMPLETED or job.chunks_done:  # a failed job may have some text
                transcript = await service.jobs.transcript(job.id)
                for kind, target in item.targets.items():
                    content = await to_thread.run_sync(render.render, transcript, kind, self.layout)
                    if target is None:
                        self.printed = content
                        continue
                    if not self.overwrite:
                        _check_replaceable(self.written, target)  # it may have come, or been edited, meanwhile
                    self.written.write(target, content)
                    self.paths.append(target)
        except (ServiceError, OSError) as error:
            self._give_up(item, error, display)
        else:
            self.failed += job.status is not Status.COMPLETED or bool(job.gaps) or bool(without_speakers(job))
            display.end(item, verdict(job))

    def _give_up(self, item: InputFile, error: ServiceError | OSError, display: Display) -> None:
        self.failed += 1
        advice = f" {error.advice}" if isinstance(error, ServiceError) else ""
        display.end(item, f"failed: {reason(error)}{advice}")


async def _receive(service: Service, source: Path | None) -> Received:
    """Copy the file, or standard input, into the data directory."""
    if source is None:
        async with service.uploads.receive(STANDARD_INPUT) as receiver:
            async for block in _standard_input():
                await receiver.write(block)
            return await receiver.finish()
    async with service.uploads.receive(source.name, expected=(await anyio.Path(source).stat()).st_size) as receiver:
        async with await anyio.open_file(source, "rb") as file:
            while block := await file.read(BLOCK):
                await receiver.write(block)
        return await receiver.finish()


async def _standard_input() -> AsyncIterator[bytes]:
    """Yield standard input to its end. Ctrl-C ends the wait for a pipe, which a thread would not notice."""
    descriptor = sys.stdin.fileno()
    kind = os.fstat(descriptor).st_mode
    waits = os.name == "posix" and (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind))
    while True:
        if waits:
            await anyio.wait_readable(descriptor)
        block = await to_thread.run_sync(os.read, descriptor, BLOCK, abandon_on_cancel=True)
        if not block:
            return
        yield block


async def _follow(service: Service, item: InputFile, job: Job, display: Display) -> Job:
    """Show the job until it has ended or waits for a person. Return its last state."""
    async with aclosing(service.jobs.watch(job.id)) as states:
        async for job in states:
            if job.status not in TERMINAL and job.problem is None:
                display.show(item, job.progress, describe(job))
    return job


def describe(job: Job) -> str:
    """Return what a job is doing, like `transcribing 12.3x, 1:05 left`."""
    if job.status is not Status.PROCESSING or job.phase is None:
        return "waiting" if job.status is Status.PENDING else job.status.value
    if job.phase is Phase.DOWNLOADING_MODEL and job.message:
        return job.message.removesuffix(".")
    if job.phase is Phase.SPEAKERS:
        return "telling speakers apart"
    said = job.phase.value.replace("_", " ")
    if job.speed:
        said += f" {job.speed:.1f}x"
    return f"{said}, {clock(job.eta_s)} left" if job.eta_s is not None else said


def verdict(job: Job) -> str:
    """Return what became of a file."""
    if job.problem is not None:
        return f"waits: {job.problem.message} {job.problem.hint} The same command goes on from here."
    if job.status is not Status.COMPLETED:
        why = f"{job.error.message} {job.error.hint}".strip() if job.error else job.message or job.status.value
        return f"failed: {why}" + (" What was recognised until then is written." if job.chunks_done else "")
    took = f"{clock(job.duration_s)} of sound" if job.duration_s is not None else "done"
    said = f"{took}. {job.message}" if job.message else took
    if missing := without_speakers(job):
        told = "" if missing in said else f" {missing}"
        said = f"{said.rstrip('.')}.{told} The same command finds only the speakers."
    if not job.gaps:
        return said
    gaps = "".join(f"\n  not transcribed: {clock(gap.start)} to {clock(gap.end)}: {gap.reason}" for gap in job.gaps)
    return f"incomplete: {said}{gaps}\n  The same command tries these again."


def without_speakers(job: Job) -> str:
    """Return why the speakers that a complete job should have are not known. "": they are, or nobody asked."""
    notes = [note.message for note in job.history if note.code == UNAVAILABLE]
    return notes[-1] if notes and job.status is Status.COMPLETED else ""


def clock(seconds: float) -> str:
    """Return a time like `1:05` or `2:00:07`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Bars:
    """Shows a bar for each file in work, on a terminal. A line stays when the file ends."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[Path | None, TaskID] = {}

    def show(self, item: InputFile, progress: float, doing: str) -> None:
        if item.source not in self._tasks:
            self._tasks[item.source] = self._progress.add_task(item.name, total=1.0, doing="")
        self._progress.update(self._tasks[item.source], completed=progress, doing=doing)

    def end(self, item: InputFile, verdict: str) -> None:
        self._progress.remove_task(self._tasks.pop(item.source))
        self._progress.console.print(f"{item.name}: {verdict}", markup=False, highlight=False)


class Lines:
    """Prints a line whenever something changes, for logs and pipes."""

    def __init__(self) -> None:
        self._last: dict[Path | None, tuple[str, int]] = {}

    def show(self, item: InputFile, progress: float, doing: str) -> None:
        said = doing.split(" ")[0].rstrip(","), int(progress * STEPS)
        if self._last.get(item.source) != said:
            self._last[item.source] = said
            self.end(item, f"{progress:4.0%} {doing}")

    def end(self, item: InputFile, verdict: str) -> None:
        print(f"{item.name}: {verdict}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def _display() -> Iterator[Display]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    name, doing = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[doing]}", markup=False)
    with Progress(name, BarColumn(), TaskProgressColumn(), doing, console=console, redirect_stdout=False) as progress:
        yield Bars(progress)


def _check(source: Path) -> None:
    if not source.exists():
        raise InvalidRequest(
            f"{shown(str(source))}: there is no such file.", hint="Nothing was started. Check the name."
        )
    if not source.is_file():
        raise InvalidRequest(
            f"{shown(str(source))} is not a file.", hint="Nothing was started. Name the recordings themselves."
        )
    if not os.access(source, os.R_OK):
        raise InvalidRequest(
            f"{shown(str(source))} cannot be read.", hint="Nothing was started. Check its permissions."
        )


def _check_replaceable(written: WrittenFiles, target: Path) -> None:
    if not written.may_replace(target):
        hint = "Move it away, choose a directory with -o, or let --overwrite replace it."
        raise InvalidRequest(f"{shown(str(target))} is in the way: this command did not write it.", hint=hint)


def _bases(source: Path, *, short: bool) -> Iterator[tuple[str, str]]:
    """Yield the names to try, without end, the best first: a name that may be cut, and what is never cut of it."""
    if short:
        yield source.stem, ""
    yield source.name, ""
    number = 2
    while True:
        yield source.name, f".{number}"
        number += 1


def _key(path: Path) -> str:
    """Return a text that is equal for paths that may be one file: some file systems do not tell case apart."""
    return str(path.absolute()).casefold()
