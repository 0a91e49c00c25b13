"""The sound of live sessions: what was acknowledged is in the file, once, in order, whatever happens."""

from __future__ import annotations

import errno
import hashlib
import os
import random
from pathlib import Path

import anyio
import av
import numpy as np
import pytest

from testkit.small_disk import Ballast, small_disk
from whisper_service.core.domain import Encoding
from whisper_service.core.errors import DiskFull, InvalidRequest, NotFound, OffsetAhead, TooLarge
from whisper_service.core.sound_format import SoundFormat
from whisper_service.core.stated_length import stated_length
from whisper_service.storage import live_sound
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.live_sound import LiveSounds, sound_bytes
from whisper_service.storage.uploads import UploadLimits, Uploads

CODECS = {encoding: f"pcm_{encoding}" for encoding in Encoding}
"""FFmpeg's names."""
pytestmark = pytest.mark.anyio

MONO = SoundFormat(16_000)
STEREO = SoundFormat(48_000, Encoding.S24LE, 2)
SOUND = np.random.default_rng(0).integers(0, 256, 96_000, np.uint8).tobytes()


def sounds_in(root: Path, *, most: int = 1 << 30, free: int = 0) -> LiveSounds:
    data = DataDir(root)
    return LiveSounds(data, Uploads(data.media, UploadLimits(most, free)).check_room)


def stored(root: Path, form: SoundFormat) -> bytes:
    return (root / "media" / "job").read_bytes()[form.header_bytes :]


async def test_every_random_cut_of_the_stream_gives_the_same_file(tmp_path: Path) -> None:
    dice = random.Random(4)
    sounds = sounds_in(tmp_path)
    await sounds.create("job", STEREO)
    offset, sent = 0, 0
    while offset < len(SOUND):
        begin = max(0, offset - dice.choice([0, 0, 6, 600]))  # a client that missed an answer sends again
        size = dice.choice([1, 5, 7, 333, 4_096, 20_001])
        offset = await sounds.append("job", STEREO, begin, SOUND[begin : begin + size])
        sent += 1
    assert sent > 20
    assert stored(tmp_path, STEREO) == SOUND


async def test_half_a_sample_is_left_to_the_client(tmp_path: Path) -> None:
    sounds = sounds_in(tmp_path)
    await sounds.create("job", MONO)
    assert await sounds.append("job", MONO, 0, SOUND[:5]) == 4
    assert await sounds.append("job", MONO, 4, SOUND[4:5]) == 4
    assert await sounds.append("job", MONO, 4, SOUND[4:8]) == 8
    assert stored(tmp_path, MONO) == SOUND[:8]


async def test_a_gap_and_an_offset_inside_a_sample_are_refused_and_change_nothing(tmp_path: Path) -> None:
    sounds = sounds_in(tmp_path)
    await sounds.create("job", MONO)
    await sounds.append("job", MONO, 0, SOUND[:100])
    with pytest.raises(OffsetAhead) as ahead:
        await sounds.append("job", MONO, 102, SOUND[102:200])
    assert ahead.value.params == {"offset": 100}
    with pytest.raises(InvalidRequest):
        await sounds.append("job", MONO, 51, SOUND[51:200])
    assert stored(tmp_path, MONO) == SOUND[:100]


async def test_two_writers_at_once_make_one_recording(tmp_path: Path) -> None:
    sounds = sounds_in(tmp_path)
    await sounds.create("job", MONO)

    async def send(seed: int) -> None:
        dice, offset = random.Random(seed), 0
        while offset < len(SOUND):
            size = dice.randrange(2, 3_000)
            offset = await sounds.append("job", MONO, offset, SOUND[offset : offset + size])

    async with anyio.create_task_group() as tasks:
        for seed in range(4):
            tasks.start_soon(send, seed)
    assert stored(tmp_path, MONO) == SOUND


async def test_what_a_killed_service_wrote_beyond_a_sample_is_overwritten(tmp_path: Path) -> None:
    sounds = sounds_in(tmp_path)
    await sounds.create("job", MONO)
    await sounds.append("job", MONO, 0, SOUND[:100])
    with (tmp_path / "media" / "job").open("ab") as file:
        file.write(SOUND[100:103])  # three bytes of the next append were written when the service was killed
    assert await sounds_in(tmp_path).length("job", MONO) == 102
    assert await sounds_in(tmp_path).append("job", MONO, 100, SOUND[100:200]) == 200
    assert stored(tmp_path, MONO) == SOUND[:200]


@pytest.mark.parametrize("form", [MONO, STEREO, *(SoundFormat(8_000, encoding) for encoding in Encoding)])
async def test_the_file_can_be_read_at_any_moment_and_states_its_length_at_the_end(
    tmp_path: Path, form: SoundFormat
) -> None:
    sounds = sounds_in(tmp_path)
    await sounds.create("job", form)
    path = tmp_path / "media" / "job"
    data = SOUND[: 1_200 * form.frame_bytes]
    await sounds.append("job", form, 0, data)
    seconds = len(data) / form.frame_bytes / form.rate
    assert stated_length(path) == pytest.approx(seconds)
    assert int.from_bytes(path.read_bytes()[4:8], "little") == 0xFFFFFFFF
    sealed = await sounds.seal("job", form)
    content = path.read_bytes()
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    assert int.from_bytes(content[form.header_bytes - 4 : form.header_bytes], "little") == len(data) == sealed.sound
    assert (sealed.bytes, sealed.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    with av.open(path) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels, stream.codec_context.name) == (
            form.rate,
            form.channels,
            CODECS[form.encoding],
        )
        assert sum(frame.samples for frame in container.decode(stream)) == len(data) // form.frame_bytes


async def test_a_sealed_recording_can_grow_again(tmp_path: Path) -> None:
    sounds = sounds_in(tmp_path)
    await sounds.create("job", MONO)
    await sounds.append("job", MONO, 0, SOUND[:100])
    await sounds.seal("job", MONO)
    await sounds.reopen("job", MONO)
    assert await sounds.append("job", MONO, 100, SOUND[100:300]) == 300
    assert (tmp_path / "media" / "job").read_bytes() == MONO.header(None) + SOUND[:300]
    assert (await sounds.seal("job", MONO)).sound == 300


async def test_a_size_beyond_what_a_header_can_state_counts_as_unknown() -> None:
    assert MONO.header(1 << 33)[4:8] == MONO.header(1 << 33)[-4:] == b"\xff" * 4
    assert len({len(MONO.header(size)) for size in (None, 0, 1 << 33)}) == 1


async def test_limits_of_size_and_of_free_space(tmp_path: Path) -> None:
    sounds = sounds_in(tmp_path / "a", most=1_000)
    await sounds.create("job", MONO)
    with pytest.raises(TooLarge):
        await sounds.append("job", MONO, 0, SOUND[:2_000])
    assert stored(tmp_path / "a", MONO) == b""
    with pytest.raises(DiskFull):
        await sounds_in(tmp_path / "b", free=1 << 60).create("job", MONO)
    assert not (tmp_path / "b" / "media" / "job").exists()


async def test_a_session_without_its_file_says_so(tmp_path: Path) -> None:
    sounds = sounds_in(tmp_path)
    with pytest.raises(NotFound):
        await sounds.append("job", MONO, 0, SOUND[:2])
    assert sound_bytes(tmp_path / "media" / "job", MONO) == 0


async def test_a_disk_that_is_full_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as reason:
        if reason is not None:
            pytest.skip(f"no small disk: {reason}")
        root, ballast = tmp_path / "disk" / "data", Ballast(tmp_path / "disk")
        root.mkdir()
        sounds = sounds_in(root)
        await sounds.create("job", MONO)
        await sounds.append("job", MONO, 0, SOUND[:20_000])
        ballast.fill()
        with pytest.raises(DiskFull):
            await sounds.append("job", MONO, 20_000, SOUND[20_000:])
        assert await sounds.length("job", MONO) == 20_000
        ballast.free()
        assert await sounds.append("job", MONO, 20_000, SOUND[20_000:]) == len(SOUND)
        assert stored(root, MONO) == SOUND


async def test_bytes_that_cannot_be_synced_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems tell of a full disk only then."""
    sounds = sounds_in(tmp_path)
    await sounds.create("job", MONO)
    await sounds.append("job", MONO, 0, SOUND[:100])

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as broken:
        broken.setattr(live_sound, "_sync", full)
        with pytest.raises(DiskFull):
            await sounds.append("job", MONO, 100, SOUND[100:200])
    assert stored(tmp_path, MONO) == SOUND[:100]


async def test_every_append_is_synced_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sounds = sounds_in(tmp_path)
    await sounds.create("job", MONO)
    synced: list[int] = []
    monkeypatch.setattr(live_sound, "_sync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    await sounds.append("job", MONO, 0, SOUND[:100])
    await sounds.append("job", MONO, 0, SOUND[:100])  # the answer was lost: what is acknowledged now was never synced
    await sounds.length("job", MONO)
    assert synced == [MONO.header_bytes + 100] * 3
