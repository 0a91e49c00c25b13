"""A call with a person in each channel, through the real program and the real model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from testkit import media_files, prompts
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving
from testkit.sounds import Samples, silence

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
]


def call() -> Samples:
    """Return two people who talk at once, then one after the other. Each is heard a little in the other channel."""
    left = prompts.talk("dir-intro", "demo-abouttotry", pause_s=0.5)
    right = prompts.talk("vm-options", pause_s=0.5)
    length = max(len(left), len(right))
    sides = [np.pad(side, (0, length - len(side))).astype(np.int16) for side in (left, right)]
    channels = np.stack([np.concatenate([side, silence(1)]) for side in sides])
    afar = np.roll(channels[::-1], 90, axis=1) // 16
    return (channels + afar).T.copy()


def said(program: Program, job_id: str, speaker: str | None = None) -> str:
    lines: list[dict[str, Any]] = program.client.get(f"/api/jobs/{job_id}/transcript").json()["segments"]
    return " ".join(line["text"] for line in lines if speaker is None or line["speaker"] == speaker).lower()


def test_each_channel_is_a_speaker_and_nothing_is_lost_where_both_talk(tmp_path: Path) -> None:
    source = media_files.write_wav(tmp_path / "call.wav", call())
    with serving(tmp_path / "home") as program:
        ids = {wish: program.submit(source, channels=wish, language="en") for wish in ("mix", "apart", "auto")}
        jobs = {wish: program.ended(job_id) for wish, job_id in ids.items()}
        assert {wish: job["channels"] for wish, job in jobs.items()} == {"mix": 0, "apart": 2, "auto": 2}
        apart = ids["apart"]
        print(said(program, apart, "s1"), "|", said(program, apart, "s2"), "|", said(program, ids["mix"]))
        assert "directory" in said(program, apart, "s1")
        assert "asterisk" not in said(program, apart, "s2")
        assert program.transcript(apart) == program.transcript(ids["auto"])
        starts = [line["start"] for line in program.client.get(f"/api/jobs/{apart}/transcript").json()["segments"]]
        assert starts == sorted(starts)
        vtt = program.client.get(f"/api/jobs/{apart}/export?format=vtt").text
        assert "<v Speaker 1>" in vtt
        assert "<v Speaker 2>" in vtt
        assert not list((tmp_path / "home").rglob("*.channels.pcm"))


def test_a_service_that_is_killed_gives_the_identical_text(tmp_path: Path) -> None:
    source = media_files.write_wav(tmp_path / "call.wav", np.concatenate([call(), call()]))
    with serving(tmp_path / "home") as program:
        program.ended(first := program.submit(source, channels="auto", language="en"))
        undisturbed = program.transcript(first)
        second = program.submit(source, channels="auto", language="en")
        next(job for job in program.updates(second) if job["chunks_done"] >= 1)
        program.kill()
        program.start()
        assert program.ended(second)["status"] == "completed"
        assert program.transcript(second) == undisturbed
        assert len({line["speaker"] for line in json.loads(undisturbed)["segments"]}) == 2
