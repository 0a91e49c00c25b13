"""The command line: `serve` (the default), `transcribe`, `listen`, `models`, `doctor`, `openapi`.

Defines the arguments, the exit codes and how errors look in a terminal. The modules that do the work are imported when
their command is chosen. Exit codes: 0 done, 1 failed with a reason, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from whisper_service import __version__
from whisper_service.cli import models as cli_models
from whisper_service.cli.output import print_anything, write_bytes
from whisper_service.config.load import find_sources, load
from whisper_service.config.schema import Config, SettingSource
from whisper_service.core.domain import MAX_SPEAKERS, Encoding, Options, Task
from whisper_service.core.errors import ServiceError
from whisper_service.core.model_names import is_name
from whisper_service.core.options_schema import OptionField, option_fields
from whisper_service.core.sound_format import SoundFormat
from whisper_service.core.speaker_count import AUTO, OFF
from whisper_service.core.text import quoted
from whisper_service.export.layout import Layout
from whisper_service.export.render import Format

PROGRAM: Final = "whisper_service"
FAILED: Final = 1
INTERRUPTED: Final = 130  # 128 + SIGINT, as in shells
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE
LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = tuple(kind.value for kind in Format)
WISHES: Final = (
    "language",
    "task",
    "preset",
    "prompt",
    "speakers",
    "min_speakers",
    "max_speakers",
    "channels",
    "begin_s",
    "end_s",
)
"""The options of a job that `transcribe` has."""
LIVE_WISHES: Final = ("language", "task", "preset", "prompt", "speakers")
"""The options of a job that `listen` has."""
LOOKS: Final = (
    "line_columns", "cjk_line_columns", "lines", "chars_per_s", "cjk_chars_per_s", "min_s", "max_s",
    "script", "word_times", "times", "bom",
)  # fmt: skip
"""The options of an export that `transcribe` has."""
SPEAKER_NAMES: Final = "speakers"
"""The option of an export that `transcribe` has under another name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Wrong usage exits at once with 2, as argparse does."""
    print_anything()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "serve")
    options = parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        code = command(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # like `... | head`. The interpreter flushes at exit and must not fail there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (ServiceError, ExceptionGroup) as error:
        known = list(_leaves(error))
        if not all(isinstance(leaf, ServiceError) for leaf in known):
            raise
        for leaf in known:
            print_error(leaf)
        return FAILED


def print_error(error: BaseException) -> None:
    """Print what is wrong and what to do about it on standard error."""
    print(f"{PROGRAM}: {error}", file=sys.stderr)  # noqa: T201
    if isinstance(error, ServiceError) and error.advice:
        print(f"  {error.advice}", file=sys.stderr)  # noqa: T201


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Self-hosted speech transcription that survives anything. Without a command it serves.",
    )
    root.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = root.add_subparsers(metavar="COMMAND", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="Settings. Default: ./config.toml if it exists.")
    common.add_argument("--data-dir", type=Path, metavar="DIR", help="Where everything is kept.")
    common.add_argument("--model", metavar="NAME", help="A model, or a folder with one. Default: the best one here.")
    common.add_argument(
        "--device", metavar="auto|cpu|cuda", help="What to compute on. cuda:0,cuda:2 are the first and the third GPU."
    )
    common.add_argument("--log-level", choices=LEVELS, help="How much to print on standard error.")
    address = argparse.ArgumentParser(add_help=False)
    address.add_argument("--host", help="Address to listen on. Default: 127.0.0.1.")
    address.add_argument("--port", type=int, help="Port to listen on. 0: any free port. Default: 8000.")

    commands.add_parser("serve", parents=[common, address], help="Start the service.").set_defaults(command=_serve)
    _add_transcribe(commands, common)
    _add_listen(commands, common)
    doctor = commands.add_parser(
        "doctor", parents=[common, address], help="Test everything, and say what to do about what does not work."
    )
    doctor.add_argument("--json", action="store_true", help="Print JSON for programs.")
    doctor.set_defaults(command=_doctor)
    cli_models.add(commands, common, settings, sources)
    openapi = commands.add_parser("openapi", help="Print the description of the API.")
    openapi.set_defaults(command=_openapi)
    return root


def _add_transcribe(commands: Any, common: argparse.ArgumentParser) -> None:
    transcribe = commands.add_parser(
        "transcribe",
        parents=[common],
        help="Transcribe files in this process.",
        description="Write a transcript beside each file. After an interruption, the same command goes on.",
    )
    recording = "An audio or video file. -: standard input, whose transcript goes to standard output."
    transcribe.add_argument("files", nargs="+", type=_source, metavar="FILE", help=recording)
    formats = f"Formats to write, of {','.join(FORMATS)}. Default: srt."
    transcribe.add_argument(
        "-f", "--format", type=_formats, default=(Format.SRT,), metavar="LIST", dest="formats", help=formats
    )
    transcribe.add_argument("-o", "--output", type=Path, metavar="DIR", help="Write here instead of beside each file.")
    overwrite = "Replace files that are in the way of transcripts, even if this command did not write them."
    transcribe.add_argument("--overwrite", action="store_true", help=overwrite)
    special: dict[str, dict[str, Any]] = {
        "task": {"choices": [Task.TRANSCRIBE.value, Task.TRANSLATE.value], "help": "translate: English text."},
        "speakers": {"choices": (OFF, AUTO, *map(str, range(1, MAX_SPEAKERS + 1))), "metavar": f"{OFF}|{AUTO}|N"},
    }
    for field in option_fields(Options):
        if field.name in WISHES:
            _add_option(transcribe, field, **special.get(field.name, {}))
    looks = transcribe.add_argument_group("how the files look", "Default: [captions] in config.toml.")
    for field in option_fields(Layout):
        if field.name in LOOKS:
            _add_option(looks, field)
        elif field.name == SPEAKER_NAMES:  # --speakers says how many there are
            looks.add_argument(
                "--speaker-names", action=argparse.BooleanOptionalAction, default=None, help=field.description
            )
    transcribe.set_defaults(command=_transcribe)


def _add_listen(commands: Any, common: argparse.ArgumentParser) -> None:
    listen = commands.add_parser(
        "listen",
        parents=[common],
        help="Send sound from standard input to a running service while it comes, and print the text.",
        description="Raw sound in, text out. The service may be away for a while: nothing is lost.",
    )
    listen.add_argument("source", choices=["-"], help="-: standard input.")
    listen.add_argument("--rate", type=int, default=16_000, metavar="N", help="Samples per second. Default: 16000.")
    encodings = [each.value for each in Encoding]
    listen.add_argument("--encoding", choices=encodings, default=encodings[0], help="How a sample is written.")
    listen.add_argument("--interleaved", type=int, choices=(1, 2), default=1, help="Channels of the sound. Default: 1.")
    listen.add_argument("--name", help="The name of the recording. Default: the time.")
    listen.add_argument("--url", help="The address of the service. Default: the one that has the data directory.")
    for field in option_fields(Options):
        if field.name in LIVE_WISHES:
            _add_option(listen, field)
    listen.set_defaults(command=_listen)


def _add_option(group: Any, field: OptionField, **more: Any) -> None:
    """Add an option with the description, the bounds and the choices of a field. Without it, its value is None."""
    said = field.description
    if field.minimum is not None:
        said += f" {field.minimum:g} to {field.maximum:g}."
    name = field.name.replace("_", "-")
    if field.type == "boolean" and field.default:
        group.add_argument(
            f"--no-{name}", action="store_false", dest=field.name, default=None, help=f"Leave out: {said}"
        )
    elif field.type == "boolean":
        group.add_argument(f"--{name}", action="store_true", default=None, help=said)
    else:
        seconds = field.name.endswith("_s") and "_per_" not in field.name
        metavar = "TEXT" if field.type == "string" else "SECONDS" if seconds else "N"
        kind = {"choices": field.choices} if field.choices else {"metavar": metavar}
        group.add_argument(f"--{name}", **({"help": said} | kind | more))


def settings(options: argparse.Namespace) -> Config:
    """Return the configuration with the arguments on top. Their paths are relative to the working directory."""
    return load(options.config, overrides=_given(options))


def sources(options: argparse.Namespace) -> dict[str, SettingSource]:
    """Return where each of those settings comes from."""
    return find_sources(options.config, overrides=_given(options))


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that are given as arguments. None: not given."""
    model = options.model
    if model is not None and (not is_name(model) or Path(model).is_dir()):
        model = str(Path(model).expanduser().resolve())
    return {
        "data_dir": options.data_dir and str(options.data_dir.expanduser().resolve()),
        "server.host": getattr(options, "host", None),
        "server.port": getattr(options, "port", None),
        "speech.model": model,
        "speech.device": options.device,
        "log.level": options.log_level,
    }


def _serve(options: argparse.Namespace) -> int:
    chosen = settings(options)
    gc.disable()  # nothing made during the start is freed: looking for garbage would be a large part of its time
    from whisper_service.web import server

    return server.run(chosen, sources(options))


def _transcribe(options: argparse.Namespace) -> int:
    chosen = settings(options)
    _configure_log(options.log_level)
    from whisper_service.cli import transcribe

    wishes, looks = ({name: getattr(options, name) for name in names} for names in (WISHES, LOOKS))
    looks[SPEAKER_NAMES] = options.speaker_names
    return transcribe.run(
        chosen,
        options.files,
        options.formats,
        options.output,
        wishes,
        looks,
        sources(options),
        overwrite=options.overwrite,
    )


def _listen(options: argparse.Namespace) -> int:
    from whisper_service.cli import listen

    form = SoundFormat(options.rate, Encoding(options.encoding), options.interleaved)
    wishes = {name: getattr(options, name) for name in ("name", "model", *LIVE_WISHES)}
    return listen.run(settings(options), form, {name: wish for name, wish in wishes.items() if wish}, options.url)


def _doctor(options: argparse.Namespace) -> int:
    _configure_log(options.log_level or "error")  # the checks tell what goes wrong
    from whisper_service.cli import doctor

    return doctor.run(lambda: settings(options), options.config, as_json=options.json)


def _openapi(options: argparse.Namespace) -> int:
    from whisper_service.web import app

    write_bytes(app.openapi_json())
    return 0


def _configure_log(level: str | None) -> None:
    """Configure the log. Without a level, Python prints warnings in its own way, which spares a progress bar."""
    if level is not None:
        from whisper_service.core import logs

        logs.configure(level)


def _source(text: str) -> Path | None:
    """Parse the name of a recording. None: standard input. A file of that name is `./-`."""
    return None if text == "-" else Path(text)


def _formats(text: str) -> tuple[Format, ...]:
    """Parse a list like `srt,vtt` into its formats, each once."""
    names = dict.fromkeys(name.strip().lower().removeprefix(".") for name in text.split(",") if name.strip())
    if not names or not names.keys() <= set(FORMATS):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a list of {', '.join(FORMATS)}")
    return tuple(map(Format, names))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
