"""Byte ranges and tags of RFC 9110."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.web.http.file_response import ByteRange, Unsatisfiable, matches, parse_range

HUGE = "9" * 400


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes=0-99", ByteRange(0, 100)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=100-", ByteRange(100, 1000)),
        ("bytes=-100", ByteRange(900, 1000)),
        ("bytes=-5000", ByteRange(0, 1000)),
        ("bytes=999-", ByteRange(999, 1000)),
        ("bytes=5-99999", ByteRange(5, 1000)),
        (f"bytes=5-{HUGE}", ByteRange(5, 1000)),
        (f"bytes=-{HUGE}", ByteRange(0, 1000)),
        ("Bytes=1-2", ByteRange(1, 3)),
        ("bytes= 1-2 ", ByteRange(1, 3)),
        ("bytes=0001-0002", ByteRange(1, 3)),
        (None, None),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=0-1,5-6", None),
        ("lines=1-2", None),
        ("bytes=a-b", None),
        ("bytes=1.5-2", None),
        ("bytes=--1", None),
        ("bytes=١-٢", None),
    ],
)
def test_a_range_is_what_the_rfc_says_or_ignored(value: str | None, span: ByteRange | None) -> None:
    assert parse_range(value, 1000) == span


@pytest.mark.parametrize(
    ("value", "size"),
    [("bytes=1000-", 1000), (f"bytes={HUGE}-", 1000), ("bytes=-0", 1000), ("bytes=0-", 0), ("bytes=-5", 0)],
)
def test_a_range_without_a_byte_of_the_file_cannot_be_answered(value: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(value, size)


@given(st.text() | st.from_regex(r"bytes=\d{0,30}-\d{0,30}(,\d*-\d*)?", fullmatch=True), st.integers(0, 2**63 - 1))
def test_whatever_a_client_says_no_byte_outside_the_file_is_promised(value: str, size: int) -> None:
    try:
        span = parse_range(value, size)
    except Unsatisfiable:
        return
    assert span is None or 0 <= span.start < span.end <= size


@given(
    st.integers(1, 10**12).flatmap(
        lambda size: st.tuples(st.just(size), st.integers(0, size - 1), st.integers(0, size - 1))
    )
)
def test_a_range_within_the_file_is_met_to_the_byte(numbers: tuple[int, int, int]) -> None:
    size, first, last = numbers[0], min(numbers[1:]), max(numbers[1:])
    assert parse_range(f"bytes={first}-{last}", size) == (first, last + 1)
    assert parse_range(f"bytes={first}-", size) == (first, size)
    assert parse_range(f"bytes=-{last + 1}", size) == (size - last - 1, size)


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        (' "a" ', True),
        (None, False),
        ("", False),
        ('"b"', False),
        ("a", False),
        ('"a', False),
        ('"aa"', False),
    ],
)
def test_tags_are_compared_whole_and_weakly(value: str | None, same: bool) -> None:
    assert matches(value, '"a"') is same
    assert matches(value, 'W/"a"') is same


@given(st.text())
def test_no_header_confuses_the_comparison(value: str) -> None:
    assert matches(value, '"a"') in (True, False)
