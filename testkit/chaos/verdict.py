"""Check a service after a storm of kills: nothing is lost, told twice, left over, or other than without the storm.

Every function returns findings, sentences about what is wrong; an empty list is what a service that lost nothing gets.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from testkit.chaos.crowd import TERMINAL, Entry, Subscriber
from testkit.chaos.host import Host
from whisper_service.core.job_states import TRANSITIONS

STEPS: Final = {(before.value, after.value) for (before, _), after in TRANSITIONS.items()}
FULL: Final = ("DiskFull", "No space left on device", "database or disk is full")
"""How the last line of a traceback says that the disk was full."""
HUNGRY: Final = ("MemoryError", "failed to map segment", "annot allocate memory")
"""And how an actor says that it could not even begin."""
OF_SPEAKERS: Final = ("speaker", "turns")
"""Fields of a segment that tell of its speakers, who come after the text."""
NOTES: Final = ("speakers_unavailable", "speakers_incomplete")
"""Why the speakers of a job may differ: the service says so."""
Heard = list[dict[str, Any]]
"""The segments of a transcript, as the API tells them."""


def jobs(host: Host, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield jobs that are missing, unknown, or in a state that their user does not expect."""
    rows = {row[0]: row for row in host.rows("SELECT id, name, status, gaps, error, progress FROM job")}
    known: set[str] = set()
    for entry in entries:
        if entry.id is None:
            continue
        known.add(entry.id)
        row = rows.get(entry.id)
        if row is None or entry.deleted:
            if row is None and not entry.deleted:
                yield f"LOST: {entry.name} was accepted as {entry.id} and is gone"
            elif row is not None:
                yield f"{entry.name} was deleted and is still there"
            continue
        _, name, status, gaps, error, progress = row
        code = json.loads(error)["code"] if error else None
        holes = set(_chunks(host, entry.id, "failed"))
        wanted = "cancelled" if entry.cancelled else "completed" if entry.piece.sound else "failed"
        if name != entry.name:
            yield f"{entry.id} is called {name!r}, not {entry.name!r}"
        if (status, code if status == "failed" else None) != (wanted, entry.piece.code if wanted == "failed" else None):
            yield f"{entry.name} ({entry.id}) is {status} {code or ''}, not {wanted} {entry.piece.code or ''}"
        elif status == "completed" and (
            holes != entry.piece.holes or len(json.loads(gaps)) != len(holes) or progress != 1.0
        ):
            yield f"{entry.name} ({entry.id}) is completed with gaps {sorted(holes)}, {gaps}, at {progress}"
        elif status == "completed" and (left := _chunks(host, entry.id, "waiting")):
            yield f"{entry.name} ({entry.id}) is completed, but its chunks {left} wait"
    for job_id in rows.keys() - known:
        yield f"{rows[job_id][1]} ({job_id}) is there, but nobody was told that it was accepted"


def _chunks(host: Host, job_id: str, state: str) -> list[int]:
    return [index for (index,) in host.rows('SELECT "index" FROM chunk WHERE job_id = ? AND state = ?', job_id, state)]


def transcript(entry: Entry, status: str, heard: Heard, undisturbed: Mapping[str, Heard]) -> Iterator[str]:
    """Yield what differs from the undisturbed text. A job that was cancelled may have a part of it."""
    if not entry.piece.sound:
        return
    whole = [segment for segment in undisturbed[entry.piece.name] if segment["chunk"] not in entry.piece.holes]
    if status == "completed" and heard != whole:
        other = [(mine, theirs) for mine, theirs in zip(heard, whole, strict=False) if mine != theirs]
        counts = f"{len(heard)} segments, undisturbed {len(whole)}"
        yield f"{entry.name} ({entry.id}) has {counts}; the first that differ: {other[:1]}"
    elif any(segment not in undisturbed[entry.piece.name] for segment in heard):
        yield f"{entry.name} ({entry.id}) has text that the undisturbed run does not have"


def timeline(host: Host, entry: Entry) -> str:
    """Return who speaks when, as it is stored. Empty: nobody was told apart."""
    rows = host.rows("SELECT turns FROM speaker_timeline WHERE job_id = ?", entry.id)
    return str(rows[0][0]) if rows else ""


def speakers(host: Host, entry: Entry, status: str, undisturbed: Mapping[str, str]) -> Iterator[str]:
    """Yield a job whose speakers are others than without the storm, or missing without a note that says so."""
    if not entry.piece.sound or entry.piece.holes or status != "completed":
        return
    history = host.rows("SELECT history FROM job WHERE id = ?", entry.id)[0][0]
    if any(note["code"] in NOTES for note in json.loads(history)):
        return
    if (found := timeline(host, entry)) != undisturbed[entry.piece.name]:
        yield f"{entry.name} ({entry.id}) has the speakers {found}, undisturbed {undisturbed[entry.piece.name]}"


def lifecycles(host: Host) -> Iterator[str]:
    """Yield moves in the log that the table forbids, last states that differ, and segments that are not told once."""
    status: dict[str, str] = {}
    progress: dict[str, float] = defaultdict(float)
    told: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for seq, job_id, kind, payload in host.rows(
        "SELECT seq, job_id, kind, CAST(payload AS TEXT) FROM change ORDER BY seq"
    ):
        value = json.loads(payload)
        if kind == "segment":
            told[job_id][value["segment"]["chunk"], value["segment"]["index"]] += 1
        elif kind == "update":
            before, after = status.get(job_id), value["status"]
            if before is None and after != "pending":
                yield f"change {seq}: {job_id} begins as {after}"
            if before is not None and before != after and (before, after) not in STEPS:
                yield f"change {seq}: {job_id} went from {before} to {after}"
            if value["progress"] < progress[job_id] and not (before in TERMINAL and after == "pending"):
                yield f"change {seq}: the progress of {job_id} fell from {progress[job_id]} to {value['progress']}"
            status[job_id], progress[job_id] = after, value["progress"]
    for job_id, state in host.rows("SELECT id, status FROM job"):
        if status.get(job_id) != state:
            yield f"{job_id} is {state}, and was last told to be {status.get(job_id)}"
        stored = Counter(host.rows('SELECT chunk, "index" FROM segment WHERE job_id = ?', job_id))
        if told[job_id] != stored:
            differ = (told[job_id] - stored) + (stored - told[job_id])
            yield f"{job_id}: segments told more or less often than they are there: {differ}"
        counted = host.rows("SELECT chunks_done, chunks_total FROM job WHERE id = ?", job_id)
        if counted != host.rows(
            "SELECT count(*) FILTER (WHERE state = 'done'), count(*) FROM chunk WHERE job_id = ?", job_id
        ):
            yield f"{job_id}: counts {counted} chunks, which is not what there is"


def subscriber(host: Host, listener: Subscriber, job_id: str | None, deleted: set[str]) -> Iterator[str]:
    """Yield changes that a subscriber missed, received twice or out of order, or that never happened.

    Who follows all jobs need not be told of an update if told of a later one of the same job.
    """
    there = {
        seq: (owner, kind, bytes(payload))
        for seq, owner, kind, payload in host.rows(
            "SELECT seq, job_id, kind, payload FROM change WHERE seq <= ?", listener.last
        )
        if job_id in (None, owner)
    }
    renewed = {
        owner for owner, kind, _ in there.values() if kind == "model"
    }  # the log keeps the last state of a model alone
    heard = {event.id: event for event in listener.got}
    if len(heard) != len(listener.got):
        yield f"{listener.path}: {len(listener.got) - len(heard)} events were told twice"
    updated: dict[str, int] = {}  # the newest update of each job that was told
    for number in sorted(there.keys() & heard.keys()) if job_id is None else ():
        if there[number][1] == "update":
            updated[there[number][0]] = number
    told_later = {n for n, (owner, kind, _) in there.items() if kind == "update" and n < updated.get(owner, 0)}
    if missed := sorted(there.keys() - heard.keys() - told_later):
        yield f"LOST: {listener.path} was not told {len(missed)} changes, {missed[:5]}"
    for number, event in heard.items():
        if event.kind not in ("update", "segment", "deleted"):
            continue  # of a model, or a setting: only the last one is kept
        if number in there and there[number][1:] != (event.kind, event.data):
            yield f"{listener.path}: change {number} was told as {event.kind} {event.data[:200]!r}"
        if number not in there and owner_of(event.kind, event.data) not in deleted | renewed:
            yield f"{listener.path}: change {number} was told and is not in the log"


def log(entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield what the service did not expect.

    Every traceback has to tell of a full disk, or of an actor that had no memory to begin with.
    """
    entries = list(entries)
    for place, entry in enumerate(entries):
        if (trace := entry.get("traceback")) and not any(words in trace.strip().splitlines()[-1] for words in FULL):
            yield f"logged: {entry['message']}: {trace[-700:]}"
        elif "traceback" not in entry and "Traceback (most recent call last)" in entry.get("message", ""):
            behind = (later["message"] for later in entries[place + 1 :] if "time" not in later)
            last = next((line for line in behind if line and not line.startswith(" ")), "")
            if any(words in last for words in HUNGRY):
                continue
            yield "there is a traceback on standard error that no logger wrote"


def owner_of(kind: str, data: bytes) -> str:
    """Return what an event is about: a job, or a model."""
    value: dict[str, Any] = json.loads(data)
    if kind == "model":
        return f"model:{value['name']}"
    return str(value["job_id"] if kind == "segment" else value["id"])


def files(host: Host) -> Iterator[str]:
    """Yield files without a job. Everything is over, so there may be no samples."""
    there = {job_id for (job_id,) in host.rows("SELECT id FROM job")}
    folders = ("media", "peaks", "fine_peaks", "spool")
    found = {folder: {path.name for path in (host.data / folder).iterdir()} for folder in folders}
    if found["media"] != there:
        without_job, without_recording = sorted(found["media"] - there), sorted(there - found["media"])
        yield f"recordings without a job: {without_job}, jobs without: {without_recording}"
    if others := (found["peaks"] | found["fine_peaks"]) - there:
        yield f"waveforms without a job: {sorted(others)}"
    for name in sorted(found["spool"]):
        state = host.rows("SELECT status FROM job WHERE id = ?", name.partition(".")[0])
        yield f"samples of {name} are left ({state[0][0] if state else 'deleted'})"
