"""What the speech actor is told of a batch, and the size of a batch."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from whisper_service.config import schema
from whisper_service.core.domain import SAMPLE_RATE, Span
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.scheduler.speech_device import BATCH, BATCH_ON_GPU, SLOTS_ON_GPU, SpeechDevice
from whisper_service.scheduler.views import GiveBatch
from whisper_service.supervision.messages.speech import ChunkInput, Load, Transcribe


@pytest.mark.parametrize(("urgent", "express"), [(True, True), (True, False), (False, False)])
def test_the_actor_hears_that_somebody_waits_for_a_batch(urgent: bool, express: bool) -> None:
    sent: list[Transcribe] = []
    actor: Any = SimpleNamespace(
        name="speech", facts={}, ready_generation=1, send=lambda command, **_: sent.append(command)
    )
    speech = SpeechActor(actor, schema.SpeechSettings(), schema.SupervisionSettings())
    chunk = ChunkInput(job_id="job", span=Span(0, 0, SAMPLE_RATE, 0.0, 1.0), spool="spool")
    batch = GiveBatch((("job", 0),), urgent=urgent, express=express)
    speech.give(1, batch, [chunk], preset="balanced", prompt=None)
    assert [(command.urgent, command.express) for command in sent] == [(urgent, express)]
    view = speech.view()
    assert (view.batches, view.urgent, view.express_batches) == (
        int(not express),
        int(urgent and not express),
        int(express),
    )


def test_how_far_calls_and_short_recordings_are_ahead_of_others_is_counted() -> None:
    actor: Any = SimpleNamespace(name="speech", facts={}, ready_generation=1, send=lambda command, **_: None)
    speech = SpeechActor(actor, schema.SpeechSettings(), schema.SupervisionSettings())
    numbers = count(1)

    def after(size: int, **fields: bool) -> tuple[int, int]:
        speech.give(next(numbers), GiveBatch((("job", 0),) * size, **fields), [], preset="balanced", prompt=None)
        return speech.view().call_lead, speech.view().urgent_chunks

    assert after(3, urgent=True, call=True) == (3, 3)
    assert after(1, urgent=True, call=True, express=True) == (4, 4)
    for _ in range(4):
        most = after(8, urgent=True, call=True)
    assert most == (32, 36)
    assert after(2, urgent=True) == (24, 38), "a short recording is one of the others of a call"
    assert after(5) == (4, 0)
    assert after(2) == (0, 0)


GPU: dict[str, Any] = {"cuda_devices": 2, "vram_free": [80_000_000_000, None]}


@pytest.mark.parametrize(
    ("speech", "chunks", "batch"),
    [
        (schema.SpeechSettings(device="cuda"), 1000, BATCH_ON_GPU),
        (schema.SpeechSettings(device="cuda"), 13 * SLOTS_ON_GPU, 8),  # a power of two
        (schema.SpeechSettings(device="cuda"), 0, 1),  # tried all the same: the fallback does the rest
        (schema.SpeechSettings(device="cuda"), None, BATCH),
        (schema.SpeechSettings(device="cuda", slots=1), 13, 8),
        (schema.SpeechSettings(device="cuda", batch_size=5), 1000, 5),
        (schema.SpeechSettings(device="cpu"), None, BATCH),
    ],
)
def test_a_batch_is_as_large_as_the_memory_of_the_gpu_has_room_for(
    speech: schema.SpeechSettings, chunks: int | None, batch: int
) -> None:
    sent: list[Load] = []
    actor: Any = SimpleNamespace(
        name="speech", facts=GPU, ready_generation=1, send=lambda command, **_: sent.append(command)
    )
    loaded = SpeechActor(actor, speech, schema.SupervisionSettings())
    loaded.load("base", Path("base"), None, chunks)
    assert (loaded.rung.batch, loaded.view().batch_size) == (batch, batch)
    assert sent[0].slots == loaded.rung.slots


@pytest.mark.parametrize(
    ("device", "facts", "free"),
    [
        ("auto", GPU, 80_000_000_000),
        ("cuda:0", GPU, 80_000_000_000),
        ("cuda:1", GPU, None),
        ("cuda:2", GPU, None),
        ("cpu", GPU, None),
        ("auto", {}, None),
    ],
)
def test_only_the_memory_of_the_gpu_that_is_wanted_counts(device: str, facts: dict[str, Any], free: int | None) -> None:
    actor: Any = SimpleNamespace(name="speech", facts=facts)
    assert SpeechDevice(actor, schema.SpeechSettings(device=device)).free_vram == free
