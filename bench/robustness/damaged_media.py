"""Send damaged recordings to a real media actor: each gets an answer, and nothing leaks, crashes or hangs.

    python -m bench.robustness.damaged_media [--files 500] [--seed 0] [--within 60] [--keep DIR]

Small recordings of eight kinds are damaged at random (see testkit/damage.py) and decoded one after the other by one
process. The exit code is 1 if a recording crashed the process, made it hang or got an answer without a code. Needs
the extra [test].
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.lib import report
from testkit import damage
from testkit.media_process import CODES, WARNINGS, media_process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of the first file; each has one of its own")
    parser.add_argument("--within", type=float, default=60.0, help="seconds that one may take")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave files there that got no proper answer")
    given = parser.parse_args()
    print(report.machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        findings = run(Path(scratch), given.files, given.seed, given.within, given.keep)
    sys.exit(1 if findings else 0)


def run(scratch: Path, files: int, first: int, within_s: float, keep: Path | None) -> int:
    recordings = damage.whole(scratch)
    said: Counter[str] = Counter()
    slowest, findings = (0.0, first), 0
    source = scratch / "damaged"
    with media_process(scratch) as media:
        for data in recordings:  # libraries open what they need
            source.write_bytes(data)
            media.say(source, within_s)
        before = media.holds
        for seed in range(first, first + files):
            source.write_bytes(damage.damaged(recordings, seed))
            began = time.monotonic()
            answer = media.say(source, within_s)
            slowest = max(slowest, (time.monotonic() - began, seed))
            said[answer] += 1
            if answer not in {"decoded"} | CODES | WARNINGS:
                findings += 1
                print(f"seed {seed}: {answer}", flush=True)
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{seed}").write_bytes(source.read_bytes())
        after = media.holds
    print(f"{files} files: " + ", ".join(f"{count} {answer}" for answer, count in said.most_common()))
    print(
        f"slowest {slowest[0]:.2f} s (seed {slowest[1]}); open files {before[0]} -> {after[0]}; "
        f"memory {before[1] >> 20} -> {after[1] >> 20} MiB"
    )
    print(f"crashed, hung or without a code: {findings}")
    return findings


if __name__ == "__main__":
    main()
