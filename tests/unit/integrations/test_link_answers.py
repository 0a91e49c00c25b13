"""What another server's answer says about a recording: its name, and whether it is one."""

from __future__ import annotations

import pytest

from whisper_service.core.errors import LinkFailed
from whisper_service.integrations.link_answers import check_answer, is_web_page, name_from_url, name_in


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "application/xhtml+xml"])
def test_a_page_says_what_it_is(kind: str) -> None:
    with pytest.raises(LinkFailed) as caught:
        check_answer(200, {"content-type": kind})
    problem = caught.value.problem
    assert (problem.code, problem.message) == ("url_failed", "This is a web page, not an audio or video file.")
    assert problem.hint


@pytest.mark.parametrize(
    ("head", "page"),
    [
        (b"<!DOCTYPE html><html>", True),
        (b"\xef\xbb\xbf\r\n <html lang=en>", True),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<!doctype HTML PUBLIC>', True),
        (b"<head><title>", True),
        (b"RIFF....WAVE", False),
        (b"<htmlx>", False),
        (b"ID3\x04<html>", False),
        (b"", False),
    ],
)
def test_a_page_is_known_by_its_first_bytes(head: bytes, page: bool) -> None:
    assert is_web_page(head) is page


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a.mp3"', "a.mp3"),
        ("attachment; filename=x.mp3; filename*=UTF-8''%E4%BC%9A.mp3", "会.mp3"),
        ("会议.mp3".encode("gbk").decode("latin-1").join(('attachment; filename="', '"')), "会议.mp3"),
        ("inline", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_fetched_recording(header: str, name: str) -> None:
    assert name_in({"content-disposition": header}) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example/x/%E4%BC%9A%E8%AE%AE.mp3?y=1", "会议.mp3"),
        ("https://a.example/r%E9union.mp3", "réunion.mp3"),
        ("https://a.example/", "a.example"),
    ],
)
def test_the_name_in_an_address(url: str, name: str) -> None:
    assert name_from_url(url) == name
