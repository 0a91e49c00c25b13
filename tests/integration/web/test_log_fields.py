"""Log lines about a job name it and the action, as fields of one JSON object per line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testkit.service import ended, open_service, send
from whisper_service.core.domain import Status
from whisper_service.core.logs import JsonFormatter

pytestmark = pytest.mark.anyio


@contextmanager
def written() -> Iterator[list[dict[str, Any]]]:
    """Yield the lines that the service writes with log.json = true."""
    lines: list[dict[str, Any]] = []
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger("whisper_service")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        lines += map(json.loads, stream.getvalue().splitlines())


async def test_lines_about_a_job_name_it_and_what_happened_to_which_part(tmp_path: Path) -> None:
    with written() as lines:
        async with open_service(tmp_path) as service:
            marks = tmp_path / "marks"
            marks.mkdir()
            stumbles = await send(
                service, name="private name", chunks=3, bad=(2,), faults={"1": "abort_once"}, marks=str(marks)
            )
            assert (await ended(service, stumbles.id)).status is Status.COMPLETED
            letter = await send(service, decode_fault="not_media")
            assert (await ended(service, letter.id)).status is Status.FAILED
    by_action: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_action.setdefault(line.get("action", ""), []).append(line)
    (death,) = by_action["actor_died"]
    assert (death["actor"], death["generation"], death["cause"]) == ("speech", 1, "crashed")
    struck = next(line for line in by_action["chunk_struck"] if line["chunk"] == 1)
    assert (struck["job"], struck["cause"], struck["attempts"], struck["level"]) == (
        stumbles.id,
        "crashed",
        1,
        "warning",
    )
    assert struck["batch"] >= 1
    (given_up,) = by_action["chunk_given_up"]
    assert (given_up["job"], given_up["chunk"], given_up["cause"]) == (stumbles.id, 2, "unknown")
    (unread,) = by_action["decode_failed"]
    assert (unread["job"], unread["cause"]) == (letter.id, "not_media")
    assert unread["actor"].startswith("media-")
    assert unread["generation"] >= 1
    ends = {line["job"]: line for line in by_action["job_ended"]}
    assert (ends[stumbles.id]["status"], ends[stumbles.id]["cause"], ends[stumbles.id]["gaps"]) == (
        "completed",
        "finish",
        1,
    )
    assert (ends[letter.id]["status"], ends[letter.id]["cause"], ends[letter.id]["code"]) == (
        "failed",
        "fault",
        "not_media",
    )
    assert {line["job"] for line in by_action["job_begun"]} == {stumbles.id, letter.id}
    assert "private name" not in json.dumps(lines)
