"""Known speakers with the real networks: two people are recognised by other sentences of theirs, strangers are not."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from testkit.prompts import NO_PROMPTS, PROMPTS, prompt
from testkit.sounds import RATE, Samples, hiss, join, silence
from testkit.speaker_networks import NoNetworks, speaker_networks
from whisper_service.app.known_speakers import Clip, KnownSpeakers, Reference, SpeakersUnheard
from whisper_service.app.wiring import MEDIA, SPEAKERS_ENTRY
from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.errors import InvalidRequest
from whisper_service.storage.data_dir import DataDir
from whisper_service.supervision.orphans import OrphanList

READER = Path("/usr/share/pocketsphinx/test/data/librivox")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not (PROMPTS.is_dir() and READER.is_dir()), reason=f"{NO_PROMPTS}, or pocketsphinx-testdata is not"
    ),
]


class Job:
    """A store with one job whose speakers have these voices."""

    def __init__(self) -> None:
        self.speakers = self
        self.voices: dict[str, bytes] = {}

    async def directions(self, job_id: str) -> dict[str, bytes]:
        return self.voices


@pytest.fixture
def job() -> Job:
    return Job()


@pytest.fixture
async def known(tmp_path: Path, job: Job) -> AsyncIterator[KnownSpeakers]:
    try:
        networks = speaker_networks()
    except NoNetworks as error:
        pytest.skip(str(error))
    data = DataDir(tmp_path / "data")
    with data.hold():
        yield KnownSpeakers(
            cast("Any", job),
            data,
            SupervisionSettings(),
            OrphanList(data.orphans),
            media_entry=MEDIA,
            speakers_entry=SPEAKERS_ENTRY,
            networks=networks,
        )
        assert list(data.spool.iterdir()) == []


def read(name: str) -> Samples:
    raw = (READER / f"sense_and_sensibility_01_austen_64kb-{name}.wav").read_bytes()[44:]
    return np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<i2").astype(np.int16)


def file(samples: Samples) -> bytes:
    whole = io.BytesIO()
    with wave.open(whole, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.astype("<i2").tobytes())
    return whole.getvalue()


def seconds(samples: Samples, most: float) -> Samples:
    return samples[: round(most * RATE)]


async def voice(known: KnownSpeakers, samples: Samples) -> bytes:
    """Return the direction of a voice, as a job would have it."""
    clips = await known.decode([Reference("x", file(samples))])
    (direction,) = await known._each(known._speakers(), known._direction, clips)
    return direction


@pytest.mark.parametrize("broken", ["media_entry", "speakers_entry"])
async def test_actors_that_cannot_start_are_told(tmp_path: Path, job: Job, broken: str) -> None:
    data = DataDir(tmp_path / "data")
    entries = {"media_entry": MEDIA, "speakers_entry": SPEAKERS_ENTRY} | {broken: "testkit.scripted_actors:broken"}
    job.voices = {"s1": bytes(768)}
    with data.hold():
        known = KnownSpeakers(
            cast("Any", job), data, SupervisionSettings(), OrphanList(data.orphans), networks=tmp_path, **entries
        )
        clip = Clip("Li", bytes(2 * RATE), 0, RATE)
        act = known.decode([Reference("Li", b"x")]) if broken == "media_entry" else known.recognise("job", [clip])
        with pytest.raises(SpeakersUnheard) as failed:
            await act
        assert failed.value.params["detail"]
        assert list(data.spool.iterdir()) == []


async def test_missing_networks_are_told(tmp_path: Path, job: Job) -> None:
    data = DataDir(tmp_path / "data")
    job.voices = {"s1": bytes(768)}
    with data.hold():
        known = KnownSpeakers(
            cast("Any", job),
            data,
            SupervisionSettings(),
            OrphanList(data.orphans),
            networks=tmp_path / "gone",
            media_entry=MEDIA,
            speakers_entry=SPEAKERS_ENTRY,
        )
        with pytest.raises(SpeakersUnheard) as failed:
            await known.recognise("job", [Clip("Li", bytes(2 * RATE), 0, RATE)])
        assert failed.value.params["detail"]


async def test_people_are_recognised_by_other_sentences_and_strangers_are_not(known: KnownSpeakers, job: Job) -> None:
    operator = await voice(known, seconds(prompt("demo-abouttotry"), 9))
    reader = await voice(known, join(read("0880"), silence(0.3), read("0930")))
    job.voices = {"s1": operator, "s2": reader}
    clips = await known.decode(
        [
            Reference("Austen", file(seconds(read("0870"), 6))),
            Reference("Allison", file(join(silence(1.0), seconds(prompt("vm-options"), 4)))),
        ]
    )
    assert await known.recognise("job", clips) == {"s1": "Allison", "s2": "Austen"}
    assert await known.recognise("job", clips[:1]) == {"s2": "Austen"}
    job.voices = {"s1": operator}
    assert await known.recognise("job", clips[:1]) == {}, "the only speaker is not the only name"
    assert await known.recognise("job", []) == {}


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        (b"not a recording", "cannot be read"),
        (b"", "cannot be read"),
        (file(hiss(5.0)), "Nobody is heard to speak"),
        (file(silence(5.0)), "Nobody is heard to speak"),
        (file(silence(1.0)), "1.0 s long"),
        (file(silence(25.0)), "25.0 s long"),
    ],
)
async def test_what_is_no_voice_of_the_right_length_is_refused(known: KnownSpeakers, sound: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        await known.decode([Reference("Li", sound)])
    assert refused.value.params == {"field": "known_speaker_references", "reason": "invalid_value"}
    assert "“Li”" in refused.value.message
