"""The channels of a recording: when each is another person, and what is kept of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from testkit.media_files import encode, write_wav
from testkit.sounds import RATE, Samples, babble, hiss, join, silence
from whisper_service.actors.media.channels import MOST, are_people, channels_of
from whisper_service.actors.media.main import decode
from whisper_service.core.domain import Channels
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, MediaInfo
from whisper_service.supervision.protocol import Report

LEFT = join(babble(4), silence(5), babble(4, seed=2), silence(3), silence(4))
RIGHT = join(silence(5), babble(4, seed=1), silence(3), babble(4, seed=3), silence(4))
CALL = np.stack([LEFT, RIGHT])
"""Two people who interrupt each other once, shape (2, samples)."""


def decoded(directory: Path, source: Path, **fields: Any) -> list[Report]:
    """Decode with the files that the service creates. `apart` is the second spool."""
    for name in ("pcm", "peaks", "apart"):
        (directory / name).touch()
    known = {"spool": str(directory / "pcm"), "peaks": str(directory / "peaks"), "apart": str(directory / "apart")}
    return list(decode(Decode(job_id="job", source=str(source), **known | fields)))


def test_people_on_two_channels_are_people() -> None:
    assert are_people(CALL)


def test_people_on_two_channels_in_noise_are_people() -> None:
    noise = np.stack([hiss(20, seed=1), hiss(20, seed=2)])
    assert are_people(CALL + noise[:, : CALL.shape[1]])


def test_what_is_heard_of_the_other_microphone_changes_nothing() -> None:
    assert are_people(CALL + (CALL[::-1] // 8))


@pytest.mark.parametrize("share", [1.0, 0.7, 0.5])
def test_one_room_in_two_microphones_is_not_two_people(share: float) -> None:
    room = LEFT + RIGHT
    assert not are_people(np.stack([room, (share * room).astype(np.int16)]))


def test_people_who_always_speak_at_once_are_people() -> None:
    assert are_people(np.stack([babble(8, seed=5), babble(8, seed=6)]))


def test_one_room_that_reverberates_differently_in_each_microphone_is_not_two_people() -> None:
    dice = np.random.default_rng(3)
    length = round(0.6 * RATE)
    echoes = 0.1 * dice.standard_normal((2, length)) * 10 ** (-3 * np.arange(length) / length)
    echoes[:, 0] = 0.5
    room = (LEFT + RIGHT).astype(float)
    assert not are_people(np.stack([np.convolve(room, echo)[: len(room)] for echo in echoes]).astype(np.int16))


def test_one_person_beside_an_empty_channel_is_not_two_people() -> None:
    assert not are_people(np.stack([LEFT, hiss(20)[: len(LEFT)]]))
    assert not are_people(np.stack([LEFT, 0 * LEFT]))


def test_silence_is_nobody() -> None:
    assert not are_people(np.stack([silence(5), silence(5)]))


@pytest.mark.parametrize(
    ("wish", "channels", "count"),
    [
        (Channels.MIX, 2, 0),
        (Channels.APART, 1, 0),
        (Channels.APART, 2, 2),
        (Channels.APART, MOST, MOST),
        (Channels.APART, MOST + 1, 0),
        (Channels.AUTO, 1, 0),
    ],
)
def test_so_many_channels_are_kept_apart(tmp_path: Path, wish: Channels, channels: int, count: int) -> None:
    source = write_wav(tmp_path / "a.wav", np.tile(babble(1)[:, None], channels))
    assert channels_of(Decode(job_id="job", source=str(source), spool="", peaks="", channels=wish)) == count


def test_the_second_spool_has_the_channels_as_they_are_and_the_first_one_the_mix(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "call.wav", CALL.T)
    info, *others = decoded(tmp_path, source, channels=Channels.AUTO)
    assert isinstance(info, MediaInfo)
    assert info.channels == 2
    assert isinstance(others[-1], Decoded)
    assert (tmp_path / "apart").read_bytes() == CALL.T.tobytes()
    assert (tmp_path / "pcm").stat().st_size == 2 * CALL.shape[1]


def test_the_channels_of_a_chunk_are_there_when_it_is_reported(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "call.wav", np.tile(CALL, 6).T)
    for name in ("pcm", "peaks", "apart"):
        (tmp_path / name).touch()
    files = {name: str(tmp_path / path) for name, path in (("spool", "pcm"), ("peaks", "peaks"), ("apart", "apart"))}
    for report in decode(Decode(job_id="job", source=str(source), channels=Channels.APART, **files)):
        if isinstance(report, ChunkFound):
            end = report.span.start_sample + report.span.samples
            assert (tmp_path / "apart").stat().st_size >= 4 * end


def test_a_recording_that_changes_its_channels_keeps_all_of_its_sound(tmp_path: Path) -> None:
    source = tmp_path / "changing.aac"
    parts = [encode(tmp_path / "a.aac", CALL.T, layout="stereo"), encode(tmp_path / "b.aac", LEFT)]
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    decoded(tmp_path, source, channels=Channels.APART)
    apart = np.fromfile(tmp_path / "apart", dtype=np.int16).reshape(-1, 2)
    assert len(apart) * 2 == (tmp_path / "pcm").stat().st_size
    behind = apart[len(LEFT) + RATE :].astype(float)
    assert np.abs(behind[:, 0]).max() > 5_000
    assert np.abs(behind[:, 1]).max() == 0


def test_a_wish_that_cannot_be_fulfilled_is_told(tmp_path: Path) -> None:
    *_, end = decoded(tmp_path, write_wav(tmp_path / "mono.wav", LEFT), channels=Channels.APART)
    assert isinstance(end, Decoded)
    assert [warning.code for warning in end.warnings] == ["channels_mixed"]
    *_, end = decoded(tmp_path, write_wav(tmp_path / "mono.wav", LEFT), channels=Channels.AUTO)
    assert isinstance(end, Decoded)
    assert not end.warnings


def test_a_file_without_sound_fails_as_ever(tmp_path: Path) -> None:
    source = tmp_path / "none.wav"
    source.write_bytes(b"no sound")
    assert channels_of(Decode(job_id="job", source=str(source), spool="", peaks="", channels=Channels.AUTO)) == 0


def test_equal_files_give_equal_channels(tmp_path: Path) -> None:
    source: Samples = np.tile(CALL, 2).T
    contents = []
    for number in range(2):
        directory = tmp_path / str(number)
        directory.mkdir()
        decoded(directory, write_wav(directory / "call.wav", source), channels=Channels.AUTO)
        contents.append((directory / "apart").read_bytes())
    assert contents[0] == contents[1]
