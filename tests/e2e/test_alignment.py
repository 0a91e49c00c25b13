"""Words that people write get the times at which they are said, through the real program and the real model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from testkit import media_files, prompts
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving
from whisper_service.app.word_aligner import AFTER_S

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
]
LIMIT_S = 60.0
"""An idle machine takes about ten seconds, five of which nothing happens on purpose."""


def transcript(program: Program, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = program.client.get(f"/api/jobs/{job_id}/transcript").json()
    return found


def write(program: Program, job_id: str, line: dict[str, Any], text: str) -> dict[str, Any]:
    """Give a line another text, and return the line."""
    operation = {"op": "text", "id": line["id"], "v": line["version"], "text": text}
    answer = program.client.post(
        f"/api/jobs/{job_id}/edits", json={"batch": f"b{line['version']}", "operations": [operation]}
    )
    assert answer.status_code == 200, answer.text
    (written,) = answer.json()["lines"]
    return dict(written)


def settled(program: Program, job_id: str, line_id: str) -> dict[str, Any]:
    """Wait until nothing is left to align, and return the line."""
    end = time.monotonic() + LIMIT_S
    while (found := transcript(program, job_id))["alignment"] is not None:
        assert time.monotonic() < end, found["alignment"]
        time.sleep(0.2)
    return next(line for line in found["segments"] if line["id"] == line_id)


def kinds(line: dict[str, Any]) -> list[str]:
    return [word.get("by", "machine") for word in line["words"]]


def test_words_get_the_times_at_which_they_are_said(tmp_path: Path) -> None:
    source = media_files.write_wav(tmp_path / "talk.wav", prompts.talk("dir-intro", "vm-options"))
    with serving(tmp_path / "home") as program:
        program.ended(job_id := program.submit(source, language="en"))
        heard = max(transcript(program, job_id)["segments"], key=lambda line: len(line["words"]))
        words = [word["word"].strip() for word in heard["words"]]
        assert len(words) >= 12
        first = len(words) // 2 - 2
        wrong = [*words[:first], *("zzz" + word for word in words[first : first + 5]), *words[first + 5 :]]
        line = write(program, job_id, heard, " ".join(wrong))
        line = write(program, job_id, line, heard["text"])  # five words are replaced by the five that are said
        inside = range(first, first + 5)
        assert [kinds(line)[at] for at in inside] == ["spread"] * 5

        line = settled(program, job_id, heard["id"])
        assert line["text"] == heard["text"]
        assert [at for at, kind in enumerate(kinds(line)) if kind == "aligned"] == list(inside)
        for at, (word, other) in enumerate(zip(line["words"], heard["words"], strict=True)):
            if at in inside:  # the model aligned the words that it heard with all of the chunk
                assert word["start"] == pytest.approx(other["start"], abs=0.3)
                assert word["end"] == pytest.approx(other["end"], abs=0.3)
            else:
                assert word == other
        newest = program.client.get(f"/api/jobs/{job_id}/edits").json()["edits"][0]
        assert (newest["kind"], newest["author"]) == ("align", "Alignment")
        assert newest["at"] >= AFTER_S + program.client.get(f"/api/jobs/{job_id}/edits").json()["edits"][1]["at"]


def test_words_that_nobody_says_stay_as_they_are(tmp_path: Path) -> None:
    source = media_files.write_wav(tmp_path / "talk.wav", prompts.talk("dir-intro"))
    with serving(tmp_path / "home") as program:
        program.ended(job_id := program.submit(source, language="en"))
        heard = max(transcript(program, job_id)["segments"], key=lambda line: len(line["words"]))
        words = heard["text"].split()
        place = len(words) // 2
        text = " ".join([*words[:place], "please consider the elephant", *words[place:]])
        written = write(program, job_id, heard, text)
        assert kinds(written)[place : place + 4] == ["spread"] * 4
        line = settled(program, job_id, heard["id"])
        assert line["words"] == written["words"]
        assert len(program.client.get(f"/api/jobs/{job_id}/edits").json()["edits"]) == 1
