"""Compare the throughput of the service with faster-whisper: same file, same weights, same machine, in turns.

    python -m bench.throughput.service [--audio FILE] [--reference TEXTFILE] [--rounds 3] [--model DIR]

The service is `python -m whisper_service serve` in a process of its own with a fresh data directory. The file goes in
over HTTP, and the clock stops at the `end` event of the job. faster-whisper has a process of its own: batched (batch
8, beam 5) and sequential (VAD, beam 5), one thread per core, int8; on a GPU float16. Start and load of the model do
not count on either side. The service also writes everything to its database and computes the time of every word;
faster-whisper does neither here.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import anyio

from bench.lib import api, baselines, recordings, report, services
from bench.lib.services import Device
from bench.lib.usage import Spent

PRESETS = ("fast", "balanced", "accurate")


async def served(preset: str, model: Path, path: Path, language: str | None, device: Device) -> tuple[Spent, str]:
    """One job on a warm service: upload to `end`, and the CPU seconds of the service and its actors meanwhile."""
    async with services.warm(model, **device.settings) as (service, client):
        began, cpu = time.monotonic(), service.cpu()
        job = await api.upload(client, path, language=language, preset=preset)
        await api.finished(client, job["id"])
        spent = Spent(time.monotonic() - began, service.cpu() - cpu)
        transcript = await api.get(client, f"/api/jobs/{job['id']}/transcript")
    return spent, " ".join(segment["text"].strip() for segment in transcript["segments"])


async def measure(given: argparse.Namespace, path: Path, model: Path) -> tuple[dict[str, list[Spent]], dict[str, str]]:
    """Every system once a round; each round begins with another one."""
    language = None if given.language == "auto" else given.language
    presets, device = given.presets.split(","), Device.given(given)
    names = [f"service ({preset})" for preset in presets] + [
        f"faster-whisper {name}" for name in given.against.split(",")
    ]
    spent: dict[str, list[Spent]] = defaultdict(list)
    texts: dict[str, str] = {}
    for number in range(given.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if name.startswith("service"):
                one, texts[name] = await served(name[9:-1], model, path, language, device)
            else:
                one, result = await baselines.apart(
                    name.split()[-1], model, path, language, device=device, rows=given.rows
                )
                texts[name] = result["text"]
            spent[name].append(one)
            print(f"round {number + 1}: {name}: {one.wall:.1f} s wall, {one.cpu:.1f} s CPU", flush=True)
    return {name: spent[name] for name in names}, texts


def print_report(
    spent: dict[str, list[Spent]], texts: dict[str, str], seconds: float, reference: str | None, language: str
) -> None:
    walls = {name: statistics.median(one.wall for one in runs) for name, runs in spent.items()}
    cpus = {name: statistics.median(one.cpu for one in runs) for name, runs in spent.items()}
    rivals = [name for name in spent if not name.startswith("service")]
    head = ["system", "wall s (median)", "x real time", "CPU s (median)"]
    head += [f"wall, {name} / this" for name in rivals] + [f"CPU, {name} / this" for name in rivals]
    if reference is not None:
        head.append("WER % (deleted, substituted, inserted words)")
    rows: list[list[str]] = []
    for name in spent:
        row = [name, f"{walls[name]:.1f}", f"{seconds / walls[name]:.1f}", f"{cpus[name]:.1f}"]
        row += [f"{walls[rival] / walls[name]:.2f}" for rival in rivals] + [
            f"{cpus[rival] / cpus[name]:.2f}" for rival in rivals
        ]
        if reference is not None:
            from testkit.scoring import score

            row.append(str(score(language, reference, texts[name])))
        rows.append(row)
    print()
    report.table(head, rows)
    print("\nA ratio above 1 means that the system of the row needs less.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--audio", type=Path, help="the file to transcribe (default: Debian's asterisk prompts in a row)"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the default file, at most 10")
    parser.add_argument(
        "--reference", type=Path, help="what is said in --audio, as plain text: prints the word error rate"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument(
        "--language", default="en", help="spoken language, for both sides; auto: detect it (default: en)"
    )
    parser.add_argument("--presets", default="balanced", help=f"comma-separated, of {','.join(PRESETS)}")
    parser.add_argument(
        "--against",
        default=",".join(baselines.SYSTEMS),
        help="comma-separated, of batched,sequential,batched+words,sequential+words",
    )
    parser.add_argument("--rows", type=int, default=8, help="batch size of the library's batched system (default: 8)")
    Device.ask(parser)
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = services.model(given.model, Path(scratch))
        if given.audio:
            made = recordings.Made(given.audio, recordings.length(given.audio), None)
        else:
            made = recordings.speech(min(given.minutes * 60, recordings.PIECE_S), Path(scratch) / "prompts.mp3")
        reference = given.reference.read_text(encoding="utf-8") if given.reference else made.text
        print(
            f"audio: {made.path.name}, {made.seconds:.0f} s; model: {model.name}; "
            f"{given.device}, {Device.given(given).compute_type}; language: {given.language}; {given.rounds} rounds"
        )
        print("start-up and model loading are excluded on both sides; the upload is included\n", flush=True)
        spent, texts = anyio.run(measure, given, made.path, model)
    print_report(spent, texts, made.seconds, reference, "en" if given.language == "auto" else given.language)
    print(report.machine())


if __name__ == "__main__":
    main()
