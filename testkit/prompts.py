"""Clear English: the prompts of a telephone exchange, from Debian's packages `asterisk-core-sounds-en-wav` and `-en`.

The prompts are 8 kHz, by one speaker, and come with what they say.
"""

from __future__ import annotations

import gzip
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from testkit.sounds import RATE, Samples, join, silence

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
NO_PROMPTS = "Debian's asterisk-core-sounds-en-wav is not installed"
TALK = ("demo-congrats", "dir-intro", "demo-moreinfo", "vm-options", "demo-abouttotry", "conf-usermenu", "demo-nogo")
"""Prompts that make a recording of 130 seconds and 8 chunks."""
TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
"""What the prompts say."""
PAUSE_S = 0.6
"""Silence behind each sentence."""
LEAST_WORDS = 5
"""A prompt with fewer is no sentence."""


def prompt(name: str) -> Samples:
    """Return a prompt, a sentence or more of clear English. For tests that skip without `PROMPTS`."""
    with wave.open(str(PROMPTS / f"{name}.wav")) as file:
        narrow = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        step = file.getframerate() / RATE
    return np.interp(np.arange(0, len(narrow) - 1, step), np.arange(len(narrow)), narrow).astype(np.int16)


def talk(*names: str, pause_s: float = 3.0) -> Samples:
    """Return prompts with silence behind each. The silence is so long that every prompt begins a chunk."""
    return join(*(part for name in names for part in (prompt(name), silence(pause_s))))


def prompts(seconds: float) -> tuple[Samples, str]:
    """Return as many whole prompts with sentences as fit into `seconds`, at `RATE`, and what they say."""
    parts: list[Samples] = []
    said: list[str] = []
    length = 0
    for piece, text in sentences():
        if parts and length + len(piece) > seconds * RATE:
            break
        parts.append(piece)
        said.append(text)
        length += len(piece)
    return np.concatenate(parts), " ".join(said)


def sentences() -> Iterator[tuple[Samples, str]]:
    """Yield the prompts with sentences, at `RATE`, each with a pause behind it, and what they say."""
    if not PROMPTS.is_dir() or not TEXTS.is_file():
        raise SystemExit(
            "Give --audio FILE, or install the packages asterisk-core-sounds-en-wav and asterisk-core-sounds-en."
        )
    with gzip.open(TEXTS, "rt", encoding="utf-8") as file:
        entries = [line.strip().partition(": ")[::2] for line in file if ": " in line and not line.startswith(";")]
    for name, text in entries:
        path = PROMPTS / f"{name}.wav"
        if "[" in text or len(text.split()) < LEAST_WORDS or not path.is_file():
            continue
        with wave.open(str(path)) as wav:
            sound = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2")
            rate = wav.getframerate()
        yield _resampled(np.concatenate([sound, np.zeros(int(PAUSE_S * rate), dtype=np.int16)]), rate), text


def _resampled(sound: Samples, rate: int) -> Samples:
    resampler: Any = av.AudioResampler("s16", "mono", RATE)
    frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([np.asarray(ready.to_ndarray(), dtype=np.int16).ravel() for ready in frames])
