"""A conversation of two real people: the voice of Debian's asterisk, "A", and a reader of an audio book, "B"."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from testkit.prompts import NO_PROMPTS, PROMPTS, prompt
from testkit.sounds import RATE, Samples, join, silence

READER: Final = Path("/usr/share/pocketsphinx/test/data/librivox")
HERE: Final = PROMPTS.is_dir() and READER.is_dir()
NOT_HERE: Final = f"{NO_PROMPTS}, or pocketsphinx-testdata is not"
LONGEST_S: Final = 7.0
"""Of a clip."""
PAUSE_S: Final = 0.8
"""Behind each clip."""
CLIPS: Final = (
    *(("A", "demo-abouttotry"), ("B", "0870"), ("A", "vm-options"), ("B", "0890"), ("B", "0880")),
    *(("A", "dir-intro"), ("B", "0930"), ("A", "demo-nogo"), ("B", "0920"), ("A", "demo-moreinfo")),
)
"""Who speaks, and which clip."""


class Turn(NamedTuple):
    """A clip of the conversation, in seconds."""

    who: str
    start: float
    end: float


def clip(name: str) -> Samples:
    """Return a clip of "B", whose names are numbers, or of "A"."""
    if name.isdigit():
        raw = (READER / f"sense_and_sensibility_01_austen_64kb-{name}.wav").read_bytes()[44:]
        sound = np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<i2")
    else:
        sound = prompt(name)
    return sound[: round(LONGEST_S * RATE)]


def conversation(clips: tuple[tuple[str, str], ...] = CLIPS) -> tuple[Samples, list[Turn]]:
    """Return the sound of a conversation, about a minute, and who speaks when."""
    sounds: list[Samples] = []
    turns: list[Turn] = []
    at = 0
    for who, name in clips:
        sound = clip(name)
        turns.append(Turn(who, at / RATE, (at + len(sound)) / RATE))
        sounds += [sound, silence(PAUSE_S)]
        at += len(sound) + len(sounds[-1])
    return join(*sounds), turns
