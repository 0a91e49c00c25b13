"""Two real people with references, through OpenAI's own client: the real model, the real networks, real sound."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from testkit import media_files
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving
from testkit.sounds import RATE
from testkit.speaker_networks import NoNetworks, speaker_networks
from testkit.two_people import HERE, NOT_HERE, Turn, clip, conversation
from whisper_service.models.speaker_networks import SPEAKERS

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not HERE, reason=NOT_HERE),
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
]

HEARD = (("A", "demo-abouttotry"), ("B", "0870"), ("A", "vm-options"), ("B", "0890"), ("A", "dir-intro"))
"""The conversation. The references are other clips."""
NAMES = {"A": "Allison", "B": "reader"}
REFERENCES = {"A": "demo-moreinfo", "B": "0920"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    try:
        networks = speaker_networks()
    except NoNetworks as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("known")
    shutil.copytree(networks, home / "data" / "models" / SPEAKERS)
    with serving(home) as program, OpenAI(base_url=f"{url(program)}/v1", api_key="any", max_retries=0) as made:
        yield made


def url(program: Program) -> str:
    return str(program.client.base_url).rstrip("/")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Turn]]:
    sound, turns = conversation(HEARD)
    return media_files.write_wav(tmp_path_factory.mktemp("in") / "two.wav", sound), turns


def reference(tmp_path: Path, who: str) -> str:
    file = media_files.write_wav(tmp_path / f"{who}.wav", clip(REFERENCES[who])[: 5 * RATE])
    return f"data:audio/wav;base64,{base64.b64encode(file.read_bytes()).decode()}"


def asked(client: OpenAI, file: Path, **fields: Any) -> list[tuple[float, str, str]]:
    """Return middle, speaker and text of each segment."""
    with file.open("rb") as opened:
        answer: Any = client.audio.transcriptions.create(
            file=opened,
            model="gpt-4o-transcribe-diarize",
            response_format="diarized_json",
            chunking_strategy="auto",
            language="en",
            **fields,
        )
    return [((one.start + one.end) / 2, one.speaker, one.text) for one in answer.segments]


def who_speaks(turns: list[Turn], middle: float) -> str:
    return next(turn.who for turn in reversed(turns) if turn.start <= middle)


def test_people_have_the_names_of_their_references(
    client: OpenAI, spoken: tuple[Path, list[Turn]], tmp_path: Path
) -> None:
    file, turns = spoken
    letters = asked(client, file)
    assert len(letters) >= len(HEARD)
    assert {(speaker, who_speaks(turns, middle)) for middle, speaker, _ in letters} == {("A", "A"), ("B", "B")}
    known = asked(
        client,
        file,
        known_speaker_names=[NAMES["B"], NAMES["A"]],
        known_speaker_references=[reference(tmp_path, "B"), reference(tmp_path, "A")],
    )
    assert [speaker for _, speaker, _ in known] == [NAMES[who_speaks(turns, middle)] for middle, *_ in known]
    assert [text for *_, text in known] == [text for *_, text in letters]
    one = asked(client, file, known_speaker_names=["reader"], known_speaker_references=[reference(tmp_path, "B")])
    assert {speaker for _, speaker, _ in one} == {"A", "reader"}
