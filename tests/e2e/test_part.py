"""A part of a stored recording is transcribed again, through the real program and the real model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testkit import media_files, prompts
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
]


def lines(program: Program, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = program.client.get(f"/api/jobs/{job_id}/transcript").json()["segments"]
    return found


def again(program: Program, job_id: str, **options: object) -> dict[str, Any]:
    """Transcribe the recording of a job again. Return the new job once it has ended."""
    answer = program.client.post("/api/jobs", json={"job": job_id, "language": "en", **options})
    assert answer.status_code == 202, answer.text
    return program.ended(answer.json()["id"])


def test_a_part_has_the_text_of_its_seconds_at_their_times(tmp_path: Path) -> None:
    names = ("dir-intro", "vm-options", "demo-abouttotry")
    source = media_files.write_wav(tmp_path / "talk.wav", prompts.talk(*names))
    with serving(tmp_path / "home") as program:
        program.ended(job_id := program.submit(source, language="en"))
        whole = lines(program, job_id)
        begin = next(line["start"] for line in whole if "unavailable" in line["text"]) - 0.3
        end = next(line["start"] for line in whole if "about to" in line["text"]) - 1.0
        wanted = [line for line in whole if begin <= line["start"] < end]
        part = again(program, job_id, begin_s=begin, end_s=end)
        assert (part["status"], part["of"]) == ("completed", job_id)
        heard = lines(program, part["id"])
        assert [line["text"] for line in heard] == [line["text"] for line in wanted]
        for line, other in zip(heard, wanted, strict=True):
            assert line["start"] == pytest.approx(other["start"], abs=0.25)
            assert line["end"] == pytest.approx(other["end"], abs=0.25)
        assert lines(program, job_id) == whole

        late = again(program, job_id, begin_s=500.0, end_s=510.0)
        assert (late["status"], late["error"]["code"]) == ("failed", "begins_too_late")
        answer = program.client.post("/api/jobs", json={"job": job_id, "begin_s": 5.0, "end_s": 5.0})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
