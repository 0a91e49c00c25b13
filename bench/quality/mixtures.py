"""Make recordings in several languages, and telephone prompts in Spanish and Russian, for `bench.quality.error_rates`.

    python -m bench.quality.mixtures --corpus DIR --to DIR [--prompts DIR]

The corpus is as for `bench.quality.error_rates`. Recordings of its sets `short_en`, `zh_short` and `multi` are put
together, with silence between them: two languages in blocks and in turns, and a long block of a language before two
minutes of English. The packages
`asterisk-core-sounds-LANGUAGE` and `-wav`, unpacked below `--prompts`, give three minutes of prompts for each language.
The output is a corpus of its own, with a `manifest.jsonl`. Use it with `--language auto`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from testkit.sounds import RATE, Samples, silence

PAUSE_S: Final = 0.6
APART_S: Final = 4.0
EUROPE: Final = ("es", "de", "fr", "it", "pt")
PROMPTS: Final = {"es": "es_MX_f_Allison", "ru": "ru_RU_f_IvrvoiceRU"}
PROMPTS_S: Final = 180.0
LEAST_WORDS: Final = 5
"""A prompt with fewer is no sentence."""


class Clip(NamedTuple):
    """A recording and what is said in it."""

    sound: Samples
    text: str


def clips(corpus: Path) -> dict[str, list[Clip]]:
    """Return the clips of each language in the order of the manifest."""
    found: dict[str, list[Clip]] = {}
    for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["set"] in ("short_en", "zh_short", "multi") and entry["text"]:
            clip = Clip(_sound(corpus / entry["file"]), entry["text"])
            found.setdefault(entry["language"], []).append(clip)
    return found


def mixtures(found: dict[str, list[Clip]]) -> Iterator[tuple[str, str, list[Clip]]]:
    """Yield the set, the languages and the clips of every mixture. Each clip has its silence behind it."""
    english, chinese = found["en"], found["zh"]
    half = len(english) // 2
    european = [min(found[language], key=_length) for language in EUROPE]
    yield "blocks", "en+zh", _spaced([*english[:half], *chinese, *english[half:]], PAUSE_S)
    yield "blocks", "zh+en", _spaced([*chinese, *english], PAUSE_S)
    yield "turns", "en+zh", _spaced(_turns(english, chinese), PAUSE_S)
    yield "turns", "zh+en", _spaced(_turns(chinese, english[::-1]), PAUSE_S)
    yield "apart", "en+zh", _spaced(_turns(english, chinese), APART_S)
    yield "turns", "en+" + "+".join(EUROPE), _spaced(_turns(english, european), PAUSE_S)
    yield "turns", "ja+en+ko", _spaced([*found["ja"], english[-1], *found["ko"], *found["ja"], english[0]], PAUSE_S)
    for first, block in (("zh", chinese), ("es", [max(found["es"], key=_length)])):
        yield "long block first", f"{first}+en", _spaced([*block, *english, *english[:4]], PAUSE_S)


def prompts(folder: Path, language: str) -> list[Clip]:
    """Return prompts of a telephone exchange with their texts: 8 kHz, one speaker."""
    sounds = next(folder.rglob(PROMPTS[language]))
    (texts,) = folder.rglob(f"core-sounds-{language}.txt.gz")
    with gzip.open(texts, "rt", encoding="utf-8", errors="replace") as file:
        entries = [line.strip().partition(":")[::2] for line in file if not line.startswith(";")]
    found: list[Clip] = []
    for name, text in sorted(entries):
        path = sounds / f"{name.strip()}.wav"
        if path.is_file() and len(text.split()) >= LEAST_WORDS and not set(text) & set("(["):
            found.append(Clip(np.concatenate([_sound(path), silence(PAUSE_S)]), text.strip()))
            if sum(map(_length, found)) > PROMPTS_S * RATE:
                break
    return found


def _turns(first: Sequence[Clip], second: Sequence[Clip]) -> list[Clip]:
    return [clip for pair in zip(first, second, strict=False) for clip in pair]


def _length(clip: Clip) -> int:
    return len(clip.sound)


def _spaced(clips: Sequence[Clip], pause_s: float) -> list[Clip]:
    return [Clip(np.concatenate([clip.sound, silence(pause_s)]), clip.text) for clip in clips]


def _sound(path: Path) -> Samples:
    from faster_whisper import decode_audio

    sound: Samples = (decode_audio(str(path), RATE) * 32767).astype(np.int16)
    return sound


def _write(folder: Path, group: str, languages: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """Write a recording and return its line of the manifest."""
    name = f"{group}-{languages}".replace(" ", "-").replace("+", "-")
    sound = np.concatenate([clip.sound for clip in clips])
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.astype("<i2").tobytes())
    text = " ".join(clip.text for clip in clips)
    print(f"{name}: {len(sound) / RATE:.0f} s, {len(clips)} clips")
    return {"id": name, "file": f"{name}.wav", "set": group, "language": languages, "text": text}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, help="where the packages of the telephone prompts are unpacked")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    entries = [_write(arguments.to, *mixture) for mixture in mixtures(clips(arguments.corpus))]
    if arguments.prompts:
        entries += [_write(arguments.to, "telephone", code, prompts(arguments.prompts, code)) for code in PROMPTS]
    lines = [json.dumps(entry, ensure_ascii=False) for entry in entries]
    (arguments.to / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
