"""Any media file as 16 kHz mono."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from testkit.media_files import encode, write_wav
from testkit.sounds import RATE, Samples, babble, hiss, join, silence
from whisper_service.actors.media.decoder import Recording
from whisper_service.actors.media.open_part import NotMedia
from whisper_service.actors.media.resampler import BLOCK
from whisper_service.actors.media.tracks import DecodeFailed, NoAudio
from whisper_service.core.errors import NotFound, WebPage

VOICE = babble(5)


def decode(path: Path) -> Samples:
    with Recording(path) as recording:
        return np.concatenate(list(recording.blocks()))


def loudness(sound: Samples) -> float:
    """Decibels relative to the voice."""
    return float(10 * np.log10(np.mean(sound.astype(float) ** 2) / np.mean(VOICE.astype(float) ** 2)))


def test_16_khz_mono_comes_out_as_it_is(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", VOICE)
    assert (decode(path) == VOICE).all()
    with Recording(path) as recording:
        sizes = [len(block) for block in recording.blocks()]
        assert recording.position_s == recording.duration_s == 5.0
    assert set(sizes) == {BLOCK}


CONTAINERS = [
    ("a.mp3", "libmp3lame", 44_100, "stereo"),
    ("a.m4a", "aac", 48_000, "stereo"),
    ("a.mov", "aac", 44_100, "mono"),
    ("a.mkv", "flac", 96_000, "mono"),
    ("a.webm", "libopus", 48_000, "stereo"),
    ("a.ogg", "libopus", 48_000, "mono"),
    ("a.flac", "flac", 16_000, "mono"),
    ("a.aac", "aac", 32_000, "mono"),
    ("a.wma", "wmav2", 44_100, "stereo"),
    ("a.wav", "pcm_mulaw", 8_000, "mono"),
    ("a.wav", "pcm_u8", 11_025, "mono"),
    ("a.aiff", "pcm_s16be", 22_050, "stereo"),
    ("a.ts", "aac", 48_000, "stereo"),
    ("a.avi", "ac3", 48_000, "stereo"),
]


@pytest.mark.parametrize(("name", "codec", "rate", "layout"), CONTAINERS)
def test_every_usual_container(tmp_path: Path, name: str, codec: str, rate: int, layout: str) -> None:
    voice = VOICE if layout == "mono" else np.repeat(VOICE[:, None], 2, axis=1)
    path = encode(tmp_path / name, voice, codec, rate=rate, layout=layout)
    anonymous = path.rename(tmp_path / "upload")  # what a file is must not depend on its name
    sound = decode(anonymous)
    assert len(sound) == pytest.approx(len(VOICE), abs=0.12 * RATE)
    assert loudness(sound) == pytest.approx(0, abs=1.5)
    assert (decode(anonymous) == sound).all(), "two runs differ"


def test_sound_beside_pictures(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", VOICE, video_s=5)
    assert loudness(decode(path)) == pytest.approx(0, abs=1)


def test_antiphase_stereo_is_heard(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack([VOICE, -VOICE], axis=1))
    assert loudness(decode(path)) == pytest.approx(0, abs=0.1)


def test_a_voice_in_the_centre_of_5_1_is_heard(tmp_path: Path) -> None:
    channels = np.stack([hiss(5, seed) for seed in range(6)], axis=1)
    channels[:, 2] = VOICE
    path = encode(tmp_path / "a.mkv", channels, "flac", layout="5.1")
    assert loudness(decode(path)) == pytest.approx(0, abs=0.5)


# -- the clock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_sound_that_begins_after_the_pictures(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, VOICE, rate=48_000, video_s=8, late_s=1.5)
    with Recording(path) as recording:
        samples = sum(map(len, recording.blocks()))
        assert recording.start_s == pytest.approx(1.5, abs=0.05)
        assert samples == pytest.approx(len(VOICE), abs=0.1 * RATE)
        assert recording.position_s == pytest.approx(6.5, abs=0.1)


def test_sound_alone_begins_at_zero_whatever_its_time_stamps(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", VOICE, late_s=100)
    with Recording(path) as recording:
        list(recording.blocks())
        assert recording.start_s == 0
        assert recording.position_s == pytest.approx(5, abs=0.1)


def test_a_hole_is_filled_with_silence_so_that_later_words_keep_their_time(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", VOICE, "flac", hole=(2, 3))
    sound = decode(path)
    assert len(sound) == pytest.approx(8 * RATE, abs=0.2 * RATE)
    assert not sound[int(2.2 * RATE) : int(4.8 * RATE)].any()
    assert loudness(sound[5 * RATE :]) == pytest.approx(0, abs=1.5)


def test_a_time_stamp_beyond_the_end_is_not_a_hole(tmp_path: Path) -> None:
    path = tmp_path / "live.ts"
    encode(path, VOICE, rate=48_000, hole=(2, 3_000))
    assert len(decode(path)) == pytest.approx(len(VOICE), abs=0.2 * RATE)


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.wav", "pcm_s16le"), ("a.wav", "pcm_alaw")])
def test_a_file_that_was_cut_off_gives_what_it_holds(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, babble(20), codec, rate=44_100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with Recording(path) as recording:
        assert sum(map(len, recording.blocks())) == pytest.approx(10 * RATE, abs=RATE)
        assert recording.missing_s == pytest.approx(10, abs=1)
        assert recording.missing_s + recording.position_s == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", "libmp3lame"), ("a.mkv", "aac"), ("a.ogg", "libopus"), ("a.aac", "aac")]
)
def test_damage_in_the_middle_is_skipped(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, babble(20), codec, rate=48_000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2_000] = np.random.default_rng(0).bytes(2_000)
    path.write_bytes(data)
    sound = decode(path)
    assert len(sound) == pytest.approx(20 * RATE, abs=1.5 * RATE)
    assert loudness(sound[-5 * RATE :]) > -6, "the end is lost"


def test_an_mp3_without_a_stated_length_is_not_called_cut_off(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp3", join(silence(15), babble(30)), "libmp3lame", rate=44_100)
    data = path.read_bytes()
    assert b"Info" in data[:4096] or b"Xing" in data[:4096]
    path.write_bytes(data.replace(b"Info", b"Nope").replace(b"Xing", b"Nope"))
    with Recording(path) as recording:
        list(recording.blocks())
        assert recording.missing_s == 0


# -- what is no recording --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"hello " * 600,
        np.random.default_rng(1).bytes(20_000),
    ],
    ids=["empty", "newline", "text", "random"],
)
@pytest.mark.parametrize("name", ["upload", "upload.mp3", "upload.wav", "upload.m4a"])
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(NotMedia) as caught:
        Recording(path)
    assert caught.value.problem.hint


@pytest.mark.parametrize("size", [1, 9_000], ids=["short", "long"])  # FFmpeg would take the long one for damaged sound
def test_a_web_page_is_called_so(tmp_path: Path, size: int) -> None:
    path = tmp_path / "upload.mp3"
    path.write_bytes(b"<!doctype html><html><body>" + b"<p>Your session has ended.</p>" * size)
    with pytest.raises(WebPage) as caught:
        Recording(path)
    assert (caught.value.code, bool(caught.value.problem.hint)) == ("web_page", True)


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\x1f\x43\xb6\x75\x01", "WebM"), (b"\0\0\0\x18moof", "MP4"), (b"\0\0\0\x18styp", "MP4")],
)
def test_a_later_piece_of_a_recording_is_called_that(tmp_path: Path, head: bytes, kind: str) -> None:
    path = tmp_path / "piece"
    path.write_bytes(head + bytes(range(256)) * 20)
    with pytest.raises(NotMedia) as caught:
        Recording(path)
    assert f"a later piece of a {kind} recording" in caught.value.problem.hint


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", VOICE)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(NotMedia):
        Recording(path)


def test_pictures_without_sound(tmp_path: Path) -> None:
    with pytest.raises(NoAudio):
        Recording(encode(tmp_path / "a.mp4", None, video_s=2))


def test_a_header_without_samples(tmp_path: Path) -> None:
    with pytest.raises(NoAudio):
        decode(write_wav(tmp_path / "a.wav", silence(0)))


def test_sound_that_cannot_be_decoded_says_where(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ac3", rate=48_000, layout="mono")
        stream.codec_context.open()
        for number in range(50):
            packet = av.Packet(b"\xff" * 60)  # no sync word
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 50), number, number
            container.mux(packet)
    with pytest.raises(DecodeFailed) as caught:
        decode(tmp_path / "a.mkv")
    assert caught.value.problem.params == {"at_s": 0.0, "codec": "ac3"}


def test_a_codec_that_makes_no_sense_of_its_track(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", VOICE, "flac")
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_ALAC"))
    with pytest.raises(DecodeFailed):
        decode(path)


def test_a_track_that_begins_in_the_middle_of_a_broadcast_is_no_defect(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.ts", babble(20), "aac", format="mpegts").read_bytes()
    packets = [bytearray(whole[at : at + 188]) for at in range(0, len(whole), 188)]
    for packet in packets[len(packets) // 2 :]:
        if packet[1] & 0x1F == 1 and packet[2] == 0:  # the sound, from here on under another number
            packet[2] = 0x50
    cut = tmp_path / "cut.ts"
    cut.write_bytes(b"".join(packets))
    with Recording(cut) as recording:
        samples = sum(len(block.data) for block in recording.blocks())
    assert 9 < samples / RATE < 12


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Recording(tmp_path / "nothing.mp3")


@contextmanager
def visitors() -> Iterator[tuple[int, threading.Event]]:
    """Yield a port on this machine, and an event that is set by the first connection to it."""
    called = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        with contextlib.suppress(OSError):  # the end of the test
            while True:
                server.accept()[0].close()
                called.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield server.getsockname()[1], called
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        listener.join()


PLAYLISTS = {
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
    "a.ffconcat": "ffconcat version 1.0\nfile {url}\n",
    "b.ffconcat": "ffconcat version 1.0\nfile {file}\n",
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    "a.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    "<Representation id='1' bandwidth='1'><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "a.pls": "[playlist]\nFile1={url}\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("disguise", [None, "upload", "upload.mp3"])
def test_no_file_can_make_us_open_another(tmp_path: Path, name: str, disguise: str | None) -> None:
    secret = write_wav(tmp_path / "secret.wav", VOICE)
    path = tmp_path / (disguise or name)
    with visitors() as (port, called):
        path.write_text(PLAYLISTS[name].format(url=f"http://127.0.0.1:{port}/a.ts", file=secret.name, port=port))
        with pytest.raises(NotMedia):
            decode(path)
    assert not called.is_set()


# -- channels --------------------------------------------------------------------------------------------------------

MANY = [
    ("a.flac", "flac", "7.1"),
    ("a.m4a", "aac", "7.1"),
    ("a.opus", "libopus", "7.1"),
    ("a.mka", "pcm_f32le", "9 channels"),
    ("a.wv", "wavpack", "7.1"),
    ("a.wav", "pcm_s16le", "22.2"),
    ("a.wav", "pcm_s16le", "64 channels"),
    ("b.wav", "pcm_s16le", "FL+FR+LFE+TC"),
]


@pytest.mark.parametrize(("name", "codec", "layout"), MANY)
def test_a_voice_in_any_of_many_channels_is_heard(tmp_path: Path, name: str, codec: str, layout: str) -> None:
    count = av.AudioLayout(layout).nb_channels
    for channel in {0, 2 % count, count - 1} if count < 10 else {count - 1}:
        sound = np.zeros((len(VOICE), count), dtype=np.int16)
        sound[:, channel] = VOICE
        decoded = decode(encode(tmp_path / name, sound, codec, rate=48_000, layout=layout))
        assert len(decoded) == pytest.approx(len(VOICE), abs=0.1 * RATE)
        quiet = -8 if codec == "libopus" else -1.5  # 64 kbit/s for eight channels
        assert quiet < loudness(decoded) < 1.5, channel


def caf(path: Path, sound: Samples, labels: list[int]) -> Path:
    """A Core Audio file whose channels have an order of their own: PyAV would free such a layout twice."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack(">q", len(content)) + content

    count = len(labels)
    described = b"".join(struct.pack(">II12x", label, 0) for label in labels)
    path.write_bytes(
        b"caff\0\1\0\0"
        + chunk(b"desc", struct.pack(">d4s5I", RATE, b"lpcm", 0, 2 * count, 1, count, 16))
        + chunk(b"chan", struct.pack(">III", 0, 0, count) + described)
        + chunk(b"data", bytes(4) + sound.astype(">i2").tobytes())
    )
    return path


@pytest.mark.parametrize("labels", [[2, 1], [2, 1, 3, 33, 34, 35, 36, 37, 38, 39, 40, 41]])
def test_channels_in_an_order_of_their_own_are_heard(tmp_path: Path, labels: list[int]) -> None:
    path = caf(tmp_path / "a.caf", np.repeat(VOICE[:, None], len(labels), axis=1), labels)
    code = (
        "from whisper_service.actors.media.decoder import Recording\n"
        f"print(sum(map(len, Recording({str(path)!r}).blocks())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(len(VOICE))), done.stderr
    assert loudness(decode(path)) == pytest.approx(0, abs=0.1)


def test_a_hole_in_sound_of_eight_channels(tmp_path: Path) -> None:
    sound = np.repeat(VOICE[:, None], 8, axis=1)
    path = encode(tmp_path / "a.mka", sound, "aac", layout="7.1", rate=48_000, hole=(2, 3))
    assert len(decode(path)) == pytest.approx(8 * RATE, abs=0.2 * RATE)


def wide_wav(path: Path, sound: Samples, kind: str) -> Path:
    """Write a WAV file of the extensible form. `kind`: u8, s16, s32 or flt."""
    types = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32}
    scaled: dict[str, npt.NDArray[np.float64]] = {
        "u8": sound / 256.0 + 128,
        "s16": sound * 1.0,
        "s32": sound * 65_536.0,
        "flt": sound / 32_768,
    }
    data = scaled[kind].astype(types[kind])
    channels, size = data.shape[1], data.itemsize
    guid = struct.pack("<IHH", 3 if kind == "flt" else 1, 0, 16) + bytes.fromhex("800000aa00389b71")
    layout = struct.pack("<HHIIHH", 0xFFFE, channels, RATE, RATE * channels * size, channels * size, 8 * size)
    described = layout + struct.pack("<HHI", 22, 8 * size, 0) + guid
    head = b"WAVEfmt " + struct.pack("<I", len(described)) + described + b"data" + struct.pack("<I", data.nbytes)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(head) + data.nbytes) + head + data.tobytes())
    return path


@pytest.mark.parametrize(("channels", "kind"), [(65, "s16"), (100, "u8"), (100, "s32"), (128, "flt"), (255, "s16")])
def test_a_voice_in_any_of_hundreds_of_channels_is_heard(tmp_path: Path, channels: int, kind: str) -> None:
    voice = VOICE[:RATE]
    for channel in (0, 64, channels - 1):
        sound = np.zeros((len(voice), channels), dtype=np.int16)
        sound[:, channel] = voice
        decoded = decode(wide_wav(tmp_path / "a.wav", sound, kind))
        assert len(decoded) == len(voice)
        assert loudness(decoded) == pytest.approx(loudness(voice), abs=0.3 if kind == "u8" else 0.02), channel


@pytest.mark.parametrize("channels", [65, 200])
def test_a_voice_in_one_of_many_planes_is_heard(tmp_path: Path, channels: int) -> None:
    sound = np.zeros((3 * len(VOICE), channels), dtype=np.int16)
    sound[:, -1] = np.repeat(VOICE, 3)
    options = {"mapping_family": "255"}
    with av.open(str(tmp_path / "a.opus"), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout=f"{channels} channels", options=options)
        stream.bit_rate = 6_000 * channels
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout=f"{channels} channels")
        frame.sample_rate = 48_000
        for ready in (frame, None):
            container.mux(stream.encode(ready))
    with av.open(str(tmp_path / "a.opus")) as container:
        assert next(container.decode(audio=0)).format.is_planar
    assert -4 < loudness(decode(tmp_path / "a.opus")) < 1.5


def test_a_hole_in_sound_of_a_hundred_channels(tmp_path: Path) -> None:
    sound = np.repeat(VOICE[: 4 * RATE, None], 100, axis=1)
    decoded = decode(encode(tmp_path / "a.mka", sound, "pcm_s16le", layout="100 channels", hole=(2, 3)))
    assert len(decoded) == pytest.approx(7 * RATE, abs=0.2 * RATE)
    assert not decoded[int(2.2 * RATE) : int(4.8 * RATE)].any()
    assert loudness(decoded[5 * RATE :]) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("channels", [513, 4_000])
def test_more_channels_than_can_be_decoded_are_refused_in_words(tmp_path: Path, channels: int) -> None:
    path = wide_wav(tmp_path / "a.wav", np.zeros((RATE // 10, channels), dtype=np.int16), "s16")
    with pytest.raises(DecodeFailed, match="how many channels it has, or has more than 512"):
        decode(path)


@pytest.mark.parametrize("rate", [1, 999, 4_000_000, 0x7FFF_FFFF])
def test_rates_that_no_sound_has_are_refused_in_words(tmp_path: Path, rate: int) -> None:
    data = bytearray(write_wav(tmp_path / "a.wav", VOICE).read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(DecodeFailed, match=f"{rate} samples per second"):
        decode(tmp_path / "a.wav")


# -- all of a file ---------------------------------------------------------------------------------------------------

GLUED = [
    ("a.wav", "pcm_s16le", (16_000, 48_000)),
    ("a.aiff", "pcm_s16be", (16_000, 44_100)),
    ("a.mp4", "aac", (48_000, 44_100)),
    ("a.mkv", "aac", (48_000, 44_100)),
    ("a.webm", "libopus", (48_000, 48_000)),
    ("a.ogg", "libopus", (48_000, 48_000)),
    ("a.ogg", "flac", (48_000, 16_000)),
    ("a.flac", "flac", (48_000, 16_000)),
    ("a.mp3", "libmp3lame", (48_000, 44_100)),
    ("a.aac", "aac", (48_000, 44_100)),
    ("a.ts", "aac", (48_000, 48_000)),
]


@pytest.mark.parametrize(("name", "codec", "rates"), GLUED)
def test_all_of_glued_recordings_is_read(tmp_path: Path, name: str, codec: str, rates: tuple[int, int]) -> None:
    one = encode(tmp_path / name, VOICE, codec, rate=rates[0]).read_bytes()
    stereo = np.repeat(VOICE[:, None], 2, axis=1)
    two = encode(tmp_path / name, stereo, codec, rate=rates[1], layout="stereo").read_bytes()
    path = tmp_path / "glued"
    path.write_bytes(one + two + one)
    with Recording(path) as recording:
        sound = np.concatenate(list(recording.blocks()))
        assert recording.missing_s == pytest.approx(0, abs=0.1)
        assert recording.unread == 0
        if name.rpartition(".")[2] not in ("mp3", "aac", "ts"):  # FFmpeg reads all of these by itself
            assert recording.damaged == 0
            assert recording.duration_s == pytest.approx(15, abs=0.3)
    assert len(sound) == pytest.approx(15 * RATE, abs=0.4 * RATE)
    for at in (1, 6, 11):
        assert loudness(sound[at * RATE : (at + 3) * RATE]) == pytest.approx(0, abs=2), at


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_all_of_glued_fragmented_films_is_read(tmp_path: Path, name: str) -> None:
    with av.open(
        str(tmp_path / name), "w", options={"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
    ) as file:
        stream = file.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(VOICE[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE
        for ready in (frame, None):
            file.mux(stream.encode(ready))
    one = (tmp_path / name).read_bytes()
    assert one.count(b"moof") > 2
    (tmp_path / "glued").write_bytes(one + one)
    assert len(decode(tmp_path / "glued")) == pytest.approx(10 * RATE, abs=0.3 * RATE)


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_mulaw"])
def test_sound_behind_the_stated_end_of_a_wav_is_read(tmp_path: Path, codec: str) -> None:
    path = encode(tmp_path / "a.wav", VOICE, codec)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = (16_000).to_bytes(4, "little")
    path.write_bytes(data)
    with Recording(path) as recording:
        assert sum(map(len, recording.blocks())) == pytest.approx(5 * RATE, abs=100)
        assert recording.missing_s == 0


KINDS = {
    "a.wav": ("pcm_s16le", 16_000),
    "a.aiff": ("pcm_s16be", 44_100),
    "a.mp4": ("aac", 48_000),
    "a.mkv": ("aac", 44_100),
    "a.webm": ("libopus", 48_000),
    "a.ogg": ("libopus", 48_000),
    "a.flac": ("flac", 16_000),
    "a.mp3": ("libmp3lame", 44_100),
    "a.aac": ("aac", 48_000),
    "a.ts": ("aac", 48_000),
    "a.wma": ("wmav2", 44_100),
    "a.avi": ("ac3", 48_000),
    "a.caf": ("pcm_s16le", 16_000),
    "a.w64": ("pcm_s16le", 16_000),
    "a.au": ("pcm_s16be", 16_000),
}
"""How files of each kind are made."""


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("kinds")
    return {
        name: encode(directory / name, VOICE[: 2 * RATE], codec, rate=rate).read_bytes()
        for name, (codec, rate) in KINDS.items()
    }


@pytest.mark.parametrize("first", KINDS)
def test_all_of_glued_files_of_different_kinds_is_read(
    tmp_path: Path, one_of_each: dict[str, bytes], first: str
) -> None:
    path = tmp_path / "glued"
    for second, data in one_of_each.items():
        if second == first:
            continue
        path.write_bytes(one_of_each[first] + data + one_of_each[first])
        with Recording(path) as recording:
            sound = np.concatenate(list(recording.blocks()))
            assert (recording.unread, recording.damaged) == (0, 0), second
            assert recording.missing_s == pytest.approx(0, abs=0.1), second
        assert len(sound) == pytest.approx(6 * RATE, abs=0.4 * RATE), second
        for at in (0.5, 2.6, 4.6):
            assert loudness(sound[int(at * RATE) : int((at + 0.8) * RATE)]) == pytest.approx(0, abs=3.5), (
                second,
                at,
            )


def test_what_is_no_sound_behind_flac_is_told(tmp_path: Path, one_of_each: dict[str, bytes]) -> None:
    first, path = one_of_each["a.flac"], tmp_path / "glued"
    path.write_bytes(first + np.random.default_rng(1).bytes(200_000))
    with Recording(path) as recording:
        assert sum(map(len, recording.blocks())) == 2 * RATE
        assert recording.unread > 100_000
        assert recording.unread_at == pytest.approx(len(first), abs=20_000)


def shortened(name: str, data: bytearray) -> None:
    """Write another length of the sound into a file: half a second."""
    half = RATE
    match name.partition(".")[2]:
        case "aiff":
            at = data.index(b"SSND")
            data[at + 4 : at + 8] = struct.pack(">I", 8 + half)
            data[4:8] = struct.pack(">I", at + half)
        case "caf":
            at = data.index(b"data")
            data[at + 4 : at + 12] = struct.pack(">q", 4 + half)
        case "w64":
            at = data.index(b"data\xf3")
            data[at + 16 : at + 24] = struct.pack("<q", 24 + half)
        case _:
            data[8:12] = struct.pack(">I", half)


@pytest.mark.parametrize("name", ["a.aiff", "a.caf", "a.w64", "a.au"])
def test_sound_behind_the_stated_end_is_read(tmp_path: Path, name: str) -> None:
    codec = "pcm_s16be" if name in ("a.aiff", "a.au") else "pcm_s16le"
    data = bytearray(encode(tmp_path / name, VOICE, codec).read_bytes())
    shortened(name, data)
    path = tmp_path / "upload"
    for front in (b"", (tmp_path / name).read_bytes()):  # alone, and behind another one
        path.write_bytes(front + data)
        with Recording(path) as recording:
            sound = np.concatenate(list(recording.blocks()))
            assert (sound[-len(VOICE) :] == VOICE).all()
            assert (recording.unread, recording.missing_s, recording.damaged) == (0, 0, 0)
            assert not recording.whole


@pytest.mark.parametrize("stated", [0, RATE, 10 * RATE])
def test_all_of_a_long_wav_is_read_whatever_it_states(tmp_path: Path, stated: int) -> None:
    pcm, form = VOICE.tobytes(), struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    long = b"ds64" + struct.pack("<IQQQI", 28, 0, stated, 0, 0)
    head = b"RF64\xff\xff\xff\xffWAVE" + long + b"fmt " + struct.pack("<I", 16) + form + b"data\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(head + pcm)
    assert (decode(tmp_path / "a.wav") == VOICE).all()


def test_bytes_that_nothing_reads_are_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", VOICE)
    whole = path.read_bytes()
    path.write_bytes(whole + np.random.default_rng(0).bytes(100_000))
    with Recording(path) as recording:
        assert sum(map(len, recording.blocks())) == pytest.approx(5 * RATE, abs=0.2 * RATE)
        assert (recording.unread_at, recording.unread) == (len(whole), 100_000)


def test_a_part_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", VOICE, "pcm_s16le")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:60] + bytes(200_000))
    with Recording(path) as recording:
        assert sum(map(len, recording.blocks())) == pytest.approx(5 * RATE, abs=0.2 * RATE)
        assert (recording.unread_at, recording.unread) == (len(whole), 200_060)


# -- clocks that jump ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late_s", [1.4, 100.0])
def test_sound_that_begins_late_is_not_called_cut_off(tmp_path: Path, late_s: float) -> None:
    with Recording(encode(tmp_path / "a.mkv", VOICE, late_s=late_s)) as recording:
        list(recording.blocks())
        assert recording.missing_s == pytest.approx(0, abs=0.05)
        assert recording.duration_s == pytest.approx(5, abs=0.1)


def test_minutes_that_a_broadcast_lost_are_silence(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.ts", VOICE, rate=48_000, hole=(2, 150))
    with Recording(path) as recording:
        sound = np.concatenate(list(recording.blocks()))
        assert recording.jumps == []
    assert len(sound) == pytest.approx(155 * RATE, abs=0.2 * RATE)
    assert not sound[3 * RATE : 151 * RATE].any()


def test_a_jump_of_hours_is_told(tmp_path: Path) -> None:
    with Recording(encode(tmp_path / "a.ts", VOICE, rate=48_000, hole=(2, 7_200))) as recording:
        assert sum(map(len, recording.blocks())) == pytest.approx(len(VOICE), abs=0.2 * RATE)
        ((at, length),) = recording.jumps
    assert (at, length) == pytest.approx((2, 7_200), abs=0.2)
