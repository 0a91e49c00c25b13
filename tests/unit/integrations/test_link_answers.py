"""What another server's answer says about a recording: its name, and whether it is one."""

from __future__ import annotations

import pytest

from whisper_service.core.errors import LinkFailed, WebPage
from whisper_service.core.web_page import is_list, is_web_page
from whisper_service.integrations.link_answers import (
    LinkUnavailable,
    check_answer,
    name_from_title,
    name_from_url,
    name_in,
)


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "application/xhtml+xml"])
def test_a_page_says_what_it_is(kind: str) -> None:
    with pytest.raises(WebPage) as caught:
        check_answer(200, {"content-type": kind})
    problem = caught.value.problem
    assert (problem.code, problem.message) == ("web_page", "This is a web page, not an audio or video file.")
    assert problem.hint


@pytest.mark.parametrize(
    ("status", "kind", "page"),
    [
        (200, "audio/mpeg", False),
        (200, "application/rss+xml", True),
        (200, "application/vnd.apple.mpegurl; charset=utf-8", True),
        (200, "text/xml; charset=utf-8", True),
        (403, "text/html", True),
        (429, "text/html; charset=utf-8", True),
        (403, "application/json", False),
        (404, "text/html", False),
        (503, "text/html", False),
    ],
)
def test_with_yt_dlp_more_answers_lead_to_a_page(status: int, kind: str, page: bool) -> None:
    headers = {"content-type": kind}
    for sites in (False, True):
        try:
            check_answer(status, headers, sites=sites)
            got = False
        except WebPage:
            got = True
        except (LinkFailed, LinkUnavailable):
            got = False
        assert got is (page and sites)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("A talk", "A talk"),
        ("AC/DC \\ live\n at home", "AC-DC-live at home"),
        ("..", "recording"),
        ("录音 / 第一集", "录音-第一集"),
        ("x" * 400, "x" * 300),
    ],
)
def test_a_title_becomes_a_name(title: str, name: str) -> None:
    assert name_from_title(title) == name


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
    ("head", "listed"),
    [
        (b"#EXTM3U\n#EXTINF:4,\n/0.ts", True),
        (b'<?xml version="1.0"?>\n<?xml-stylesheet href="a"?><!-- x --><rss version="2.0">', True),
        (b'\xef\xbb\xbf<feed xmlns="http://www.w3.org/2005/Atom">', True),
        (b'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">', True),
        (b"<html><rss>", False),
        (b"<rssx>", False),
        (b"RIFF....WAVE#EXTM3U", False),
        (b"", False),
    ],
)
def test_a_list_is_known_by_its_first_bytes(head: bytes, listed: bool) -> None:
    assert is_list(head) is listed


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
