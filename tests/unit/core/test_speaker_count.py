"""How many speakers are wanted: decided once, when a job is made."""

from __future__ import annotations

import msgspec
import pytest

from whisper_service.core.domain import Options, Task
from whisper_service.core.errors import InvalidRequest
from whisper_service.core.speaker_count import Wanted, decided, wanted


@pytest.mark.parametrize(
    ("given", "default", "speakers", "count"),
    [
        (Options(), "off", "off", None),
        (Options(), "auto", "auto", Wanted()),
        (Options(), "4", "4", Wanted(4, 4)),
        (msgspec.convert({"speakers": "auto\n"}, Options), "off", "auto", Wanted()),
        (Options(speakers="off"), "auto", "off", None),
        (Options(speakers="2"), "off", "2", Wanted(2, 2)),
        (Options(speakers="auto", min_speakers=2), "off", "auto", Wanted(2, None)),
        (Options(max_speakers=5), "off", "auto", Wanted(1, 5)),
        (Options(min_speakers=2, max_speakers=5), "3", "3", Wanted(3, 3)),
        (Options(speakers="3", min_speakers=3, max_speakers=3), "off", "3", Wanted(3, 3)),
        (Options(speakers="auto", task=Task.DETECT), "auto", "off", None),
    ],
)
def test_a_job_knows_what_it_wants(given: Options, default: str, speakers: str, count: Wanted | None) -> None:
    options = decided(given, default)
    assert options.speakers == speakers
    assert wanted(options) == count
    assert decided(options, "20") == options


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (Options(min_speakers=3, max_speakers=2), "min_speakers"),
        (Options(speakers="3", min_speakers=4), "speakers"),
        (Options(speakers="3", max_speakers=2), "speakers"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(given: Options, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decided(given, "off")
    assert caught.value.params == {"field": field}
    assert caught.value.problem.hint


def test_jobs_from_before_want_none() -> None:
    assert wanted(msgspec.json.decode(b"{}", type=Options)) is None


@pytest.mark.parametrize("wrong", ["0", "21", "two", "", "AUTO", "01", " 2"])
def test_other_numbers_are_refused(wrong: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"speakers": wrong}, Options)
