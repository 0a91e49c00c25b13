"""Two real people, the real model, the real networks: who says what, as a user gets it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testkit import media_files
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving
from testkit.speaker_networks import NoNetworks, speaker_networks
from testkit.two_people import HERE, NOT_HERE, Turn, conversation
from whisper_service.models.speaker_networks import SPEAKERS

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not HERE, reason=NOT_HERE),
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    try:
        networks = speaker_networks()
    except NoNetworks as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("speakers")
    shutil.copytree(networks, home / "data" / "models" / SPEAKERS)
    with serving(home) as up:
        yield up


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Turn]]:
    sound, turns = conversation()
    return media_files.write_wav(tmp_path_factory.mktemp("in") / "two.wav", sound), turns


@pytest.fixture(scope="module")
def job(program: Program, spoken: tuple[Path, list[Turn]]) -> dict[str, Any]:
    return program.ended(program.submit(spoken[0], language="en", speakers="auto"))


def words_with_speakers(program: Program, job_id: str) -> list[tuple[float, float, str | None]]:
    """Return begin, end and speaker of every word, by the timeline."""
    ((turns,),) = program.rows("SELECT turns FROM speaker_timeline WHERE job_id = ?", job_id)
    timeline = json.loads(turns)
    rows = program.rows("SELECT words FROM segment WHERE job_id = ? ORDER BY start", job_id)
    words = [word for (cell,) in rows for word in json.loads(cell)]
    return [
        (word["start"], word["end"], next((who for start, who in reversed(timeline) if start <= word["start"]), None))
        for word in words
    ]


def test_every_word_is_under_the_person_who_says_it(
    program: Program, spoken: tuple[Path, list[Turn]], job: dict[str, Any]
) -> None:
    assert (job["status"], job["speakers"], job["history"]) == ("completed", 2, [])
    said = words_with_speakers(program, job["id"])
    names = {"A": "s1", "B": "s2"}
    pairs = [
        (names[turn.who], speaker)
        for start, end, speaker in said
        for turn in spoken[1]
        if turn.start <= (start + end) / 2 <= turn.end
    ]
    assert len(pairs) > 80
    right = sum(true == found for true, found in pairs)
    print(f"{right} of {len(pairs)} words are under the right person")
    assert right >= 0.97 * len(pairs)


def test_text_and_times_are_those_without_speakers(
    program: Program, spoken: tuple[Path, list[Turn]], job: dict[str, Any]
) -> None:
    other = program.ended(program.submit(spoken[0], language="en", speakers="off"))
    columns = 'chunk, "index", start, "end", text, words, language, avg_logprob, no_speech_prob'
    sql = f"SELECT {columns} FROM segment WHERE job_id = ? ORDER BY 1, 2"
    assert program.rows(sql, other["id"]) == program.rows(sql, job["id"])
    assert other["speakers"] is None
    assert not program.rows("SELECT 1 FROM voice WHERE job_id = ?", other["id"])


def test_voices_leave_the_service_in_no_answer(program: Program, job: dict[str, Any]) -> None:
    for path in (f"/api/jobs/{job['id']}", f"/api/jobs/{job['id']}/transcript", "/api/system", "/api/diagnostics"):
        answer = program.client.get(path)
        assert answer.status_code in (200, 404)
        assert b"centroid" not in answer.content
        assert b"voices" not in answer.content
