"""Messages survive the pipe, and bytes that are no message are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from testkit.strategies import values
from whisper_service.core.domain import Segment, Span, Word
from whisper_service.supervision import protocol
from whisper_service.supervision.messages.base import Shutdown
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, ChunkInput, Transcribe
from whisper_service.supervision.protocol import Command, Report

COMMANDS = get_args(Command)
REPORTS = get_args(Report)
DECODERS: list[Callable[[bytes], Any]] = [protocol.decode_command, protocol.decode_report]


@given(st.one_of(*map(values, COMMANDS)))
def test_a_command_comes_out_as_it_went_in(command: Command) -> None:
    assert protocol.decode_command(protocol.encode(command)) == command


@given(st.one_of(*map(values, REPORTS)))
def test_a_report_comes_out_as_it_went_in(report: Report) -> None:
    assert protocol.decode_report(protocol.encode(report)) == report


@pytest.mark.parametrize("kind", [*COMMANDS, *REPORTS])
@given(data=st.data())
def test_the_type_of_a_message_survives(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    message = data.draw(values(kind))
    decode = protocol.decode_command if kind in COMMANDS else protocol.decode_report
    assert type(decode(protocol.encode(message))) is kind


def test_commands_and_reports_are_told_apart() -> None:
    with pytest.raises(msgspec.ValidationError, match="Invalid value"):
        protocol.decode_report(protocol.encode(Shutdown()))
    with pytest.raises(msgspec.ValidationError, match="Invalid value"):
        protocol.decode_command(protocol.encode(BatchDone(batch=1, seconds=1.0, audio_s=1.0)))


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=200))
@example(b"")
@example(b"\x80")
@example(b"\xc1")
@example(b"null")
def test_random_bytes_are_refused(decode: Callable[[bytes], Any], data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode(data)


@given(st.one_of(*map(values, REPORTS)), st.data())
def test_a_message_that_was_cut_off_is_refused(report: Report, data: st.DataObject) -> None:
    whole = protocol.encode(report)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(msgspec.DecodeError):
        protocol.decode_report(whole[:length])


def test_a_wrong_field_is_named() -> None:
    data = msgspec.msgpack.encode({"type": "BatchDone", "batch": "one", "seconds": 1.0, "audio_s": 1.0})
    with pytest.raises(msgspec.ValidationError, match=r"\$\.batch"):
        protocol.decode_report(data)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(msgspec.ValidationError, match="batch"):
        protocol.decode_command(msgspec.msgpack.encode({"type": "Transcribe", "chunks": []}))


def test_a_full_batch_fits_into_the_buffer_of_a_pipe() -> None:
    """Commands are written on the event loop, which must not wait until an actor reads: 64 KiB on Linux."""
    span = Span(index=99_999, start_sample=2**40, samples=480_000, start=360_000.123456789, end=360_029.987654321)
    row = ChunkInput(job_id="j" * 40, span=span, spool="/" + "d" * 400, language="yue")
    assert len(protocol.encode(Transcribe(batch=2**31, chunks=(row,) * 64, prompt="词" * 2_000))) < 64 * 1024


def test_word_times_are_not_rounded() -> None:
    word = Word(start=0.1 + 0.2, end=1 / 3, word=" é", probability=2 / 3)
    report = ChunkDone(
        batch=1, job_id="a", index=0, segments=(Segment(0, 0, 1 / 7, 2 / 7, "é", (word,)),), language="fr"
    )
    assert protocol.decode_report(protocol.encode(report)) == report
