"""What operations do to lines, and what undoes them. The page shows an edit at once by the same cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from whisper_service.core.errors import BadEdit, EditConflict
from whisper_service.editing.applying import apply
from whisper_service.editing.lines import Line, LineList
from whisper_service.editing.operations import Operation, PutLines

SHARED: dict[str, Any] = msgspec.json.decode(Path(__file__).with_name("operations.json").read_bytes())
LINES = msgspec.convert(SHARED["lines"], type=list[Line])
CASES: list[dict[str, Any]] = SHARED["cases"]


def told(line: Line) -> dict[str, Any]:
    """Return a line as the cases have it."""
    words = [[pytest.approx(word.start), pytest.approx(word.end), word.word, word.by] for word in line.words]
    same = ("id", "version", "content", "position", "text", "speaker", "held", "checked", "source")
    times = {"start": pytest.approx(line.start), "end": pytest.approx(line.end)}
    return {field: getattr(line, field) for field in same} | times | {"words": words}


def undone(operation: Operation) -> dict[str, Any]:
    """Return what undoes an edit as the cases have it: of lines only the IDs."""
    built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(operation))
    return built | {"lines": [line.id for line in operation.lines]} if isinstance(operation, PutLines) else built


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_operations_do_what_the_case_says(case: dict[str, Any]) -> None:
    operations = msgspec.convert(case["operations"], type=list[Operation])
    lines = LineList(LINES)
    if refused := case.get("refused"):
        with pytest.raises((EditConflict, BadEdit)) as caught:
            apply(lines, operations)
        reason = "conflict" if isinstance(caught.value, EditConflict) else caught.value.params["reason"]
        assert reason == refused
        return
    outcome = apply(lines, operations)
    assert [line.id for line in lines] == case["order"]
    assert [told(line) for line in outcome.lines] == case["lines"]
    assert list(outcome.gone) == case["gone"]
    assert [undone(operation) for operation in outcome.inverse] == case["inverse"]
    if outcome.inverse:
        apply(lines, outcome.inverse)
        assert [(line.id, line.text, line.start, line.end) for line in lines] == [
            (line.id, line.text, line.start, line.end) for line in LINES
        ]
