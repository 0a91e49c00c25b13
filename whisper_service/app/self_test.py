"""The checks of `doctor` that are heavy or may crash: they run in the actors of the service, under its supervisor.

A check returns a `Check`. No check raises for what it finds.
"""

from __future__ import annotations

import math
import sys
import time
import wave
from array import array
from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
from anyio import to_thread

from whisper_service.app.wiring import MEDIA, SPEAKERS_ENTRY, SPEECH
from whisper_service.config.schema import Config
from whisper_service.core.domain import SAMPLE_RATE, Problem, Span, Value
from whisper_service.core.speaker_count import OFF
from whisper_service.models.catalog import Located
from whisper_service.models.speaker_networks import SPEAKERS, missing_networks
from whisper_service.supervision.conversation import conversation
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded
from whisper_service.supervision.messages.speakers import Heard, Listen
from whisper_service.supervision.messages.speech import Load, Loaded

VOWELS: Final = ((700, 1200, 2600), (300, 2300, 3000), (500, 900, 2500))
"""Formants of a, i and o in Hz, roughly. That is enough for a voice detector."""
LEAD_S: Final = 0.5
"""Seconds of silence before the voice."""
VOICE_S: Final = 1.5
UNEXPLAINED: Final = (FaultKind.CRASHED, FaultKind.UNKNOWN)


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"  # the service runs, but a person should know
    FAIL = "fail"  # the service needs something that does not work


class Check(Value, frozen=True):
    """One check: its name, its result, and what to do."""

    name: str
    verdict: Verdict
    detail: str
    hint: str = ""


def failed(name: str, problem: Problem) -> Check:
    """Return the failed check with this problem."""
    detail = problem.message
    if said := problem.params.get("detail"):
        detail += f" ({said})"
    return Check(name, Verdict.FAIL, detail, hint=problem.hint)


async def media(config: Config, scratch: Path) -> Check:
    """Decode a recording in a media actor, and find the voice in it."""
    name, began = "decoding", time.monotonic()
    source = scratch / "doctor.wav"
    await to_thread.run_sync(write_voice, source)
    spool, peaks = scratch / "doctor.pcm", scratch / "doctor.peaks"
    for path in (spool, peaks):
        path.touch()
    command = Decode(job_id="doctor", source=str(source), spool=str(spool), peaks=str(peaks))
    chunks = 0
    facts: dict[str, Any] = {}
    limits = config.supervision
    async with conversation(
        "doctor-media", MEDIA, command, logs=scratch, limits=limits, within_s=limits.decode_stall_s
    ) as actor:
        while not isinstance(answer := await actor.report(), Decoded):
            match answer:
                case Ready():
                    facts = answer.facts
                case ChunkFound():
                    chunks += 1
                case Fault():
                    return failed(name, answer.problem)
                case Problem():
                    return _death(name, answer)
                case _:
                    pass
    if not chunks:
        detail = "A recording was decoded, but the voice in it was not found."
        hint = "Install faster-whisper and onnxruntime again."
        return Check(name, Verdict.FAIL, detail, hint=hint)
    took = time.monotonic() - began
    versions = ", ".join(f"{key} {value}" for key, value in facts.items())
    detail = f"{answer.duration_s:.1f} s of sound decoded and the voice found, in {took:.1f} s with {versions}."
    return Check(name, Verdict.OK, detail)


async def speech(config: Config, scratch: Path, located: Located | None) -> AsyncIterator[Check]:
    """Load the model and encode once, in a speech actor for each device.

    A failure of a device that the configuration does not use is a WARN.
    """
    check, gpus = await _device(config, scratch, located, "cpu")
    every_gpu = tuple(f"cuda:{number}" for number in range(gpus))
    auto = config.speech.devices == ("auto",)
    used = (every_gpu or ("cpu",)) if auto else config.speech.devices
    yield _warn_unless(check, needed="cpu" in used)
    works = False
    for name in every_gpu:
        check, _ = await _device(config, scratch, located, name)
        wanted = name in used or (name == "cuda:0" and "cuda" in used)
        yield _warn_unless(check, needed=wanted and not (auto and works))  # the others do its work
        works = works or check.verdict is Verdict.OK
    for name in used:
        if name in ("cpu", *every_gpu) or (name == "cuda" and gpus):
            continue
        detail = f"The configuration asks for {name}; the engine sees {gpus} CUDA devices."
        hint = 'Check `nvidia-smi` and the driver, install "whisper_service[cuda]", or set speech.device = "auto".'
        yield Check(f"speech on {name}", Verdict.FAIL, detail, hint=hint)


async def speakers(config: Config, scratch: Path, networks: Path) -> Check:
    """Load the networks for speakers and hear a second of silence, in a speakers actor. They are not needed for text.

    `networks`: the folder of the pair.
    """
    name, limits = "speakers", config.supervision
    if missing := await to_thread.run_sync(missing_networks, networks):
        wanted = config.speech.speakers != OFF
        detail = f"The networks are not here: {networks} has no {' and no '.join(missing)}."
        hint = f"They are downloaded with the first job that wants speakers. Or: `models download {SPEAKERS}`."
        return Check(name, Verdict.WARN if wanted else Verdict.OK, detail, hint=hint)
    spool = scratch / "doctor-speakers.pcm"
    spool.write_bytes(bytes(2 * SAMPLE_RATE))
    command = Listen("doctor", Span(0, 0, SAMPLE_RATE, 0.0, 1.0), str(spool), str(networks))
    async with conversation(
        "doctor-speakers", SPEAKERS_ENTRY, command, logs=scratch, limits=limits, within_s=limits.load_timeout_s
    ) as actor:
        began = time.monotonic()
        while isinstance(answer := await actor.report(), Ready):
            began = time.monotonic()
    match answer:
        case Heard():
            return Check(name, Verdict.OK, f"The networks are loaded and tried in {time.monotonic() - began:.1f} s.")
        case Fault():
            check = failed(name, answer.problem)
        case Problem():
            check = _death(name, answer)
        case _:
            check = failed(name, Problem(code="internal", message=f"The actor answered {type(answer).__name__}."))
    return _warn_unless(check, needed=False)


async def _device(config: Config, scratch: Path, located: Located | None, device: str) -> tuple[Check, int]:
    """Return the check of one device, and how many CUDA devices the actor sees."""
    name = f"speech on {device}"
    load = None
    if located is not None:
        load = Load(
            model=located.name,
            path=str(located.path),
            device=device,
            compute_type=config.speech.compute_type,
            slots=1,
            threads=config.speech.threads,
        )
    actor_name, limits = f"doctor-{device.replace(':', '-')}", config.supervision
    async with conversation(
        actor_name, SPEECH, load, logs=scratch, limits=limits, within_s=limits.load_timeout_s
    ) as actor:
        answer = await actor.report()
        gpus = int(answer.facts.get("cuda_devices", 0)) if isinstance(answer, Ready) else 0
        if isinstance(answer, Ready) and load is not None:
            answer = await actor.report()
    match answer:
        case Loaded():
            detail = f"{answer.model} loaded and tried in {answer.seconds:.1f} s as {answer.compute_type}."
            return Check(name, Verdict.OK, detail), gpus
        case Ready():
            detail = "The engine starts; there is no model to try it with."
            return Check(name, Verdict.WARN, detail), gpus
        case Fault():
            return failed(name, answer.problem), gpus
        case Problem():
            return _death(name, answer), gpus
    problem = Problem(code="internal", message=f"The engine answered {type(answer).__name__}.")
    return failed(name, problem), gpus


def _death(name: str, problem: Problem) -> Check:
    """Return the failed check for an actor that died."""
    if problem.code in UNEXPLAINED:
        hint = "Install whisper_service again; if that does not help, report this."
        problem = msgspec.structs.replace(problem, hint=hint)
    return failed(name, problem)


def write_voice(path: Path) -> None:
    """Write a WAV file with silence and a synthetic voice that says a, i, o; 16 kHz mono.

    The voice is a buzz of about 120 Hz. Three resonances for each vowel weight its harmonics: the source-filter model
    of speech, G. Fant, "Acoustic Theory of Speech Production", 1960.
    """
    samples = array("h", bytes(2 * int(LEAD_S * SAMPLE_RATE)))
    phase = 0.0
    for number in range(int(VOICE_S * SAMPLE_RATE)):
        seconds = number / SAMPLE_RATE
        pitch = 120 * (1 + 0.1 * math.sin(2 * math.pi * 0.7 * seconds))
        phase += 2 * math.pi * pitch / SAMPLE_RATE
        formants = VOWELS[int(3 * seconds) % len(VOWELS)]
        tone = sum(
            math.sin(harmonic * phase)
            * sum(1 / (1 + ((harmonic * pitch - formant) / 100) ** 2) for formant in formants)
            for harmonic in range(1, 28)
        )
        loudness = 6000 * abs(math.sin(3 * math.pi * seconds)) ** 0.5
        samples.append(round(max(-20_000.0, min(20_000.0, loudness * tone))))
    if sys.byteorder == "big":
        samples.byteswap()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())


def _warn_unless(check: Check, *, needed: bool) -> Check:
    """Turn a failure of a device that is not needed into a warning."""
    return check if needed or check.verdict is Verdict.OK else msgspec.structs.replace(check, verdict=Verdict.WARN)
