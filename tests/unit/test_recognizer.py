"""What the speech actor is told of a batch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from whisper_service import config
from whisper_service.domain import SAMPLE_RATE, Span
from whisper_service.loop.recognizer import Recognizer
from whisper_service.protocol import Row, Transcribe


@pytest.mark.parametrize(("urgent", "express"), [(True, True), (True, False), (False, False)])
def test_the_actor_hears_that_somebody_waits_for_a_batch(urgent: bool, express: bool) -> None:
    sent: list[Transcribe] = []
    actor: Any = SimpleNamespace(facts={}, send=lambda command, **_: sent.append(command))
    recognizer = Recognizer(actor, config.Speech(), config.Supervision())
    row = Row(job_id="job", span=Span(0, 0, SAMPLE_RATE, 0.0, 1.0), spool="spool")
    recognizer.give(1, (("job", 0),), [row], preset="balanced", prompt=None, suspect=False, urgent=urgent, express=express)
    assert [(command.urgent, command.express) for command in sent] == [(urgent, express)]
    view = recognizer.view()
    assert (view.batches, view.urgent, view.express_batches) == (int(not express), int(urgent and not express), int(express))
