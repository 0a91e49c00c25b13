"""Actors that follow a script instead of a model, through the real boot, pipes and protocol.

The uploaded file is the script, in JSON. The media actor copies it into the spool, where the speech actor reads it. A
file that is no script is no recording.

- `chunks`, `seconds`: how many chunks there are, and how long each is. Between two of them is a pause of one second.
- `cuts`: the chunks themselves, [[start, end], ...] in seconds. `recuts`: those of every decode but the first.
- `decode_delay`, `delay`: seconds before each chunk is found, and before each is recognised.
- `says`: how every sentence begins, so that two recordings differ. `segments`: how many sentences a chunk has.
- `lines`: the sentences themselves, one for each chunk in turn, each with its words; other sentences are one word.
- `doubtful`: the words of `lines` of which the model is unsure: their probability is 0.42, that of all others 0.9.
- `language`, `sure`: what is detected, and with which probability.
- `peaks`: how many pairs the waveform has.
- `faults`: {"1": "abort"} is what happens at chunk 1, every time it is given: abort, kill, hang, spin (in a call that
  holds the interpreter's lock), oom or error. With "_once" behind the word it happens once; a file in the folder
  `marks` remembers.
- `decode_fault`: the same for the media actor: abort, kill, hang or spin; or "not_media".
- `slow`: {"cuda:1": 10} lets a chunk take so many times longer on a device. `faults_on`: the only device with faults.
  `one_fault`: what happens once happens at one chunk alone.
- `diary`: a file into which each speech actor writes a line for each chunk that it begins: its device, the chunk.
- `everywhere`: each chunk begins with the script in the spool: an actor on another machine gets the sound of its chunks
  alone. They must be longer than the script.
- `echo`: the text of each chunk is the prompt.
- `bad`: chunks that always fail alone, as chunks do whose samples are not in the spool.
- `people`: a letter for each sentence, in turn, of whoever says it: "AB" at first. `voice_delay`: seconds before the
  voices of a chunk are heard. `voice_faults`: as `faults`, for the speakers actor; "naming" is the naming of speakers.
- `align_delay`: seconds before words that a person wrote are aligned: in equal parts of their sound. `said`: their
  probability, 0.9 at first. `align_fault`: a fault as above, or "unalignable".
- A draft of a live session has a word for each second of its sound, `w3` from 3 to 3.5 s. While a file that
  SCRIPTED_DRAFT_FAULT names has the identifier of a session, each draft of that session aborts its actor.
- `calm`: a path. Before it exists, nothing fails on purpose, and "once" means once for every job.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import signal
import struct
import time
from collections.abc import Callable, Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

from whisper_service.core import chinese
from whisper_service.core.domain import SAMPLE_RATE, Problem, Segment, Span, Task, Word
from whisper_service.core.errors import DiskFull
from whisper_service.editing.splitting import split_words
from whisper_service.supervision import faults
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.messages.base import Fault, Ready, Shutdown
from whisper_service.supervision.messages.drafts import DraftDone, DraftedRow, DraftedWord, DraftRow, DraftSound
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, MediaInfo
from whisper_service.supervision.messages.speakers import (
    Assign,
    Assigned,
    AssignedSpeaker,
    AssignedTurns,
    Heard,
    Listen,
)
from whisper_service.supervision.messages.speech import (
    Align,
    Aligned,
    AlignedWord,
    BatchDone,
    ChunkDone,
    ChunkInput,
    Load,
    Loaded,
    Transcribe,
)
from whisper_service.supervision.protocol import Report
from whisper_service.web.compat.raw_pcm import header

Emit = Callable[[Report], None]
DRAFT_FAULT = "SCRIPTED_DRAFT_FAULT"
FAR = "SCRIPTED_DEVICE"
"""The variable that names the device of actors on other machines."""
BEHIND = b"SCRIPT:"
"""What follows this at the end of a file is the script: so a recording that a browser can play may be one."""


def script(**values: Any) -> bytes:
    """Return a recording for these actors."""
    return json.dumps(values).encode()


def text_of(chunk: int) -> str:
    """Return what the speech actor hears in a chunk."""
    return f"This is chunk {chunk}."


def media(inbox: Inbox, emit: Emit) -> None:
    """Run a media actor that finds the chunks of the script."""
    emit(Ready(pid=os.getpid(), facts={"fake": True}))
    while True:
        command = inbox.get()
        if isinstance(command, Shutdown):
            return
        if isinstance(command, Decode):
            try:
                _decode(command, inbox, emit)
            except OSError as error:  # as the real one says it
                if error.errno != errno.ENOSPC:
                    raise
                emit(Fault(scope="media", kind="disk_full", problem=DiskFull().problem, job_id=command.job_id))


def _decode(command: Decode, inbox: Inbox, emit: Emit) -> None:
    data = Path(command.source).read_bytes().removeprefix(header()).rpartition(BEHIND)[2]
    try:
        play = json.loads(data)
    except ValueError:
        play = {"decode_fault": "not_media"}
    fault = play.get("decode_fault")
    if fault == "not_media":
        emit(
            Fault(
                scope="media",
                kind="media",
                problem=Problem("not_media", "This is not a recording."),
                job_id=command.job_id,
            )
        )
        return
    if fault is not None and _due(play, fault, "decode", command.job_id):
        _end(fault.removesuffix("_once"))
    cuts = _cuts(play)
    duration = max((end for _, end in cuts), default=0.0) + 1.0
    try:
        with os.fdopen(os.open(command.spool, os.O_WRONLY), "wb") as file:  # others may be reading it
            file.write(data)
            file.truncate(
                max(len(data), round(2 * SAMPLE_RATE * duration))
            )  # as long as one with samples, without using disk
            for start, _ in cuts if play.get("everywhere") else ():
                file.seek(2 * round(start * SAMPLE_RATE))
                file.write(data)
    except FileNotFoundError:
        if not inbox.cancelled(command.job_id):  # else it went with the job
            problem = Problem("spool_missing", "The spool is not there.")
            emit(Fault(scope="media", kind="media", problem=problem, job_id=command.job_id))
        return
    emit(MediaInfo(job_id=command.job_id, duration_s=duration))
    for index, (start, end) in enumerate(cuts):
        time.sleep(play.get("decode_delay", 0.0))
        if inbox.cancelled(command.job_id):
            return
        span = Span(index, round(start * SAMPLE_RATE), round((end - start) * SAMPLE_RATE), start, end)
        emit(ChunkFound(job_id=command.job_id, span=span))
    if count := int(play.get("peaks", 0)):  # a saw: -0 0, -1 1, ... -99 99, -0 0
        saw = [bytes((-(index % 100) & 255, index % 100)) for index in range(count)]
        Path(command.peaks).write_bytes(b"".join(saw))
        Path(command.fine_peaks).write_bytes(b"".join(4 * pair for pair in saw))  # four times as fine
    emit(Decoded(job_id=command.job_id, duration_s=duration))


def _cuts(play: dict[str, Any]) -> list[tuple[float, float]]:
    """Return begin and end of the chunks, in seconds."""
    if "recuts" in play and not _due(play, "cut_once", "cut"):
        return [(start, end) for start, end in play["recuts"]]
    if "cuts" in play:
        return [(start, end) for start, end in play["cuts"]]
    seconds = float(play.get("seconds", 10.0))
    return [(index * (seconds + 1.0), index * (seconds + 1.0) + seconds) for index in range(int(play.get("chunks", 3)))]


def speech(inbox: Inbox, emit: Emit) -> None:
    """Run a speech actor that accepts any model and does one batch at a time."""
    _speak(inbox, emit, {"cpus": 1})


def speech_with_gpu(inbox: Inbox, emit: Emit) -> None:
    """Run a speech actor that says it has a GPU."""
    _speak(inbox, emit, {"cpus": 1, "cuda_devices": 1})


def speech_with_two_gpus(inbox: Inbox, emit: Emit) -> None:
    """Run a speech actor that says it has two GPUs."""
    _speak(inbox, emit, {"cpus": 1, "cuda_devices": 2})


def _speak(inbox: Inbox, emit: Emit, facts: dict[str, Any]) -> None:
    emit(Ready(pid=os.getpid(), facts={"fake": True, **facts}))
    device = ""
    while True:
        command = inbox.get()
        if isinstance(command, Shutdown):
            return
        if isinstance(command, Load):
            device = os.environ.get(FAR, command.device)
            emit(Loaded(model=command.model, device=command.device, compute_type="fake", seconds=0.0))
        if isinstance(command, Transcribe):
            _transcribe(command, inbox, emit, device)
        if isinstance(command, Align):
            emit(_align(command))
        if isinstance(command, DraftSound):
            if any(row.job_id in _sick_sessions() for row in command.rows):
                os.abort()
            emit(DraftDone(command.request, tuple(map(_draft, command.rows)), 0.0))


def _sick_sessions() -> Collection[str]:
    """Return the sessions whose drafts abort the actor."""
    path = Path(os.environ.get(DRAFT_FAULT, ""))
    return path.read_text().split() if path.is_file() else ()


def _draft(row: DraftRow) -> DraftedRow:
    """Return a word for each whole second of the sound that is behind the prefix: w3 is said from 3 to 3.5 s."""
    begin, end = row.start_sample / SAMPLE_RATE, (row.start_sample + row.samples) / SAMPLE_RATE
    first = row.prefix[-1] + 1 if row.prefix else math.ceil(begin)
    words = (DraftedWord(float(n), n + 0.5, f" w{n}", (n,)) for n in range(first, math.floor(end - 0.5) + 1))
    return DraftedRow(row.job_id, tuple(words), row.language or "en")


def _transcribe(command: Transcribe, inbox: Inbox, emit: Emit, device: str) -> None:
    began = time.monotonic()
    for row in command.chunks:
        if inbox.cancelled(row.job_id):
            continue
        play = _read(row.spool, row.span)
        if play is None or (row.span.index in play.get("bad", ()) and not _calm(play)):
            kind, code = ("media", "spool_missing") if play is None else ("unknown", "unknown")
            problem = Problem(code, "This chunk cannot be read.")
            emit(Fault("batch", kind, problem, batch=command.batch, job_id=row.job_id, index=row.span.index))
            continue
        if "diary" in play:
            with Path(play["diary"]).open("a") as diary:
                diary.write(f"{device} {row.span.index}\n")
        time.sleep(play.get("delay", 0.0) * play.get("slow", {}).get(device, 1))
        fault = play.get("faults", {}).get(str(row.span.index))
        here = device == play.get("faults_on", device)
        mark = "any" if play.get("one_fault") else str(row.span.index)
        due = here and fault is not None and _due(play, fault, mark, row.job_id)
        if due and not _fail(fault.removesuffix("_once"), command, emit):
            return
        emit(_hear(command, row, play))
    audio = sum(row.span.samples for row in command.chunks) / SAMPLE_RATE
    emit(BatchDone(batch=command.batch, seconds=time.monotonic() - began, audio_s=audio))


def _align(command: Align) -> Aligned | Fault:
    play = _read(command.spool, command.span)
    if play is None:
        problem = Problem("spool_missing", "This chunk cannot be read.")
        return Fault("alignment", "media", problem, request=command.request)
    time.sleep(play.get("align_delay", 0.0))
    fault = play.get("align_fault")
    if fault is not None and _due(play, fault, "align", "align"):
        _end(kind := fault.removesuffix("_once"))
        problem = Problem(kind, "The script says so.")
        return Fault("alignment", "unknown", problem, request=command.request)
    step = (command.span.end - command.span.start) / len(command.words)
    said = float(play.get("said", 0.9))
    words = (AlignedWord(nth * step, (nth + 1) * step, said) for nth in range(len(command.words)))
    return Aligned(command.request, tuple(words))


def _read(spool: str, span: Span) -> dict[str, Any] | None:
    """Return the script at the beginning of the spool. None: the samples of the chunk are not all there."""
    try:
        with Path(spool).open("rb") as file:
            data = file.read(100_000)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None
    if size < 2 * (span.start_sample + span.samples):
        return None
    try:
        play = json.loads(data.partition(b"\0")[0])
    except ValueError:  # the real media actor decoded a real recording: every chunk has its text
        return {}
    return play if isinstance(play, dict) else {}


def _end(fault: str) -> None:
    """End as the fault says, if it is one that ends."""
    if fault == "abort":
        os.write(2, b"terminate called after throwing an instance of 'std::runtime_error'\n")
        os.abort()
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang":
        signal.sigtimedwait(set(), 3600)
    if fault == "spin":
        re.match("(a+)+b", "a" * 99)


def _fail(fault: str, command: Transcribe, emit: Emit) -> bool:
    _end(fault)
    text = "RuntimeError: CUDA failed with error out of memory" if fault == "oom" else "RuntimeError: something odd"
    diagnosis = faults.classify(text)
    fatal = fault == "oom"
    emit(Fault(scope="batch", kind=diagnosis.kind.value, problem=diagnosis.problem, batch=command.batch, fatal=fatal))
    if fatal:
        os._exit(1)
    return False


def _hear(command: Transcribe, row: ChunkInput, play: dict[str, Any]) -> ChunkDone:
    if "lines" in play:
        text = play["lines"][row.span.index % len(play["lines"])]
    elif "cuts" in play:
        text = f"{row.span.start:g}-{row.span.end:g}"
    elif play.get("echo"):
        text = command.prompt or "no prompt"
    else:
        text = f"{play['says']} {row.span.index}." if "says" in play else text_of(row.span.index)
    count = 0 if row.task is Task.DETECT else int(play.get("segments", 1))
    language = row.language or play.get("language", "en")
    texts = split_words(f" {text}") if "lines" in play else [f" {text}"]
    doubtful = play.get("doubtful", ())
    sentences = (_sentence(row, number, count, texts, language, doubtful) for number in range(count))
    segments = chinese.written(sentences, row.script)
    probability = None if row.language else float(play.get("sure", 0.9))
    return ChunkDone(
        batch=command.batch,
        job_id=row.job_id,
        index=row.span.index,
        segments=segments,
        language=language,
        language_probability=probability,
    )


def _sentence(
    row: ChunkInput, number: int, count: int, texts: list[str], language: str, doubtful: Collection[str]
) -> Segment:
    """Return one of `count` equal parts of the chunk. Its words are equally long."""
    step = (row.span.end - row.span.start) / count
    start = row.span.start + number * step
    end = row.span.end if number == count - 1 else start + step
    length = (end - start) / len(texts)
    edges = [start + nth * length for nth in range(len(texts))] + [end]
    words = tuple(
        Word(*edge, text, 0.42 if text.strip() in doubtful else 0.9)
        for edge, text in zip(pairwise(edges), texts, strict=True)
    )
    return Segment(row.span.index, number, start, end, "".join(texts).strip(), words, language=language)


def speakers(inbox: Inbox, emit: Emit) -> None:
    """Run a speakers actor that hears who says what from the script. No network is read."""
    emit(Ready(pid=os.getpid(), facts={"fake": True}))
    while not isinstance(command := inbox.get(), Shutdown):
        if isinstance(command, (Listen, Assign)) and not inbox.cancelled(command.job_id):
            emit(_heard(command) if isinstance(command, Listen) else _named(command))


def _heard(command: Listen) -> Heard | Fault:
    index, play = command.span.index, _read(command.spool, command.span)
    if play is None:
        problem = Problem("spool_missing", "This chunk cannot be read.")
        return Fault("speakers", "media", problem, job_id=command.job_id, index=index)
    time.sleep(play.get("voice_delay", 0.0))
    fault = play.get("voice_faults", {}).get(str(index))
    if fault is not None and _due(play, fault, f"voices {index}", command.job_id):
        _end(fault.removesuffix("_once"))
        return _speakers_fault(command, fault, index)
    people, count = play.get("people", "AB"), int(play.get("segments", 1))
    said = [[segment.index, people[(index * count + segment.index) % len(people)]] for segment in command.segments]
    naming = play.get("voice_faults", {}).get("naming")
    due = naming is not None and _due(play, naming, "naming", command.job_id)
    voices = json.dumps({"said": said, "naming": naming.removesuffix("_once") if due else None}).encode()
    return Heard(command.job_id, index, voices, command.span.samples / SAMPLE_RATE)


def _named(command: Assign) -> Assigned | Fault:
    said: list[tuple[int, int, str]] = []
    for chunk, data in sorted(command.voices):
        voices = json.loads(data)
        if fault := voices["naming"]:
            _end(fault)
            return _speakers_fault(command, fault, None)
        said += [(chunk, index, person) for index, person in voices["said"]]
    people = list(dict.fromkeys(person for *_, person in said))
    seen = people[: command.most]
    names = {person: "ABCDEFGHIJ"[min(place, len(seen) - 1)] for place, person in enumerate(people)}
    count = {name: sum(names[person] == name for *_, person in said) for name in names.values()}
    return Assigned(
        command.job_id,
        command.request,
        tuple(AssignedSpeaker(names[person], float(count[names[person]]), voice_of(person)) for person in seen),
        tuple(AssignedTurns(chunk, index, ((0, names[person]),)) for chunk, index, person in said),
    )


def voice_of(person: str) -> bytes:
    """Return the direction of the voice of a person, who is a letter."""
    return struct.pack("<192f", *(float(place == ord(person)) for place in range(192)))


def _speakers_fault(command: Listen | Assign, fault: str, index: int | None) -> Fault:
    """Return a fault that says what the script wants: the code of a model's fault, or something odd."""
    kind = fault.removesuffix("_once")
    if kind not in ("model_broken", "model_unavailable"):
        kind = "unknown"
    problem = Problem(kind, "The script says so.", "Change the script.")
    return Fault("speakers", kind, problem, job_id=command.job_id, index=index)


def _calm(play: dict[str, Any]) -> bool:
    """Return whether nothing may fail yet."""
    return "calm" in play and not Path(play["calm"]).exists()


def _due(play: dict[str, Any], fault: str, name: str, job_id: str = "") -> bool:
    """Return whether the fault happens now."""
    if _calm(play):
        return False
    if not fault.endswith("_once"):
        return True
    mark = Path(play.get("calm") or play["marks"]) / f"{job_id if 'calm' in play else play.get('name', 'job')}-{name}"
    if mark.exists():
        return False
    mark.touch()
    return True


def broken_until_mended(inbox: Inbox, emit: Emit) -> None:
    """Run a speech actor that cannot start before the file named by MENDED exists."""
    if not Path(os.environ["MENDED"]).exists():
        raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")
    speech(inbox, emit)


def speakers_when_mended(inbox: Inbox, emit: Emit) -> None:
    """Run a speakers actor that cannot start before the file named by MENDED exists."""
    if not Path(os.environ["MENDED"]).exists():
        raise RuntimeError("ImportError: no onnxruntime")
    speakers(inbox, emit)


def broken(inbox: Inbox, emit: Emit) -> None:
    """Run an actor that cannot start."""
    raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")
