"""Run a storm of kills and full disks over a whole service for as long as is asked, and look for losses.

    python -m bench.robustness.storm [--minutes 10] [--seed 1] [--actors scripted|real|both] [--model DIR] [--keep DIR]

Clients submit, control and listen. Meanwhile actors and service are killed and stopped, the speech actor runs out of
memory (a real limit, with the real model) and the disk fills (where a small one can be mounted). Afterwards
everything has to be as if nothing had happened. The exit code is 1 if there is a finding. With `both`, each kind of
actors gets half of the time. Needs the extra [test] and Linux. The storm is in testkit/chaos/storm.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import anyio

from bench.lib import report, services
from testkit.chaos import storm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of storm; the calm before and behind come on top")
    parser.add_argument("--seed", type=int, default=1, help="of weather and users")
    parser.add_argument("--actors", choices=("scripted", "real", "both"), default="scripted")
    parser.add_argument(
        "--model", type=Path, help="a CTranslate2 model directory for the real actors (default: the built-in one)"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave logs there")
    given = parser.parse_args()
    kinds = ("scripted", "real") if given.actors == "both" else (given.actors,)
    print(report.machine(), flush=True)
    findings = 0
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            model = services.model(given.model, Path(scratch)) if kind == "real" else None
            home = Path(scratch) / "home"
            home.mkdir()
            plan = storm.Plan(given.seed, 60 * given.minutes / len(kinds), model)
            outcome = anyio.run(storm.run, plan, home)
            print(outcome, flush=True)
            findings += len(outcome.findings)
            if given.keep is not None:
                given.keep.mkdir(parents=True, exist_ok=True)
                (given.keep / f"{kind}-{given.seed}.log").write_bytes((home / "log").read_bytes())
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
