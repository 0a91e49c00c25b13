"""The speakers of channels that are kept apart: known with their first words, named and joined like all others."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from tests.integration.storage.rows import new, said, span, working
from whisper_service.core.domain import Segment, Status
from whisper_service.core.job_states import Cause
from whisper_service.editing.operations import JoinSpeakers, NameSpeaker
from whisper_service.storage.store import Store, Written
from whisper_service.storage.transcript_edits import Edit

pytestmark = pytest.mark.anyio


def talk(chunk: int, *speakers: str) -> list[Segment]:
    """A sentence of each of these speakers."""
    return [replace(row, speaker=who) for row, who in zip(said(chunk, *speakers), speakers, strict=True)]


async def call(store: Store, *chunks: tuple[str, ...]) -> list[Written]:
    """A job with two channels in work. Each chunk has a sentence of each of its speakers."""
    await working(store, len(chunks))
    await store.update("a", expected=Status.PROCESSING, channels=2)
    written = [await store.checkpoint("a", index, talk(index, *who), "en") for index, who in enumerate(chunks)]
    return [each for each in written if each is not None]


async def test_a_channel_is_a_speaker_from_its_first_words_on(store: Store) -> None:
    first, second, third = await call(store, ("s2",), ("s1", "s2"), ("s1",))
    assert [each.job.speakers for each in (first, second, third)] == [1, 2, 2]
    assert [(each.id, each.position, each.found) for each in await store.speakers.speakers("a")] == [
        ("s1", 0, True),
        ("s2", 1, True),
    ]
    assert [change.kind for change in first.changes] == ["speakers", "segment", "update"]
    assert [change.kind for change in third.changes] == ["segment", "update"]
    told = msgspec.json.decode(second.changes[0].payload)
    assert [speaker["id"] for speaker in told["speakers"]] == ["s1", "s2"]


async def test_speakers_that_are_joined_count_as_one(store: Store) -> None:
    await call(store, ("s1", "s2"))
    await store.edits.apply("a", Edit("one", (JoinSpeakers("s2", "s1"),)), 1.0)
    assert (await store.job("a")).speakers == 1
    await store.edits.undo("a", 1, Edit("two", ()), 2.0)
    assert (await store.job("a")).speakers == 2


async def test_names_stay_with_their_channels_when_the_recording_is_transcribed_again(store: Store) -> None:
    await call(store, ("s1", "s2"))
    await store.edits.apply("a", Edit("one", (NameSpeaker("s2", "Bo"),)), 1.0)
    for job_id, channels in (("b", 2), ("c", 0)):
        await store.add(new(job_id, of="a"))
        await store.move(job_id, Cause.CLAIM)
        await store.update(job_id, expected=Status.PROCESSING, channels=channels)
        await store.add_chunk(job_id, span(0))
        await store.checkpoint(job_id, 0, talk(0, "s1", "s2") if channels else said(0, "x"), "en")
    assert [(each.id, each.name) for each in await store.speakers.speakers("b")] == [("s1", ""), ("s2", "Bo")]
    assert await store.speakers.speakers("c") == []


async def test_a_job_without_channels_has_no_such_speakers(store: Store) -> None:
    await working(store, 1)
    written = await store.checkpoint("a", 0, said(0, "text"), "en")
    assert written is not None
    assert written.job.speakers is None
    assert await store.speakers.speakers("a") == []
