"""Compare what the service hears with what was said, and with what faster-whisper hears with the same weights.

    python -m bench.quality.error_rates --corpus DIR --model DIR [--cache FILE] [--sets a,b] [--language given|auto]
                                        [--systems ...]
    python -m bench.quality.error_rates ... --systems sequential,late-20,late-100,late-250
    python -m bench.quality.error_rates --corpus DIR --systems "" --texts before=FILE --texts after=FILE

DIR has recordings and a `manifest.jsonl` with one `{"id", "file", "set", "language", "text"}` a line. `text` is the
reference: empty where nobody speaks, null where there is nothing to compare. The language `en+zh` stands for several;
such a recording is heard without a language. The output is one Markdown row a set: the error rate in % (deleted,
substituted, inserted units), and the CPU seconds. The baselines always give the same text, so `--cache` keeps them
between runs. The systems `late-N` are the baseline on a recording that begins N ms later: they show how far the
baseline itself moves. `--hypotheses FILE` writes the texts of a run, and `--texts NAME=FILE` is a column of such texts:
that of another version, for example.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec

from bench.lib import report
from testkit.scoring import Score, score

Hear = Callable[[Path, str | None], str]
"""(recording, language or None to detect) -> text."""


@cache
def _stock(model: str) -> Any:
    from faster_whisper import WhisperModel

    return WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=2)


def sequential(model: str, late_ms: int = 0) -> Hear:
    """faster-whisper as its users run it when they want every word; the recording begins so much later."""

    def hear(path: Path, language: str | None) -> str:
        sound: Any = str(path)
        if late_ms:
            import numpy as np
            from faster_whisper import decode_audio

            sound = np.pad(decode_audio(sound), (16 * late_ms, 0))
        segments, _ = _stock(model).transcribe(sound, language=language, beam_size=5, vad_filter=True)
        return " ".join(s.text.strip() for s in segments)

    return hear


def batched(model: str) -> Hear:
    """faster-whisper as its users run it when they are in a hurry."""
    from faster_whisper import BatchedInferencePipeline

    def hear(path: Path, language: str | None) -> str:
        pipeline = BatchedInferencePipeline(_stock(model))
        segments, _ = pipeline.transcribe(str(path), language=language, beam_size=5, batch_size=8)
        return " ".join(s.text.strip() for s in segments)

    return hear


def ours(model: str, preset: str) -> Hear:
    """Media actor and speech actor, called in this process."""
    from bench.lib.pipeline import Pipeline

    pipeline = Pipeline(model)

    def hear(path: Path, language: str | None) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            return " ".join(s.text.strip() for s in pipeline.transcribe(path, Path(scratch), language, preset))

    return hear


SYSTEMS: dict[str, Callable[[str], Hear]] = {
    "sequential": sequential,
    "batched": batched,
    "fast": lambda model: ours(model, "fast"),
    "balanced": lambda model: ours(model, "balanced"),
    "accurate": lambda model: ours(model, "accurate"),
}
LATE: dict[str, Callable[[str], Hear]] = {f"late-{ms}": partial(sequential, late_ms=ms) for ms in (20, 100, 250)}
"""The first system again, with so many milliseconds of silence before the recording: how far its own rows move when
nothing changed that anybody could hear. A difference between two systems that is no larger means nothing."""
BASELINES = ("sequential", "batched", *LATE)


def _entries(corpus: Path, sets: set[str]) -> list[dict[str, Any]]:
    lines = (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    return [e for e in entries if e["text"] is not None and (not sets or e["set"] in sets)]


class Text(msgspec.Struct):
    """What a system heard in a recording."""

    system: str
    id: str
    text: str
    cpu_s: float = 0.0


def hear_all(
    name: str, model: str, corpus: Path, entries: list[dict[str, Any]], language: str, cached: dict[str, str]
) -> Iterator[Text]:
    """Yield what a system hears in the recordings. Baselines are taken from `cached`, and added there."""
    hear = (SYSTEMS | LATE)[name](model)
    for entry in entries:
        spoken = entry["language"] if language == "given" and "+" not in (entry["language"] or "") else None
        key = f"{name}|{language}|{entry['file']}"
        began = time.process_time()
        if name in BASELINES and key in cached:
            text = cached[key]
        else:
            try:
                text = hear(corpus / entry["file"], spoken)
            except (IndexError, ValueError, OSError) as error:
                text = f"{type(error).__name__}"
            cached[key] = text
        yield Text(name, entry["id"], text, round(time.process_time() - began, 2))


def read_texts(argument: str) -> tuple[str, list[Text]]:
    """Return the name and the texts of `NAME=FILE`."""
    name, _, file = argument.partition("=")
    return name, msgspec.json.Decoder(Text).decode_lines(Path(file).read_bytes())


def table(entries: list[dict[str, Any]], columns: dict[str, list[Text]]) -> Iterator[list[str]]:
    """Yield the rows: one for each set and language, then all together, and the CPU seconds."""
    by_id = {name: {text.id: text for text in texts} for name, texts in columns.items()}
    rows: dict[tuple[str, str], dict[str, Score]] = defaultdict(dict)
    for entry in entries:
        spoken = "en+zh" if entry["set"] == "codeswitch" else entry["language"] or "none"
        row = rows[entry["set"], spoken]
        for name, texts in by_id.items():
            if entry["id"] in texts:
                row[name] = row.get(name, Score()) + score(spoken, entry["text"], texts[entry["id"]].text)
    yield ["set", "units", *columns]
    for (group, spoken), row in rows.items():
        if row:
            units = max(found.units for found in row.values())
            yield [f"{group} {spoken}", str(units), *(str(row.get(name, "-")) for name in columns)]
    whole = [sum((row[name] for row in rows.values() if name in row), Score()) for name in columns]
    yield ["all", str(max((found.units for found in whole), default=0)), *map(str, whole)]
    seconds = [sum(text.cpu_s for text in texts) for texts in columns.values()]
    yield ["CPU s", "", *(f"{each:.1f}" if each else "-" for each in seconds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", default="", help="not needed without --systems")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--sets", default="", help="comma-separated; all without it")
    parser.add_argument("--language", choices=("given", "auto"), default="given")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--texts", action="append", default=[], metavar="NAME=FILE", help="texts of another run")
    parser.add_argument("--hypotheses", type=Path, help="write every text here, one JSON object a line")
    arguments = parser.parse_args()

    cached: dict[str, str] = {}
    if arguments.cache and arguments.cache.exists():
        cached = json.loads(arguments.cache.read_text(encoding="utf-8"))
    entries = _entries(arguments.corpus, {s for s in arguments.sets.split(",") if s})
    columns = dict(map(read_texts, arguments.texts))
    for name in filter(None, arguments.systems.split(",")):
        columns[name] = list(hear_all(name, arguments.model, arguments.corpus, entries, arguments.language, cached))
        if arguments.cache and name in BASELINES:
            arguments.cache.write_text(json.dumps(cached, ensure_ascii=False), encoding="utf-8")
    head, *rows = table(entries, columns)
    report.table(head, rows)
    if arguments.hypotheses:
        lines = msgspec.json.Encoder().encode_lines([text for texts in columns.values() for text in texts])
        arguments.hypotheses.write_bytes(lines)


if __name__ == "__main__":
    main()
