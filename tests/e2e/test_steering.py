"""A user pauses, resumes, cancels, retries and prefers jobs at random moments: the text stays what it is."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from testkit import media_files, prompts
from testkit.program import BUNDLED, NOT_BUNDLED, serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
]
VERBS = ("pause", "resume", "resume", "cancel", "retry", "retry", "front")
PAUSES_S = (0.0, 0.01, 0.05, 0.2, 0.7)
UNDO = {"paused": "resume", "cancelled": "retry"}


def test_a_job_that_was_steered_at_random_is_the_same_in_the_end(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    source = media_files.write_wav(tmp_path / "talk.wav", prompts.talk(*prompts.TALK[:4]))
    with serving(tmp_path / "home") as program:
        program.ended(first := program.submit(source))
        undisturbed = program.transcript(first)
        assert b"Asterisk" in undisturbed

        jobs = [program.submit(source) for _ in range(2)]
        answers: Counter[int] = Counter()
        until = time.monotonic() + 10
        while time.monotonic() < until:
            answer = program.client.post(f"/api/jobs/{chance.choice(jobs)}/{chance.choice(VERBS)}")
            answers[answer.status_code] += 1
            time.sleep(chance.choice(PAUSES_S))
        print(f"seed {seed}: {answers}")
        assert {200} <= answers.keys() <= {200, 409}

        for job_id in jobs:
            if verb := UNDO.get(program.job(job_id)["status"]):
                assert program.client.post(f"/api/jobs/{job_id}/{verb}").status_code == 200
        for job_id in jobs:
            job = program.ended(job_id)
            assert (job["status"], job["error"], job["gaps"]) == ("completed", None, []), f"seed {seed}"
            assert program.transcript(job_id) == undisturbed, f"seed {seed}"
            told = program.rows("SELECT count(*) FROM change WHERE kind = 'segment' AND job_id = ?", job_id)
            assert told == program.rows("SELECT count(*) FROM segment WHERE job_id = ?", job_id)
