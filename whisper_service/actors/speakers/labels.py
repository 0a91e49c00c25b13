"""Names the speakers of a recording: a function of what is stored of its chunks, and of how many people there are.

The people are the clusters of all voices that speak long enough alone. Each voice of a window is then one of them, no
two voices the same one. A unit of text belongs to the person who speaks most of it, unless its own embedding is clearly
nearer to another person. Names are "A", "B" ... in order of first word. The same input gives the same names, in
whatever order the chunks were heard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, product
from string import ascii_uppercase
from typing import Final, NamedTuple

import numpy as np

from whisper_service.actors.speakers.chunk_voices import ChunkVoices, Unit, Vector, Voice, VoiceWindow
from whisper_service.actors.speakers.clustering import UNKNOWN, HowMany, Vectors, cluster
from whisper_service.actors.speakers.segmentation import FRAME_S, Flags, alone_flags
from whisper_service.actors.speakers.units import frames_heard
from whisper_service.core.domain import SAMPLE_RATE

CLEAR_S: Final = 0.8
"""Seconds that a voice speaks alone in a window to have a say in who the people are."""
NEARER: Final = 0.1
"""By so much, as a cosine, a unit must be nearer to another person than to the one whose turn it is in."""


class Person(NamedTuple):
    """A person: name, seconds of their units, and the direction of their voice, a unit vector of 192 numbers."""

    name: str
    seconds: float
    centroid: Vectors


class LabelledSegment(NamedTuple):
    """Who says which words of a segment: the first word of each turn, and the speaker."""

    chunk: int
    segment: int
    turns: tuple[tuple[int, str], ...]


class Labels(NamedTuple):
    """The speakers in order of first word, and the turns of every segment. Both are empty if nobody was heard."""

    speakers: tuple[Person, ...]
    segments: tuple[LabelledSegment, ...]


def label(chunks: Mapping[int, ChunkVoices], how_many: HowMany = UNKNOWN) -> Labels:
    """Return the speakers of a recording, given the voices of its chunks by number of chunk.

    Chunks that are missing have no voices. A person without a unit has no name, unless so many people are asked for:
    then the unit that fits best is theirs.
    """
    ordered = [(number, chunks[number]) for number in sorted(chunks)]
    centroids = _people([heard for _, heard in ordered], how_many)
    if not len(centroids):
        return Labels((), ())
    units = [(number, unit) for number, heard in ordered for unit in heard.units]
    owners = _filled([owner for _, heard in ordered for owner in _owners(heard, centroids)])
    owners = _all_present(owners, [unit.embedding for _, unit in units], centroids, how_many.least)
    names = {owner: _name(place) for place, owner in enumerate(dict.fromkeys(owners))}
    seconds = dict.fromkeys(names, 0.0)
    for (_, unit), owner in zip(units, owners, strict=True):
        seconds[owner] += unit.samples / SAMPLE_RATE
    speakers = tuple(Person(name, seconds[owner], centroids[owner]) for owner, name in names.items())
    return Labels(speakers, tuple(_segments(units, [names[owner] for owner in owners])))


def _people(chunks: Sequence[ChunkVoices], how_many: HowMany) -> Vectors:
    """Return the direction of each person, (people, 192)."""
    voices = [
        (voice.embedding, float(np.count_nonzero(alone)) * FRAME_S)
        for heard in chunks
        for window in heard.windows
        for voice, alone in zip(window.voices, _alone(window), strict=True)
        if voice.embedding is not None
    ]
    if not voices:  # chunks too short for a window
        voices = [
            (unit.embedding, unit.samples / SAMPLE_RATE)
            for heard in chunks
            for unit in heard.units
            if unit.embedding is not None
        ]
    clear = [(embedding, seconds) for embedding, seconds in voices if seconds >= CLEAR_S] or voices
    vectors = np.array([embedding for embedding, _ in clear], dtype=np.float64)
    return cluster(vectors, np.array([max(seconds, FRAME_S) for _, seconds in clear]), how_many).centroids


def _alone(window: VoiceWindow) -> Sequence[Flags]:
    """Return when each voice of a window speaks alone."""
    return [*alone_flags(np.stack([voice.activity for voice in window.voices], axis=1)).T] if window.voices else []


def _owners(heard: ChunkVoices, centroids: Vectors) -> Iterator[int | None]:
    """Yield the person of each unit of a chunk. None: nobody is heard in it."""
    people = [assigned(window.voices, centroids) for window in heard.windows]
    for unit in heard.units:
        votes = np.zeros(len(centroids))
        for window, owners in zip(heard.windows, people, strict=True):
            for owner, frames in zip(owners, frames_heard(window, unit.start, unit.start + unit.samples), strict=True):
                if owner is not None:
                    votes[owner] += frames
        yield _owner(int(np.argmax(votes)) if votes.any() else None, unit.embedding, centroids)


def _owner(turn: int | None, embedding: Vector | None, centroids: Vectors) -> int | None:
    """Return whose unit it is: of the person of that turn, or of the one to whom the embedding is clearly nearer."""
    if embedding is None:
        return turn
    cosines = centroids @ embedding
    nearest = int(np.argmax(cosines))
    return nearest if turn is None or cosines[nearest] - cosines[turn] >= NEARER else turn


def assigned(voices: Sequence[Voice], centroids: Vectors) -> list[int | None]:
    """Return the person of each voice of a window, so that the sum of cosines, weighted by frames, is the largest.

    No two voices are one person, unless there are fewer people than voices. A voice without an embedding is nobody.
    """
    heard = [(place, voice.embedding) for place, voice in enumerate(voices) if voice.embedding is not None]
    cosines = [centroids @ embedding for _, embedding in heard]
    # The best choice is among the nearest people of each voice, as many as there are voices: others cannot take more.
    nearest = [np.argsort(-row, kind="stable")[: len(heard)].tolist() for row in cosines]
    frames = [int(np.count_nonzero(voices[place].activity)) for place, _ in heard]
    one_each = len(centroids) >= len(heard)
    choices = (choice for choice in product(*nearest) if not one_each or len({*choice}) == len(choice))
    best = max(choices, key=lambda choice: sum(f * row[i] for f, row, i in zip(frames, cosines, choice, strict=True)))
    people: list[int | None] = [None] * len(voices)
    for (place, _), person in zip(heard, best, strict=True):
        people[place] = person
    return people


def _filled(owners: Sequence[int | None]) -> list[int]:
    """Give each unit without an owner to the owner of the unit before, and the first ones to the first owner."""
    filled: list[int] = []
    last = next((owner for owner in owners if owner is not None), 0)
    for owner in owners:
        last = last if owner is None else owner
        filled.append(last)
    return filled


def _all_present(owners: list[int], embeddings: Sequence[Vector | None], centroids: Vectors, least: int) -> list[int]:
    """Give people without a unit one each, until there are `least`: of others who have more, the one that fits best."""
    owners = list(owners)
    for person in range(len(centroids)):
        counts = Counter(owners)
        if len(counts) >= least:
            break
        fits = [
            (float((centroids[person] - centroids[owner]) @ embedding), -place)
            for place, (owner, embedding) in enumerate(zip(owners, embeddings, strict=True))
            if embedding is not None and counts[owner] > 1
        ]
        if person not in counts and fits:
            owners[-max(fits)[1]] = person
    return owners


def _segments(units: Sequence[tuple[int, Unit]], names: Sequence[str]) -> Iterator[LabelledSegment]:
    """Yield the turns of each segment; units of one speaker in a row are one turn."""
    rows = zip(units, names, strict=True)
    for (chunk, segment), group in groupby(rows, key=lambda row: (row[0][0], row[0][1].segment)):
        turns: list[tuple[int, str]] = []
        for (_, unit), name in group:
            if not turns or turns[-1][1] != name:
                turns.append((unit.word, name))
        yield LabelledSegment(chunk, segment, tuple(turns))


def _name(place: int) -> str:
    """Return "A" for 0, "Z" for 25, "AA" for 26, as columns of a table are named."""
    name = ""
    while place >= 0:
        name = ascii_uppercase[place % 26] + name
        place = place // 26 - 1
    return name
