"""Damaged recordings through a real media actor: each gets an answer in bounded time and leaves nothing."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from testkit.damage import damaged, whole
from testkit.media_process import CODES, WARNINGS, media_process

FILES = 60
"""`bench/robustness/damaged_media.py` tries as many as one likes."""
WITHIN_S = 60.0
MORE_BYTES = 60 * 2**20


def test_damaged_recordings_are_answered_and_leave_nothing(tmp_path: Path) -> None:
    recordings = whole(tmp_path)
    assert len({damaged(recordings, seed) for seed in range(FILES)}) > FILES * 0.9
    source = tmp_path / "damaged"
    with media_process(tmp_path) as media:
        for data in recordings:
            source.write_bytes(data)
            assert media.say(source, WITHIN_S) in {"decoded"} | WARNINGS
        files, memory = media.holds
        pid = media.pid
        said: Counter[str] = Counter()
        for seed in range(FILES):
            source.write_bytes(damaged(recordings, seed))
            answer = media.say(source, WITHIN_S)
            assert answer in {"decoded"} | CODES | WARNINGS, f"seed {seed}: {answer}"
            said[answer] += 1
        assert media.pid == pid
        until = time.monotonic() + WITHIN_S
        while media.holds[0] > files and time.monotonic() < until:  # a file is closed after its answer
            time.sleep(0.05)
        files_now, memory_now = media.holds
    assert files_now <= files
    assert memory_now - memory < MORE_BYTES
    assert len(said) >= 3, "the damage is of too few kinds"
