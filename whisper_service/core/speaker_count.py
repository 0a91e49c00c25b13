"""How many speakers a client wants to be told apart. Pure."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from whisper_service.core.domain import Options, Task, Value
from whisper_service.core.errors import InvalidRequest

OFF: Final = "off"
AUTO: Final = "auto"


class Wanted(Value, frozen=True):
    """How many speakers there are."""

    least: int = 1
    most: int | None = None  # None: nobody said


def wanted(options: Options) -> Wanted | None:
    """Return how many speakers are to be told apart. None: none, also for jobs from before there was this option."""
    if options.speakers in (None, OFF):
        return None
    if options.speakers == AUTO:
        return Wanted(options.min_speakers or 1, options.max_speakers)
    return Wanted(int(options.speakers), int(options.speakers))


def decided(options: Options, default: str) -> Options:
    """Return the options with `speakers` decided. `default` is the setting `speech.speakers`.

    Whoever names only a limit wants speakers. A job without text has none. Raises `InvalidRequest` for numbers that
    contradict each other.
    """
    least, most = options.min_speakers or 1, options.max_speakers
    if most is not None and least > most:
        raise InvalidRequest(
            f"There cannot be at least {least} and at most {most} speakers.",
            hint="Make min_speakers the smaller number, or leave one of them out.",
            field="min_speakers",
        )
    speakers = options.speakers and options.speakers.strip()  # the pattern allows a line break at the end
    if speakers is not None and speakers.isdigit() and not least <= int(speakers) <= (most or int(speakers)):
        raise InvalidRequest(
            f"{speakers} speakers do not fit min_speakers and max_speakers.",
            hint="Give either the number of speakers, or auto with limits.",
            field="speakers",
        )
    if options.task is Task.DETECT:
        speakers = OFF
    elif speakers is None:
        limited = options.min_speakers is not None or most is not None
        speakers = AUTO if limited and default == OFF else default
    return replace(options, speakers=speakers)
