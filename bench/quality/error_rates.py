"""Compare what the service hears with what was said, and with what faster-whisper hears with the same weights.

    python -m bench.quality.error_rates --corpus DIR --model DIR [--cache FILE] [--sets a,b] [--language given|auto]
                                        [--systems ...]
    python -m bench.quality.error_rates ... --systems sequential,late-20,late-100,late-250

DIR has recordings and a `manifest.jsonl` with one `{"id", "file", "set", "language", "text"}` a line. `text` is the
reference: empty where nobody speaks, null where there is nothing to compare. The output is one Markdown row a set:
the error rate in % (deleted, substituted, inserted units). The baselines always give the same text, so `--cache`
keeps them between runs. The systems `late-N` are the baseline on a recording that begins N ms later: they show how
far the baseline itself moves.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--sets", default="", help="comma-separated; all without it")
    parser.add_argument("--language", choices=("given", "auto"), default="given")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--hypotheses", type=Path, help="write every text here, one JSON object a line")
    arguments = parser.parse_args()

    cached: dict[str, str] = {}
    if arguments.cache and arguments.cache.exists():
        cached = json.loads(arguments.cache.read_text(encoding="utf-8"))
    entries = _entries(arguments.corpus, {s for s in arguments.sets.split(",") if s})
    names = arguments.systems.split(",")
    table: dict[tuple[str, str], dict[str, Score]] = defaultdict(dict)
    texts: list[dict[str, Any]] = []
    cpu: dict[str, float] = {}
    for name in names:
        hear = (SYSTEMS | LATE)[name](arguments.model)
        began = time.process_time()
        for entry in entries:
            language = entry["language"] if arguments.language == "given" else None
            key = f"{name}|{arguments.language}|{entry['file']}"
            if name in BASELINES and key in cached:
                text = cached[key]
            else:
                try:
                    text = hear(arguments.corpus / entry["file"], language)
                except (IndexError, ValueError, OSError) as error:
                    text = f"{type(error).__name__}"
                cached[key] = text
            spoken = "en+zh" if entry["set"] == "codeswitch" else entry["language"] or "none"
            row = table[entry["set"], spoken]
            row[name] = row.get(name, Score()) + score(spoken, entry["text"], text)
            texts.append({"system": name, "id": entry["id"], "text": text})
            if arguments.cache and name in BASELINES:
                arguments.cache.write_text(json.dumps(cached, ensure_ascii=False), encoding="utf-8")
        cpu[name] = time.process_time() - began

    print(f"| set | units | {' | '.join(names)} |")
    print("| --- | --- |" + " --- |" * len(names))
    for (group, spoken), row in table.items():
        first = row[names[0]]
        print(f"| {group} {spoken} | {first.units} | {' | '.join(str(row[n]) for n in names)} |")
    whole = [sum((row[n] for row in table.values()), Score()) for n in names]
    print(f"| all | {whole[0].units} | {' | '.join(map(str, whole))} |")
    print(f"| CPU s | | {' | '.join(f'{cpu[n]:.1f}' for n in names)} |")
    if arguments.hypotheses:
        lines = (json.dumps(t, ensure_ascii=False) for t in texts)
        arguments.hypotheses.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
