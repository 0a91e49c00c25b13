"""Log lines for people and for programs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from whisper_service.core import logs


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("whisper_service")
    before = root.level, root.handlers[:], ours.level
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    ours.setLevel(before[2])


def record(**extra: object) -> logging.LogRecord:
    made = logging.LogRecord(
        "whisper_service.storage.store", logging.WARNING, __file__, 1, "%d rows of %s", (3, "会议"), None
    )
    vars(made).update(extra)
    return made


def test_text_has_the_extras_at_the_end() -> None:
    line = logs.TextFormatter().format(record(job="a", seq=7))
    assert line.endswith("warning storage.store: 3 rows of 会议 [job=a, seq=7]")


def test_json_is_one_object_with_the_extras_and_the_traceback() -> None:
    try:
        raise ValueError("inside")
    except ValueError as error:
        made = record(job="a", path=logs)
        made.exc_info = (ValueError, error, error.__traceback__)
    line = logs.JsonFormatter().format(made)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == (
        "warning",
        "whisper_service.storage.store",
        "3 rows of 会议",
    )
    assert entry["job"] == "a"
    assert "ValueError: inside" in entry["traceback"]


@pytest.mark.parametrize(("level", "shown"), [("debug", 2), ("info", 1), ("error", 0)])
def test_levels_are_for_our_own_loggers(level: str, shown: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level, json=True)
    ours = logging.getLogger("whisper_service.app.service")
    ours.debug("one")
    ours.info("two")
    logging.getLogger("another.library").info("three")
    assert len(capsys.readouterr().err.splitlines()) == shown
