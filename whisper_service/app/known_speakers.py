"""Known speakers: short recordings of people's voices that come with a call, and which speakers of its job they are.

A reference goes the way of every recording: a media actor decodes it, a speakers actor hears it as a chunk with one
speaker. Both are actors of their own, so that a reference that kills one costs no job its work. Nothing of a reference
is stored: voices are biometric.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import anyio
from anyio import to_thread

from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.domain import SAMPLE_RATE, Problem, Segment, Span, Word
from whisper_service.core.errors import InvalidRequest, ServiceError
from whisper_service.core.files import full_disk_as_error
from whisper_service.core.identifiers import identifier
from whisper_service.core.text import quoted
from whisper_service.storage.data_dir import SAMPLE_BYTES, DataDir
from whisper_service.storage.store import Store
from whisper_service.storage.voice_matching import same_people
from whisper_service.supervision.conversation import Conversation, conversation
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, MediaInfo
from whisper_service.supervision.messages.speakers import Assign, Assigned, Heard, Listen
from whisper_service.supervision.orphans import OrphanList
from whisper_service.supervision.protocol import Report

T = TypeVar("T")
R = TypeVar("R")

FIELD: Final = "known_speaker_references"
LEAST_S: Final = 1.2
MOST_S: Final = 10.0
"""Seconds of a reference. OpenAI's service refuses others."""
SPARE_S: Final = 0.25
"""Encoders make a recording longer: two frames of MP3 are 0.14 s at 16 kHz."""
LEAST_COSINE: Final = 0.45
"""Between a reference and a speaker who are one person. Among ten readers, clips of two people reach 0.46 at 1.2 s and
0.41 at 2 s; clips of one person of 4 s have 0.76 on average, and 0.63 or less in one of twenty."""
DECODE_S: Final = 60.0
"""Seconds without a report of a media actor, at most. A reference takes less than one."""
LISTEN_S: Final = 120.0
"""Seconds for one command to a speakers actor. It takes less than one, on a core that it has for itself."""


class Reference(NamedTuple):
    """A recording of a known speaker, as a client sends it."""

    name: str
    sound: bytes


class Clip(NamedTuple):
    """A decoded reference: samples of 16 kHz mono int16, and from which sample to which one somebody speaks."""

    name: str
    samples: bytes
    first: int
    after: int


class SpeakersUnheard(ServiceError):
    """The references of known speakers could not be heard."""

    hint = "Send the request again, or without known speakers."


class KnownSpeakers:
    """Recognises the speakers of jobs by references. One call at a time: each needs an actor for a second or two."""

    def __init__(
        self,
        store: Store,
        data: DataDir,
        limits: SupervisionSettings,
        orphans: OrphanList,
        *,
        media_entry: str,
        speakers_entry: str,
        networks: Path,
    ) -> None:
        self._store = store
        self._folder = data.spool  # what a killed service leaves there is deleted at the next start
        self._talk = partial(conversation, command=None, logs=data.logs, limits=limits, orphans=orphans)
        self._media = partial(self._talk, "known-media", media_entry, within_s=min(limits.decode_stall_s, DECODE_S))
        self._speakers = partial(self._talk, "known-speakers", speakers_entry, within_s=LISTEN_S)
        self._networks = networks
        self._turn = anyio.Lock()

    async def decode(self, references: Sequence[Reference]) -> list[Clip]:
        """Decode references.

        Raises `InvalidRequest` for one that cannot be read, is too short or too long, or in which nobody speaks.
        """
        if not references:
            return []
        return await self._each(self._media(), self._decoded, references)

    async def recognise(self, job_id: str, clips: Sequence[Clip]) -> Mapping[str, str]:
        """Return the names of those speakers of a job whose voices are in the clips, by their IDs.

        Nobody gets two names and no name is given twice. A speaker like none of the clips has no name. Raises
        `InvalidRequest` for a clip without a voice.
        """
        found = await self._store.speakers.directions(job_id) if clips else {}
        if not found:
            return {}
        known = await self._each(self._speakers(), self._direction, clips)
        ids = list(found)
        matches = same_people([found[each] for each in ids], known, least=LEAST_COSINE)
        return {ids[speaker]: clips[clip].name for speaker, clip in matches.items()}

    async def _each(
        self,
        talk: AbstractAsyncContextManager[Conversation],
        act: Callable[[Conversation, T], Awaitable[R]],
        items: Sequence[T],
    ) -> list[R]:
        """Do this with each item and one new actor. An error passes as it is, not in a group."""
        results: list[R] = []
        async with self._turn, talk as actor:
            try:
                if not isinstance(answer := await _answer(actor), Ready):
                    raise SpeakersUnheard(detail=_said(answer))
                for item in items:
                    results.append(await act(actor, item))
            except ServiceError as error:
                failure = error
            else:
                return results
        raise failure

    async def _decoded(self, actor: Conversation, reference: Reference) -> Clip:
        with self._files() as (source, spool, peaks):
            await to_thread.run_sync(_write, source, reference.sound)
            for path in (spool, peaks):
                path.touch()
            limit_s = MOST_S + 1
            actor.send(
                Decode(job_id=source.stem, source=str(source), spool=str(spool), peaks=str(peaks), limit_s=limit_s)
            )
            spans: list[Span] = []
            length_s: float | None = None
            while not isinstance(report := await _answer(actor), Decoded):
                match report:
                    case ChunkFound():
                        spans.append(report.span)
                    case MediaInfo():
                        length_s = report.duration_s
                    case Fault():
                        said = report.problem
                        raise _refused(
                            f"The reference of {quoted(reference.name)} cannot be read: {said.message}", said.hint
                        )
                    case _:
                        pass
            length_s = max(report.duration_s, length_s or 0.0)
            if not LEAST_S <= length_s <= MOST_S + SPARE_S:
                message = f"The reference of {quoted(reference.name)} is {length_s:.1f} s long."
                raise _refused(message, f"Send {LEAST_S:g} to {MOST_S:g} s of speech of this person.")
            if not spans:
                raise _no_voice(reference.name)
            samples = await to_thread.run_sync(spool.read_bytes)
            return Clip(reference.name, samples, spans[0].start_sample, spans[-1].start_sample + spans[-1].samples)

    async def _direction(self, actor: Conversation, clip: Clip) -> bytes:
        """Return the direction of the voice in a clip: that of the one speaker of a chunk."""
        with self._files() as (_, spool, _):
            await to_thread.run_sync(_write, spool, clip.samples)
            after = min(clip.after, len(clip.samples) // SAMPLE_BYTES)
            start, end = clip.first / SAMPLE_RATE, after / SAMPLE_RATE
            span = Span(0, clip.first, after - clip.first, start, end)
            said = Segment(0, 0, start, end, "", (Word(start, end, "", 1.0),))
            actor.send(Listen(spool.stem, span, str(spool), str(self._networks), (said,)))
            heard = await _answer(actor)
            if isinstance(heard, Heard):
                actor.send(Assign(spool.stem, 0, ((0, heard.voices),), least=1, most=1))
                named = await _answer(actor)
                if isinstance(named, Assigned):
                    if not named.speakers:
                        raise _no_voice(clip.name)
                    return named.speakers[0].centroid
                heard = named
        raise SpeakersUnheard(detail=_said(heard))

    @contextmanager
    def _files(self) -> Iterator[tuple[Path, Path, Path]]:
        """Give the paths of three files, which are deleted at the end."""
        stem = identifier(0.0)
        paths = [self._folder / f"{stem}.{ending}" for ending in ("source", "pcm", "peaks")]
        try:
            with full_disk_as_error():
                yield paths[0], paths[1], paths[2]
        finally:
            for path in paths:
                path.unlink(missing_ok=True)


async def _answer(actor: Conversation) -> Report:
    """Return the next report. The death of the actor is a fault like others."""
    answer = await actor.report()
    return Fault(scope="actor", kind=answer.code, problem=answer) if isinstance(answer, Problem) else answer


def _said(answer: Report) -> str:
    """Return why the answer is not the one that was expected."""
    return answer.problem.message if isinstance(answer, Fault) else type(answer).__name__


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _no_voice(name: str) -> InvalidRequest:
    hint = f"Send {LEAST_S:g} to {MOST_S:g} s of speech of this person."
    return _refused(f"Nobody is heard to speak in the reference of {quoted(name)}.", hint)


def _refused(message: str, hint: str) -> InvalidRequest:
    return InvalidRequest(message, hint=hint, field=FIELD, reason="invalid_value")
