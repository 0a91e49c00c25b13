"""What a job says of tracks reaches the media actor, and what the file says of them reaches the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.scheduler.scripted_loop import scripted_loop
from whisper_service.core.domain import AudioTrack, Problem
from whisper_service.supervision.messages.base import Ready
from whisper_service.supervision.messages.media import Decode, Decoded, MediaInfo

pytestmark = pytest.mark.anyio

TRACKS = (AudioTrack(0, "aac", "ger"), AudioTrack(1, "ac3", "eng", "Film", 6, default=True, used=True))


async def test_the_wish_of_a_job_is_part_of_the_command(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit(track=1, language="de")
        scripted.say(scripted.media, Ready(pid=1))
        await scripted.settled()
        (command,) = scripted.media.commands(Decode)
        assert (command.track, command.language, command.name) == (1, "de", "talk")


@pytest.mark.parametrize(("count", "listed"), [(2, TRACKS), (1, ())])
async def test_a_job_lists_tracks_if_there_are_several(
    tmp_path: Path, count: int, listed: tuple[AudioTrack, ...]
) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        scripted.say(scripted.media, Ready(pid=1))
        await scripted.settled()
        scripted.say(scripted.media, MediaInfo("job", 3.0, TRACKS[:count]))
        await scripted.settled()
        assert (await scripted.job()).tracks == listed


async def test_each_kind_of_warning_is_noted_once(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        scripted.say(scripted.media, Ready(pid=1))
        await scripted.settled()
        warnings = tuple(Problem(code, code) for code in ("other_tracks", "unread"))
        scripted.say(scripted.media, Decoded("job", 3.0, warnings))
        await scripted.settled()
        job = await scripted.job()
        assert [note.code for note in job.history] == ["other_tracks", "unread"]
        assert job.message == "unread"
