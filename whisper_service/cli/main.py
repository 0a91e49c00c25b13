"""The command line: `serve` (the default), `transcribe`, `models`, `doctor`, `openapi`.

Owns the arguments, exit codes and how errors look in a terminal; the work is done by the modules it imports when their
command is chosen. Exit codes: 0 done, 1 failed with a reason, 2 wrong usage, 130 interrupted.
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
from whisper_service.config.load import find_sources, load
from whisper_service.config.schema import Config, SettingSource
from whisper_service.core.domain import Preset, Script, Task
from whisper_service.core.errors import ServiceError
from whisper_service.core.model_names import is_name
from whisper_service.export.render import Format

PROGRAM: Final = "whisper_service"
FAILED: Final = 1
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE
LEVELS: Final = ("debug", "info", "warning", "error")
LOOKS: Final = {
    "line_columns": ("N", "width of a line; wide characters take two columns"),
    "cjk_line_columns": ("N", "the same for text that is mostly Chinese, Japanese or Korean"),
    "lines": ("N", "lines of a caption, 1 or 2"),
    "chars_per_s": ("N", "reading speed"),
    "cjk_chars_per_s": ("N", "the same for Chinese, Japanese and Korean"),
    "min_s": ("S", "how long a caption is shown at least, where there is room"),
    "max_s": ("S", "and at most"),
}
"""What captions can be told, and how it is explained."""
FORMATS: Final = tuple(kind.value for kind in Format)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Wrong usage exits at once with 2, as argparse does."""
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
    except (
        BrokenPipeError
    ):  # `... | head`: nobody reads on; keep the interpreter from complaining when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (ServiceError, ExceptionGroup) as error:
        known = list(_leaves(error))
        if not all(isinstance(leaf, ServiceError) for leaf in known):
            raise
        for leaf in known:
            complain(leaf)
        return FAILED


def complain(error: BaseException) -> None:
    """Say on standard error what is wrong and what to do about it."""
    print(f"{PROGRAM}: {error}", file=sys.stderr)  # noqa: T201
    if isinstance(error, ServiceError) and error.advice:
        print(f"  {error.advice}", file=sys.stderr)  # noqa: T201


def parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    root = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Self-hosted speech transcription that survives anything. Without a command it serves.",
    )
    root.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = root.add_subparsers(metavar="COMMAND", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="settings (default: ./config.toml if there is one)")
    common.add_argument("--data-dir", type=Path, metavar="DIR", help="where everything is kept")
    common.add_argument("--model", metavar="NAME", help="a model, or a directory with one (default: the best here)")
    common.add_argument("--device", metavar="auto|cpu|cuda", help="what to compute on; cuda:1 is the second GPU")
    common.add_argument("--log-level", choices=LEVELS, help="how much to say on standard error")
    address = argparse.ArgumentParser(add_help=False)
    address.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    address.add_argument("--port", type=int, help="port to listen on; 0: any that is free (default: 8000)")

    serve = commands.add_parser("serve", parents=[common, address], help="start the service")
    serve.set_defaults(command=_serve)

    transcribe = commands.add_parser(
        "transcribe",
        parents=[common],
        help="transcribe files right here",
        description="Write a transcript beside each file. Interrupted or killed, the same command goes on where it stopped.",
    )
    transcribe.add_argument("files", nargs="+", type=Path, metavar="FILE", help="any audio or video file")
    transcribe.add_argument(
        "-f", "--format", type=_formats, default=(Format.SRT,), metavar="LIST", dest="formats",
        help=f"formats to write, of {','.join(FORMATS)} (default: srt)",
    )  # fmt: skip
    transcribe.add_argument("-o", "--output", type=Path, metavar="DIR", help="write here instead of beside each file")
    transcribe.add_argument("--language", metavar="CODE", help="language spoken, like en or zh (default: detect it)")
    transcribe.add_argument(
        "--task",
        choices=[Task.TRANSCRIBE.value, Task.TRANSLATE.value],
        default=Task.TRANSCRIBE.value,
        help="translate: English text",
    )
    transcribe.add_argument(
        "--preset", choices=[preset.value for preset in Preset], help="how hard to look for the best text"
    )
    transcribe.add_argument("--prompt", metavar="TEXT", help="names and spellings to expect")
    looks = transcribe.add_argument_group(
        "how it shall look", "What is not given is as [captions] in config.toml says."
    )
    for name, (metavar, said) in LOOKS.items():
        looks.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=said)
    looks.add_argument("--script", choices=[*Script], help="how Chinese is written")
    looks.add_argument("--word-times", action="store_true", default=None, help="vtt: the time of every word")
    looks.add_argument("--no-times", action="store_false", default=None, dest="times", help="md, docx: without times")
    looks.add_argument("--bom", action="store_true", default=None, help="a byte order mark, for old players on Windows")
    transcribe.set_defaults(command=_transcribe)

    doctor = commands.add_parser(
        "doctor", parents=[common, address], help="try everything and say what to do about what does not work"
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(command=_doctor)

    cli_models.add(commands, common, settings, sources)
    openapi = commands.add_parser("openapi", help="print the description of the API")
    openapi.set_defaults(command=_openapi)
    return root


def settings(options: argparse.Namespace) -> Config:
    """The configuration with what the command line says on top. Paths given here are relative to the working directory."""
    return load(options.config, overrides=_given(options))


def sources(options: argparse.Namespace) -> dict[str, SettingSource]:
    """Where those settings come from."""
    return find_sources(options.config, overrides=_given(options))


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, None where it says nothing."""
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
    gc.disable()  # what is made until it answers stays: to look through it again and again is much of the start
    from whisper_service.web import server

    return server.run(chosen, sources(options))


def _transcribe(options: argparse.Namespace) -> int:
    chosen = settings(options)
    _log(options.log_level)
    from whisper_service.cli import transcribe

    wishes = {"language": options.language, "task": options.task, "preset": options.preset, "prompt": options.prompt}
    looks = {name: getattr(options, name) for name in (*LOOKS, "script", "word_times", "times", "bom")}
    return transcribe.run(chosen, options.files, options.formats, options.output, wishes, looks, sources(options))


def _doctor(options: argparse.Namespace) -> int:
    _log(options.log_level or "error")  # what goes wrong is in the rows
    from whisper_service.cli import doctor

    return doctor.run(lambda: settings(options), options.config, as_json=options.json)


def _openapi(options: argparse.Namespace) -> int:
    from whisper_service.web import app

    sys.stdout.write(app.openapi_json().decode())
    return 0


def _log(level: str | None) -> None:
    """Without a level, warnings appear by Python's last-resort handler, which minds a progress bar in its way."""
    if level is not None:
        from whisper_service.core import logs

        logs.configure(level)


def _formats(text: str) -> tuple[Format, ...]:
    """`srt,vtt` -> the two formats, each once."""
    names = dict.fromkeys(name.strip().lower().removeprefix(".") for name in text.split(",") if name.strip())
    if not names or not names.keys() <= set(FORMATS):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of {', '.join(FORMATS)}")
    return tuple(map(Format, names))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
