"""What the speech actor is told of a batch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from whisper_service.config import schema
from whisper_service.core.domain import SAMPLE_RATE, Span
from whisper_service.scheduler.speech_actor import BATCH, BATCH_ON_GPU, SLOTS_ON_GPU, SpeechActor
from whisper_service.supervision.protocol import ChunkInput, Load, Transcribe


@pytest.mark.parametrize(("urgent", "express"), [(True, True), (True, False), (False, False)])
def test_the_actor_hears_that_somebody_waits_for_a_batch(urgent: bool, express: bool) -> None:
    sent: list[Transcribe] = []
    actor: Any = SimpleNamespace(facts={}, send=lambda command, **_: sent.append(command))
    recognizer = SpeechActor(actor, schema.SpeechSettings(), schema.SupervisionSettings())
    row = ChunkInput(job_id="job", span=Span(0, 0, SAMPLE_RATE, 0.0, 1.0), spool="spool")
    recognizer.give(
        1, (("job", 0),), [row], preset="balanced", prompt=None, suspect=False, urgent=urgent, express=express
    )
    assert [(command.urgent, command.express) for command in sent] == [(urgent, express)]
    view = recognizer.view()
    assert (view.batches, view.urgent, view.express_batches) == (
        int(not express),
        int(urgent and not express),
        int(express),
    )


GPU: dict[str, Any] = {"cuda_devices": 2, "vram_free": [80_000_000_000, None]}


@pytest.mark.parametrize(
    ("speech", "rows", "batch"),
    [
        (schema.SpeechSettings(device="cuda"), 1000, BATCH_ON_GPU),
        (schema.SpeechSettings(device="cuda"), 13 * SLOTS_ON_GPU, 8),  # a power of two
        (schema.SpeechSettings(device="cuda"), 0, 1),  # it will be tried, and the ladder sees to the rest
        (schema.SpeechSettings(device="cuda"), None, BATCH),
        (schema.SpeechSettings(device="cuda", slots=1), 13, 8),
        (schema.SpeechSettings(device="cuda", batch_size=5), 1000, 5),
        (schema.SpeechSettings(device="cpu"), None, BATCH),
    ],
)
def test_a_batch_is_as_large_as_the_memory_of_the_gpu_has_room_for(
    speech: schema.SpeechSettings, rows: int | None, batch: int
) -> None:
    sent: list[Load] = []
    actor: Any = SimpleNamespace(facts=GPU, send=lambda command, **_: sent.append(command))
    recognizer = SpeechActor(actor, speech, schema.SupervisionSettings())
    recognizer.load("base", Path("base"), None, rows)
    assert (recognizer.rung.batch, recognizer.view().batch_size) == (batch, batch)
    assert sent[0].slots == recognizer.rung.slots


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
    actor: Any = SimpleNamespace(facts=facts)
    assert SpeechActor(actor, schema.SpeechSettings(device=device), schema.SupervisionSettings()).free_vram == free
