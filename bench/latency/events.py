"""Measure the time from the commit of a change until each of many clients has it, over real connections.

    python -m bench.latency.events [--subscribers 1,100,1000] [--chunks 40] [--interval 0.5]

A service with scripted actors makes `chunks` chunks, one every `interval` seconds, each with the text of 25 s of
speech. Chunks are found five times as fast, as they are while a recording is decoded. Every subscriber has its own
connection to `/api/events` over loopback. The clock starts when SQLite's COMMIT returns, in the thread that runs it.
The clock stops when the last byte of the event is read from the client's socket. Both processes use the monotonic
clock of the machine. All clients are one process on the same machine, so the figures contain the clients' share of
the CPU. Only changes count that were committed after the last client had subscribed.
"""

from __future__ import annotations

import argparse
import resource

import anyio

from bench.lib import report
from bench.lib.subscribers import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", default="1,100,1000", help="comma-separated (default: 1,100,1000)")
    parser.add_argument("--chunks", type=int, default=40)
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between two chunks")
    given = parser.parse_args()
    print(report.machine())
    counts = [int(number) for number in given.subscribers.split(",")]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the service inherits it
    if hard != resource.RLIM_INFINITY and hard < max(counts) + 100:
        raise SystemExit(f"This system allows {hard} open files a process; {max(counts)} subscribers need more.")
    rows: list[list[object]] = []
    for count in counts:
        seen = anyio.run(measure, count, given.chunks, given.interval)
        ms = [1000 * seconds for seconds in seen.latencies]
        times = [report.quantile(ms, 0.5), report.quantile(ms, 0.99), max(ms)]
        shares = [100 * seen.server_cpu / seen.wall, 100 * seen.client_cpu / seen.wall]
        rows.append(
            [
                *(count, seen.changes, len(ms)),
                *(f"{time:.1f}" for time in times),
                *(seen.lost, seen.repeated, seen.broken),
                *(f"{share:.0f}" for share in shares),
            ]
        )
        print(f"{count} subscribers: {seen.wall:.0f} s", flush=True)
    print()
    head = [
        "subscribers",
        "changes",
        "deliveries",
        "p50 ms",
        "p99 ms",
        "max ms",
        "lost",
        "repeated",
        "broken connections",
    ]
    report.table([*head, "service, % of a core", "clients, % of a core"], rows)
    print(report.machine())


if __name__ == "__main__":
    main()
