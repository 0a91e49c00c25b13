"""What browsers make of a recording, by what is in the file and not by its name."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import av
import pytest

from testkit.media_files import encode, write_wav
from testkit.sounds import RATE, babble
from whisper_service.actors.media.decoder import Recording
from whisper_service.actors.media.playback import AS_SENT, COPY, COPY_IN_RESERVE, Playback, playback_of

TALK = babble(2)


def after_reading(path: Path, track: int | None = None, name: str = "") -> Playback:
    """Return what a player should get of a file, as it is known after the last block."""
    with Recording(path, track=track, name=name) as recording:
        for _ in recording.blocks():
            pass
        return playback_of(recording, path)


@pytest.mark.parametrize(
    ("codec", "format", "expected"),
    [
        ("pcm_s16le", "wav", AS_SENT),
        ("pcm_u8", "wav", AS_SENT),
        ("pcm_f32le", "wav", AS_SENT),
        ("flac", "flac", AS_SENT),
        ("libopus", "ogg", AS_SENT),
        ("libopus", "webm", AS_SENT),
        ("aac", "ipod", AS_SENT),
        ("aac", "mov", AS_SENT),
        ("libmp3lame", "mp3", AS_SENT),
        ("wmav2", "asf", COPY),
        ("alac", "caf", COPY),
        ("alac", "ipod", COPY),
        ("pcm_s16be", "aiff", COPY),
        ("pcm_s16be", "au", COPY),
        ("pcm_alaw", "wav", COPY),
        ("pcm_mulaw", "wav", COPY),
        ("adpcm_ima_wav", "wav", COPY),
        ("adpcm_ms", "wav", COPY),
        ("pcm_s16le", "w64", COPY),
        ("pcm_s16le", "mov", COPY),
        ("ac3", "ac3", COPY),
        ("ac3", "mp4", COPY),
        ("mp2", "mp2", COPY),
        ("aac", "adts", COPY),
        ("aac", "matroska", COPY),
        ("aac", "mpegts", COPY),
        ("flac", "ogg", COPY),
    ],
)
def test_the_container_and_the_codec_decide(tmp_path: Path, codec: str, format: str, expected: Playback) -> None:
    rate = {"libopus": 48_000, "ac3": 48_000, "libmp3lame": 44_100, "mp2": 44_100}.get(codec, RATE)
    path = encode(tmp_path / "recording.wav", TALK, codec, rate=rate, format=format)
    assert after_reading(path) == expected


def test_sound_without_a_header_needs_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "call"
    path.write_bytes(bytes(range(256)) * 100)
    assert after_reading(path, name="call.alaw") == COPY


def test_rates_and_channels_that_no_browser_plays(tmp_path: Path) -> None:
    assert after_reading(write_wav(tmp_path / "slow.wav", TALK, 4_000)) == COPY
    with wave.open(str(tmp_path / "wide.wav"), "wb") as file:
        file.setparams((10, 2, RATE, 0, "NONE", ""))
        file.writeframes(TALK[:16_000].repeat(10).tobytes())
    assert after_reading(tmp_path / "wide.wav") == COPY


@pytest.mark.parametrize(("codec", "format"), [("pcm_s16le", "wav"), ("flac", "flac"), ("libopus", "ogg")])
def test_a_chain_of_files_needs_a_copy(tmp_path: Path, codec: str, format: str) -> None:
    one = encode(tmp_path / "one", TALK, codec, rate=48_000, format=format)
    assert after_reading(one) == AS_SENT
    chain = tmp_path / "chain"
    chain.write_bytes(one.read_bytes() * 2)
    assert after_reading(chain) == COPY


def test_sound_behind_its_stated_end_needs_a_copy(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", TALK)
    path.write_bytes(path.read_bytes() + babble(3, seed=1).tobytes())
    assert after_reading(path) == COPY


def test_pictures_are_not_given_up_where_a_browser_may_show_them(tmp_path: Path) -> None:
    assert after_reading(encode(tmp_path / "a", TALK, "aac", video_s=2, format="matroska")) == COPY_IN_RESERVE
    assert after_reading(encode(tmp_path / "b", TALK, "aac", video_s=2, format="mp4")) == COPY_IN_RESERVE  # MPEG-4
    assert after_reading(encode(tmp_path / "c", TALK, "wmav2", video_s=2, format="asf")) == COPY
    assert after_reading(encode(tmp_path / "d", TALK, "ac3", rate=48_000, video_s=2, format="matroska")) == COPY


def test_what_is_known_only_after_the_last_block(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "talk", TALK)
    with Recording(path) as recording:
        assert playback_of(recording, path) == AS_SENT
        recording.damaged = 1
        assert playback_of(recording, path) == COPY_IN_RESERVE
        recording.jumps = [(1.0, 3_600.0)]
        assert playback_of(recording, path) == COPY


def test_another_track_than_players_choose_needs_a_copy(tmp_path: Path) -> None:
    path = two_tracks(tmp_path / "two.mp4")
    assert after_reading(path, track=0) == AS_SENT
    assert after_reading(path, track=1) == COPY


def two_tracks(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as container:
        streams: list[Any] = [container.add_stream("aac", rate=RATE, layout="mono") for _ in range(2)]
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(TALK[None, :], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    return path
