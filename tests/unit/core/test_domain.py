"""Values are frozen, strict where clients write them, and survive the wire."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.strategies import values
from whisper_service.core.domain import (
    Change,
    Chunk,
    Gap,
    Job,
    Options,
    Preset,
    Problem,
    Segment,
    Status,
    Task,
    Transcript,
)


@pytest.mark.parametrize("kind", [Options, Segment, Chunk, Gap, Problem, Job, Transcript])
@given(data=st.data())
def test_what_goes_out_as_json_comes_back_equal(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    value = data.draw(values(kind).filter(_fits))
    assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value


def _fits(value: msgspec.Struct) -> bool:
    """Return whether a drawn value keeps the limits in the annotations, which the strategies do not know."""
    try:
        msgspec.convert(msgspec.to_builtins(value), type(value))
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b'{"modle": "base"}', "modle"),
        (b'{"model": ""}', "$.model"),
        (b'{"language": "English"}', "$.language"),
        (b'{"language": "EN"}', "$.language"),
        (b'{"task": "summarize"}', "$.task"),
        (b'{"preset": "best"}', "$.preset"),
        (b'{"word_timestamps": "yes"}', "$.word_timestamps"),
    ],
)
def test_a_wrong_option_is_refused_by_name(text: bytes, named: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(text, type=Options)
    assert named in str(caught.value)


def test_no_options_are_good_options() -> None:
    options = msgspec.json.decode(b"{}", type=Options)
    assert options == Options()
    assert (options.model, options.language, options.task, options.preset) == (
        "auto",
        None,
        Task.TRANSCRIBE,
        Preset.BALANCED,
    )


@given(values(Options))
def test_options_are_keys(options: Options) -> None:
    assert {options: 1}[msgspec.structs.replace(options)] == 1


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        Options().model = "tiny"  # type: ignore[misc]


def test_problems_do_not_share_their_parameters() -> None:
    assert Problem("a", "b").params is not Problem("a", "b").params


@given(st.integers(1, 2**62), st.sampled_from(["update", "segment", "deleted"]), values(Job))
def test_a_change_is_one_server_sent_event(seq: int, kind: str, job: Job) -> None:
    wire = Change(seq, job.id, kind, msgspec.json.encode(job)).wire
    lines = wire.split(b"\n")
    assert lines[:2] == [b"id: %d" % seq, b"event: " + kind.encode()]
    assert lines[2].startswith(b"data: ")
    assert lines[3:] == [b"", b""]  # whatever the job is called, its data is one line
    assert b"\r" not in wire
    assert msgspec.json.decode(lines[2][6:])["status"] in set(Status)
