"""A slice of `bench.quality.error_rates` with wide bounds: speech becomes text, none is lost, noise stays silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from testkit import media_files, prompts, sounds
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving
from testkit.scoring import score

pytestmark = [pytest.mark.model, pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED)]

WRONG_AT_MOST = 0.06
"""Share of the words; whole files of these prompts come out below 0.02."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with serving(tmp_path_factory.mktemp("quality") / "home", models__offline=True) as up:
        yield up


def heard(program: Program, path: Path, **options: str) -> str:
    with path.open("rb") as file:
        answer = program.client.post("/api/jobs", files={"file": (path.name, file)}, data=options)
    job = program.ended(answer.json()["id"])
    assert job["status"] == "completed", job
    segments = program.client.get(f"/api/jobs/{job['id']}/transcript").json()["segments"]
    return " ".join(segment["text"].strip() for segment in segments)


@pytest.mark.skipif(not prompts.PROMPTS.is_dir() or not prompts.TEXTS.is_file(), reason=prompts.NO_PROMPTS)
@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_a_minute_and_a_half_of_sentences_with_pauses(program: Program, tmp_path: Path, preset: str) -> None:
    sound, said = prompts.prompts(90.0)
    path = media_files.write_wav(tmp_path / f"{preset}.wav", sound)
    result = score("en", said, heard(program, path, preset=preset))
    print(preset, result)
    assert result.units > 100
    assert result.errors <= WRONG_AT_MOST * result.units, str(result)
    assert not result.lost, str(result)


def chord(seconds: float) -> sounds.Samples:
    """Four tones with overtones that swell and fade: as near to music as tones get."""
    at = np.arange(int(seconds * sounds.RATE)) / sounds.RATE
    tones = sum(
        np.sin(2 * np.pi * pitch * overtone * at) / overtone for pitch in (220, 277, 330, 440) for overtone in (1, 2, 3)
    )
    return (tones * (0.5 + 0.5 * np.sin(at)) * 1_500).astype(np.int16)


@pytest.mark.parametrize(
    "sound",
    [sounds.silence(40), sounds.hiss(40), chord(40)],
    ids=["silence", "noise", "tones"],
)
def test_where_nobody_speaks_nothing_is_written(program: Program, tmp_path: Path, sound: sounds.Samples) -> None:
    assert heard(program, media_files.write_wav(tmp_path / "still.wav", sound)) == ""
