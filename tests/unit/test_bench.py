"""The benchmarks start, and what they count is counted right."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest

from bench.__main__ import benchmarks
from bench.lib import report, subscribers, usage
from bench.lib.actors import CHUNK_S, sentences
from bench.lib.diarization import Turn, error_rate, matched, words_right
from bench.robustness import kills
from testkit.repository import ROOT
from whisper_service.core.domain import SAMPLE_RATE, Span

NAMES = sorted(benchmarks())
SUPPORT = ("bench.lib.baselines", "testkit.serve")
"""Programs that benchmarks start."""


def run(*words: str) -> str:
    """What a program prints; it must not fail."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [*NAMES, *SUPPORT])
def test_every_benchmark_says_how_it_is_used(name: str) -> None:
    assert f"python -m {name}" in run(name, "--help")


def test_the_list_of_benchmarks_has_a_line_for_each() -> None:
    lines = run("bench").splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert len(NAMES) > 15
    assert all(len(line.split()) > 3 for line in lines), lines


def test_every_benchmark_that_the_documentation_names_exists() -> None:
    texts = [(ROOT / name).read_text("utf-8") for name in ("docs/performance.md", "docs/operations.md", "CHANGELOG.md")]
    named = {name for text in texts for name in re.findall(r"\bbench(?:\.\w+)+", text)}
    assert named >= {"bench.throughput.service", "bench.robustness.storm"}
    assert named <= set(NAMES)


def test_lost_and_repeated_events_are_counted() -> None:
    commit = subscribers.Commit
    commits = {5: commit(1_000_000_000, "segment", "a"), 6: commit(2_000_000_000, "update", "a")}
    whole = [(5, 1_001_000_000), (6, 2_003_000_000)]
    hole = [(6, 2_001_000_000)]
    twice = [*whole, (6, 2_009_000_000)]
    older = [(4, 900_000_000), *whole]
    seen = subscribers.judge(4, commits, [whole, hole, twice, older], 0, 0.0, 0.0, 1.0)
    assert (seen.changes, seen.lost, seen.repeated) == (2, 1, 1)
    assert sorted(round(1000 * s) for s in seen.latencies) == [1, 1, 1, 1, 3, 3, 3, 9]
    commits[4] = commit(900_000_000, "update", "a")  # lost only where no later update of the job came
    commits[3] = commit(800_000_000, "update", "b")
    assert subscribers.judge(2, commits, [whole, whole[:1]], 0, 0.0, 0.0, 1.0).lost == 1 + 3


def test_repeated_work_is_charged_to_the_kill_before_it() -> None:
    rows = [(1.0, 0), (2.0, 1), (2.0, 2), (5.0, 1), (5.0, 2), (9.0, 2), (10.0, 3)]
    assert kills.repeats(rows, [4.0, 8.0]) == [2, 1]
    assert kills.repeats(rows[:3], [2.5]) == [0]


def test_events_are_found_however_the_network_cuts_them() -> None:
    stream = b'HTTP/1.1 200 OK\r\n\r\n1a\r\nretry: 2000\nevent: hello\ndata: {"seq":6}\n\n\r\n'
    stream += b"20\r\nid: 7\nevent: update\ndata: {}\n\n"
    stream += b'id: 8\nevent: segment\ndata: {"text":"id: 9"}\n\n\r\n7\r\n: ping\n\r\n'
    stream += b"14\r\nid: 10\nevent: update\ndata: {}\n\n\r\n"
    for size in (1, 7, 50, len(stream)):
        subscriber = subscribers.Subscriber("localhost")
        for at in range(0, len(stream), size):
            subscriber.data_received(stream[at : at + size])
        assert subscriber.hello.is_set()
        assert [number for number, _ in subscriber.got] == [7, 8, 10]


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_quantiles_are_the_nearest_rank(share: float, value: int) -> None:
    assert report.quantile([*range(100, 0, -1)], share) == value


def test_turns_under_other_names_are_right() -> None:
    reference = [Turn(0, 4, "Ann"), Turn(4, 6, "Bob"), Turn(6, 10, "Ann")]
    found = [Turn(0, 4, "B"), Turn(4, 6, "A"), Turn(6, 10, "B")]
    assert str(error_rate(reference, found)) == "0.0 (0.0 + 0.0 + 0.0)"
    assert str(error_rate(reference, [])) == "100.0 (100.0 + 0.0 + 0.0)"


def test_missed_false_and_confused_turns_are_counted_apart() -> None:
    reference = [Turn(0, 4, "Ann"), Turn(3, 7, "Bob")]  # two at once for a second
    found = [Turn(0, 2, "A"), Turn(2, 6, "B"), Turn(8, 9, "B")]
    errors = error_rate(reference, found)
    assert errors == pytest.approx((2.0, 1.0, 1.0, 8.0))  # 3..4 has one voice, 6..7 none; 8..9; 2..3


def test_words_count_under_the_best_match_of_names() -> None:
    said = [("Ann", "B")] * 5 + [("Bob", "A")] * 3 + [("Bob", "B")] * 2
    assert words_right(said) == (8, 10)
    assert words_right([]) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_match_is_that_of_all_matches(seed: int) -> None:
    gains = np.random.default_rng(seed).uniform(size=(4, 6 - seed % 3))
    best = max(sum(gains[i, j] for i, j in enumerate(p)) for p in permutations(range(gains.shape[1]), 4))
    assert sum(gains[i, j] for i, j in matched(gains)) == pytest.approx(best)
    assert sum(gains.T[i, j] for i, j in matched(gains.T)) == pytest.approx(best)


def test_a_scripted_chunk_has_as_much_text_as_speech_has() -> None:
    said = sentences(Span(3, 0, int(CHUNK_S * SAMPLE_RATE), 100.0, 100.0 + CHUNK_S))
    assert [segment.index for segment in said] == list(range(len(said)))
    assert sum(len(segment.words) for segment in said) == int(CHUNK_S * 2.5)
    assert said[0].start == 100.0
    assert said[-1].end <= 100.0 + CHUNK_S


def test_memory_and_cpu_of_this_process_are_seen() -> None:
    here = subprocess.Popen([sys.executable, "-c", "import time; b = bytearray(50_000_000); time.sleep(30)"])
    try:
        with usage.Sampler([here.pid]) as sampler:
            while sampler.peaks.get(here.pid, 0) < 50_000_000:
                assert here.poll() is None
        assert usage.high_water(here.pid) >= 50_000_000
        assert usage.tree_cpu(here.pid) > 0
    finally:
        here.kill()
        here.wait()
