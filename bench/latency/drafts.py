"""Measure how soon the words of a live session are shown and stable, and what drafts cost.

    python -m bench.latency.drafts [--audio FILE ...] [--language en] [--seconds 60] [--speechless 360] [--model DIR]
        [--ours]

Each recording is heard by a clock of its own, three times: as the service does it, with the same policy in windows of
30 s, and with the policy of whisper_streaming (windows of 30 s, words that two passes agree on, a new window at each
pause). Latencies count from the end of a word in the final text. *Erased*: shown words that were taken back, for each
word of the final text. *Differs*: edits from the final text to the stable one. *CPU*: of one core, for drafts alone.
At last some minutes of noise, music and silence are heard, in which no word may be shown.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from bench.lib import draft_trial, report, services
from bench.lib.draft_trial import Trial, samples
from bench.lib.pipeline import Pipeline
from testkit import scoring, sounds
from testkit.prompts import prompts

POLICIES = (draft_trial.OURS, draft_trial.WIDE, draft_trial.STREAMING)
HEAD = [
    "recording", "policy", "stable, mean / p95 s", "shown, mean / p95 s", "erased", "differs %", "CPU %", "passes",
    "CPU % of the final text",
]  # fmt: skip


def row(name: str, policy: str, language: str, trial: Trial) -> list[str]:
    """Return one line of the table."""

    def latency(values: list[float]) -> str:
        return f"{statistics.mean(values):.2f} / {report.quantile(values, 0.95):.2f}" if values else "none"

    differs = scoring.score(language, *trial.texts)
    return [
        name,
        policy,
        latency(trial.stable_latencies),
        latency(trial.shown_latencies),
        f"{trial.erased:.2f}",
        f"{100 * differs.errors / max(1, differs.units):.1f} of {differs.units}",
        f"{100 * trial.draft_cpu_s / trial.seconds:.0f}",
        str(trial.passes),
        f"{100 * trial.final_cpu_s / trial.seconds:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, nargs="*", help="recordings (default: Debian's asterisk prompts)")
    parser.add_argument("--language", default="en", help="what is spoken in all of them")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each recording")
    parser.add_argument("--speechless", type=float, default=360.0, help="seconds of noise, music and silence")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument("--ours", action="store_true", help="only the policy of the service")
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        pipeline = Pipeline(str(services.model(given.model, Path(scratch))))
        heard = {path.name: samples(path, given.seconds) for path in given.audio or ()}
        if not heard:
            heard = {"prompts": prompts(given.seconds)[0]}
        report.table(HEAD, [])
        for name, sound in heard.items():
            for policy in POLICIES[: 1 if given.ours else None]:
                trial = draft_trial.run(pipeline, sound, given.language, policy)
                cells = row(name, policy.name, given.language, trial)
                print(f"| {' | '.join(cells)} |", flush=True)
        if given.speechless > 0:
            trial = draft_trial.run(pipeline, sounds.speechless(given.speechless), None)
            words = {word for _, draft in trial.shown for word in (*draft.stable, *draft.tentative)}
            share = (trial.heard_cpu_s + trial.draft_cpu_s + trial.final_cpu_s) / trial.seconds
            print(
                f"\nNobody speaks for {trial.seconds:.0f} s: {len(words)} words shown in {trial.passes} passes, "
                f"{len(trial.final)} words in the text, {100 * share:.1f} % of a core."
            )
    print(report.machine())


if __name__ == "__main__":
    main()
