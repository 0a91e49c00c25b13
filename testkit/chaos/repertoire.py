"""What is sent during a storm: recordings, and how each of them ends when nothing but itself disturbs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from testkit import media_files, prompts, sounds
from testkit.scripted_actors import script


@dataclass(frozen=True)
class Piece:
    """A recording, and what may become of it."""

    name: str
    data: bytes
    language: str | None = "en"  # asked for; None: it has to be detected
    code: str | None = None  # of the error it ends with
    holes: frozenset[int] = frozenset()  # chunks that nobody can transcribe, once the storm is on
    weight: int = 1  # how often it is sent
    hurts: str | None = None  # code of a fault it brings along, which alone would do no harm

    @property
    def sound(self) -> bool:
        """Whether it has a transcript."""
        return self.code is None


def scripted(calm: Path) -> list[Piece]:
    """Return recordings for the scripted actors. They fail on purpose once the folder `calm` exists."""

    def piece(
        name: str,
        weight: int,
        *,
        language: str | None = "en",
        code: str | None = None,
        hurts: str | None = None,
        **play: object,
    ) -> Piece:
        holes = frozenset(int(index) for index, fault in dict(play.get("faults") or {}).items() if fault == "abort")  # type: ignore[call-overload]
        holes |= frozenset(play.get("bad") or ())  # type: ignore[call-overload]
        data = script(name=name, says=f"The {name} says", segments=2, calm=str(calm), **play)
        return Piece(name, data, language, code, holes, weight, hurts)

    return [
        piece("film", 2, chunks=90, delay=0.015, decode_delay=0.01),
        piece("foreign film", 1, language=None, chunks=40, delay=0.015, decode_delay=0.01, sure=0.4),
        piece("talk", 5, chunks=20, delay=0.02, decode_delay=0.01),
        piece("interview", 3, language=None, chunks=12, delay=0.02, decode_delay=0.01),
        piece("note", 6, chunks=3, delay=0.02),
        piece("clip", 6, language=None, chunks=1),
        piece("silence", 1, chunks=0),
        piece("stumble", 2, chunks=9, delay=0.02, faults={"2": "abort_once"}, hurts="crashed"),
        piece("hunger", 2, chunks=9, delay=0.02, faults={"4": "oom_once"}),
        piece("hiccup", 2, chunks=9, delay=0.02, faults={"7": "error_once"}, hurts="unknown"),
        piece("sleeper", 1, chunks=4, delay=0.02, faults={"1": "hang_once"}),
        piece("unlucky", 2, chunks=6, delay=0.02, decode_fault="kill_once"),
        piece("poison", 1, chunks=5, delay=0.02, faults={"3": "abort"}),
        piece("scratch", 2, chunks=6, delay=0.02, bad=(2, 4)),
        piece("crasher", 1, code="decode_failed", chunks=3, decode_fault="abort"),
        Piece("letter", b"Dear Sir or Madam,", code="not_media", weight=2),
    ]


def spoken(scratch: Path) -> list[Piece]:
    """Return recordings for the real actors: prompts, joined and alone, and files that are no recordings."""

    def piece(name: str, weight: int, samples: sounds.Samples, language: str | None = "en") -> Piece:
        return Piece(name, media_files.write_wav(scratch / name, samples).read_bytes(), language, weight=weight)

    packed = media_files.encode(scratch / "packed.m4a", prompts.talk("dir-intro", "demo-nogo"))
    pictures = media_files.encode(scratch / "pictures.mp4", None, video_s=2.0)
    return [
        piece("talk.wav", 4, prompts.talk(*prompts.TALK)),
        piece("lecture.wav", 2, prompts.talk(*prompts.TALK[:4], pause_s=0.5), language=None),
        piece("congrats.wav", 3, prompts.talk("demo-congrats")),
        piece("menu.wav", 3, prompts.talk("conf-usermenu"), language=None),
        Piece("packed.m4a", packed.read_bytes(), weight=2),
        piece("silence.wav", 1, np.zeros(20 * sounds.RATE, dtype=np.int16)),
        Piece("pictures.mp4", pictures.read_bytes(), code="no_audio"),
        Piece("letter.mp3", b"Dear Sir or Madam, " * 500, code="not_media"),
    ]
