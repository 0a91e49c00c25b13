"""Which of several audio tracks is heard, and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from testkit.media_files import write_wav
from testkit.sounds import RATE, babble
from whisper_service.actors.media import main as media
from whisper_service.actors.media import remarks
from whisper_service.actors.media.decoder import Recording
from whisper_service.actors.media.tracks import DecodeFailed, NoSuchTrack
from whisper_service.supervision.messages.media import Decode, MediaInfo


def film(path: Path, *tracks: tuple[str, str, int], default: int = 0) -> Path:
    """Write tracks of (codec, language tag, seconds): the length tells which one was read."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for number, (codec, language, _) in enumerate(tracks):
            stream: Any = container.add_stream(codec, rate=RATE, layout="mono")
            stream.metadata["language"] = language
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
            stream.codec_context.open()
            streams.append(stream)
        for stream, (_, _, seconds) in zip(streams, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(babble(seconds)[None, :], format="s16", layout="mono")
            frame.sample_rate = RATE
            for ready in (frame, None):
                container.mux(stream.encode(ready))
    return path


def read(path: Path, **wish: Any) -> tuple[int, Recording]:
    """Return the seconds of the track that was read, and the recording."""
    with Recording(path, **wish) as recording:
        seconds = sum(map(len, recording.blocks())) / RATE
    return round(seconds), recording


def codes(recording: Recording) -> list[str]:
    return [remark.code for remark in remarks.on_tracks(recording)]


BILINGUAL = (("aac", "ger", 2), ("aac", "eng", 3), ("aac", "", 4))


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ({}, 3),
        ({"language": "en"}, 3),
        ({"language": "ja"}, 3),
        ({"track": 0}, 2),
        ({"track": 2}, 4),
        ({"track": 2, "language": "en"}, 4),
    ],
)
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_the_choice_of_a_track(tmp_path: Path, name: str, wish: dict[str, Any], seconds: int) -> None:
    found, recording = read(film(tmp_path / name, *BILINGUAL, default=1), **wish)
    assert found == seconds
    assert codes(recording) == ["other_tracks"]
    assert [(track.index, track.codec, track.decodable) for track in recording.tracks] == [
        (number, "aac", True) for number in range(3)
    ]
    assert [track.language for track in recording.tracks][:2] == ["ger", "eng"]


def test_the_language_of_the_job_comes_before_the_default(tmp_path: Path) -> None:
    found, recording = read(film(tmp_path / "a.mkv", *BILINGUAL, default=0), language="en")
    assert (found, recording.track) == (3, 1)
    (remark,) = remarks.on_tracks(recording)
    assert remark.message == "The recording has 3 audio tracks. Track 1 (English) is transcribed; the others are not."
    assert remark.params == {"track": 1, "tracks": 3}


def test_a_track_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoSuchTrack, match="no audio track 1: the recording has 1 audio track"):
        Recording(write_wav(tmp_path / "a.wav", babble(1)), track=1)


def test_the_next_track_stands_in_for_one_of_an_unknown_format(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", ("pcm_s16le", "eng", 2), ("aac", "eng", 3))
    path.write_bytes(path.read_bytes().replace(b"A_PCM/INT/LIT", b"A_ZZZ/INT/LIT"))
    found, recording = read(path)
    assert (found, recording.track, recording.passed_over) == (3, 1, (0,))
    assert codes(recording) == ["track_undecodable", "other_tracks"]
    assert not recording.tracks[0].decodable
    with pytest.raises(DecodeFailed):
        Recording(path, track=0)


def test_the_next_track_stands_in_for_one_without_any_sound(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", ("aac", "eng", 2), ("aac", "eng", 3))
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_AC3", 1))
    found, recording = read(path)
    assert (found, recording.track, recording.passed_over) == (3, 1, (0,))
    assert codes(recording) == ["track_undecodable", "other_tracks"]
    assert [(track.used, track.decodable) for track in recording.tracks] == [(False, False), (True, True)]


def reported(path: Path, **wish: Any) -> list[list[tuple[bool, bool]]]:
    """Return what the media actor reports of the tracks, each time: used, decodable."""
    for name in ("spool", "peaks"):
        (path.parent / name).touch()
    command = Decode("job", str(path), str(path.parent / "spool"), str(path.parent / "peaks"), **wish)
    found = []
    try:
        for report in media.decode(command):
            if isinstance(report, MediaInfo):
                found.append([(track.used, track.decodable) for track in report.tracks])
    except DecodeFailed:
        found.append([])
    return found


def test_the_track_that_is_used_is_the_one_that_is_heard(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", ("aac", "eng", 2), ("aac", "eng", 3))
    whole = path.read_bytes()
    assert reported(path) == [[(True, True), (False, True)]]
    path.write_bytes(whole.replace(b"A_AAC", b"A_AC3", 1))
    assert reported(path) == [[(True, True), (False, True)], [(False, False), (True, True)]]
    assert reported(path, track=0) == [[(True, True), (False, True)], [(False, False), (False, True)], []]
    path.write_bytes(whole.replace(b"A_AAC", b"A_AC3"))
    assert reported(path)[-2:] == [[(False, False), (False, False)], []]


def test_hundreds_of_tracks(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", *[("pcm_s16le", "", 1)] * 300)
    found, recording = read(path, track=299)
    assert found == 1
    assert recording.track_count == 300
    assert len(recording.tracks) < 300
    (remark,) = remarks.on_tracks(recording)
    assert "300 audio tracks. Track 299 is transcribed" in remark.message


def test_one_track_is_nothing_to_speak_of(tmp_path: Path) -> None:
    _, recording = read(film(tmp_path / "a.mkv", ("aac", "eng", 2)))
    assert codes(recording) == []
    assert [track.used for track in recording.tracks] == [True]
