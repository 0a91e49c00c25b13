"""Speakers: told apart by their voices, named, merged and chosen by people, in the text, in its panel and in files."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import docx
import pytest

from testkit.browser import LANGUAGES, Site, Streams, Visitor, recording, running_site, visiting
from testkit.service import placeholder_networks
from whisper_service.core.domain import JobNote, Options, Status

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

THEMES: tuple[Any, ...] = ("light", "dark")
HEADS = """[...document.querySelectorAll('.line[data-line]')].map((line) => {
  const head = line.querySelector('.head')
  return head && ([...head.querySelectorAll('.name, .nobody')].map((e) => e.innerText.trim()).join(' + '))
})"""
PEOPLE = """[...document.querySelectorAll('[data-speaker]')].map((row) => [
  row.querySelector('.name').innerText.trim(), Number(row.querySelector('.dim').innerText.match(/\\d+/)[0])])"""
UNDERLINED = "[...(CSS.highlights.get('part-1') ?? [])].map(String).join('|')"


@pytest.fixture(scope="module")
async def module_site(streams: Streams, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A service that has the networks for speakers. What they hear is in the scripts."""
    root = tmp_path_factory.mktemp("speakers")
    placeholder_networks(root)
    async with running_site(root) as site:
        yield site


async def transcribed(site: Site, name: str, *, speakers: str | None = "auto", **play: Any) -> str:
    """A finished job; its ID."""
    job = await site.send(name, options=Options(language="en", speakers=speakers), **play)
    await site.until(job.id, "completed")
    return job.id


async def opened(site: Site, visitor: Visitor, name: str, **play: Any) -> str:
    """The page of a finished transcript with the panel of its speakers; the ID of the job."""
    job_id = await transcribed(site, name, **play)
    await visitor.go(f"/t/{job_id}")
    await visitor.page.wait_for_selector(".line[data-line]")
    await visitor.page.click("[data-panel-tab=speakers]")
    return job_id


async def exported(visitor: Visitor, job_id: str, form: str) -> bytes:
    answer = await visitor.page.request.get(f"{visitor.url}/api/jobs/{job_id}/export?format={form}")
    data: bytes = await answer.body()
    return data


async def until_stored(site: Site, job_id: str, names: list[str]) -> None:
    """Wait until the speakers of a job have these names, in their order."""
    with anyio.fail_after(10):
        while [one.name for one in await site.service.parts.store.speakers.speakers(job_id)] != names:  # noqa: ASYNC110
            await anyio.sleep(0.03)


async def pick(visitor: Visitor, line: int, choice: str, *, scope: str = "line") -> None:
    """Choose who speaks in a line, which is counted from 0: for which lines, and who."""
    page = visitor.page
    await page.locator(".line[data-line]").nth(line).focus()
    await page.keyboard.press("s")
    await page.check(f"[data-picker] input[value={scope}]")
    option = page.locator(f"[data-picker] [data-choice={choice}]")
    await option.or_(page.get_by_role("option", name=choice)).first.click()
    await page.wait_for_selector("[data-pick]", state="detached")


async def test_voices_are_told_apart_and_how_many_there_are_is_changed_at_once(visitor: Visitor, site: Site) -> None:
    job_id = await opened(site, visitor, "talk.wav", chunks=4, people="ABCA")
    page = visitor.page
    await visitor.reads(HEADS, ["Speaker 1", "Speaker 2", "Speaker 3", "Speaker 1"])
    await visitor.reads(PEOPLE, [["Speaker 1", 2], ["Speaker 2", 1], ["Speaker 3", 1]])
    await visitor.sees(lambda: page.inner_text("[data-speaker-count]"), "3 speakers")
    marks = await page.locator(".text .mark").evaluate_all(
        "(all) => all.map((e) => [e.innerText, getComputedStyle(e).backgroundColor])"
    )
    assert [letter for letter, _ in marks] == ["1", "2", "3", "1"]
    assert len({colour for _, colour in marks}) == 3
    await page.click("[data-speaker=s1] [data-rename-speaker]")
    await page.keyboard.type("Anna")
    await page.keyboard.press("Enter")
    await visitor.reads(HEADS, ["Anna", "Speaker 2", "Speaker 3", "Anna"])
    await page.click("[data-change-count]")
    await page.click("[data-fewer]")
    await visitor.reads(HEADS, ["Anna", "Speaker 2", None, "Anna"])  # who was the third is taken for the second
    await visitor.sees(lambda: page.inner_text("[data-speaker-count]"), "2 speakers")
    await page.click("[data-more-speakers]")
    await visitor.reads(HEADS, ["Anna", "Speaker 2", "Speaker 3", "Anna"])
    other = f"{visitor.url}/api/jobs/{job_id}/speakers/s2"
    await page.request.patch(other, data={"name": "Bo"})  # another client
    await visitor.reads(HEADS, ["Anna", "Bo", "Speaker 3", "Anna"])
    await page.reload()
    await visitor.reads(HEADS, ["Anna", "Bo", "Speaker 3", "Anna"])
    await page.fill(".search input", "chunk")
    await page.click("[data-replacing]")
    await page.select_option("[data-find-speaker]", "s1")
    await visitor.reads("document.querySelector('.search [role=status]').innerText", "1 of 2")  # of four


async def test_a_recording_of_one_person_is_shown_as_if_nobody_had_asked(visitor: Visitor, site: Site) -> None:
    await opened(site, visitor, "alone.wav", chunks=3, people="A")
    await visitor.reads(PEOPLE, [["Speaker 1", 3]])
    await visitor.reads(HEADS, [None, None, None])
    await visitor.page.click("[data-rename-speaker]")
    await visitor.page.keyboard.type("Anna")
    await visitor.page.keyboard.press("Tab")
    await visitor.reads(HEADS, ["Anna", None, None])


async def test_without_voices_the_page_says_why_it_cannot_count_again(visitor: Visitor, site: Site) -> None:
    job_id = await transcribed(site, "gone.wav", chunks=2)
    await site.service.parts.store.speakers.delete_voices(before=2**40)
    await visitor.go(f"/t/{job_id}")
    await visitor.page.click("[data-panel-tab=speakers]")
    await visitor.page.click("[data-change-count]")
    await visitor.page.wait_for_selector(".speakers .problem")
    await visitor.count("[data-fewer]", 0)


async def test_a_job_that_lacks_its_speakers_says_why_beside_the_text(visitor: Visitor, site: Site) -> None:
    job = await site.send("lacking.wav", options=Options(language="en", speakers="off"), chunks=1)
    await site.until(job.id, "completed")
    note = JobNote(1.0, "speakers_unavailable", "The speakers could not be told apart: No network.")
    await site.service.parts.store.update(job.id, expected=Status.COMPLETED, history=(note,))
    await visitor.go(f"/t/{job.id}")
    await visitor.page.click("[data-panel-tab=speakers]")
    await visitor.sees(lambda: visitor.page.inner_text(".speakers [data-note]"), has="No network.")


async def test_a_digit_gives_lines_a_speaker_who_is_renamed_merged_and_parted_again(
    visitor: Visitor, site: Site
) -> None:
    """Criterion 39."""
    job_id = await opened(site, visitor, "digits.wav", chunks=5, speakers="off")
    page = visitor.page
    await visitor.reads(HEADS, [None] * 5)
    await page.locator(".line[data-line]").nth(1).focus()
    await page.keyboard.press("Shift+ArrowDown")
    await page.keyboard.press("Shift+ArrowDown")
    await page.keyboard.press("2")
    await visitor.reads(HEADS, [None, "Speaker 2", None, None, "No speaker"])
    await page.locator(".line[data-line]").nth(0).focus()
    await page.keyboard.press("1")
    await visitor.reads(PEOPLE, [["Speaker 1", 1], ["Speaker 2", 3]])
    await page.locator("[data-rename-speaker]").nth(1).click()
    await page.keyboard.type("李雷")
    await page.keyboard.press("Enter")
    named = ["Speaker 1", "李雷", None, None, "No speaker"]
    await visitor.reads(HEADS, named)
    await until_stored(site, job_id, ["", "李雷"])
    vtt = (await exported(visitor, job_id, "vtt")).decode()
    assert vtt.count("<v 李雷>") == 3
    assert "李雷: " in (await exported(visitor, job_id, "txt")).decode()
    document = docx.Document(io.BytesIO(await exported(visitor, job_id, "docx")))
    assert any("李雷" in paragraph.text for paragraph in document.paragraphs)
    await page.locator("[data-speaker] [data-menu]").nth(1).click()
    await page.locator("[data-merge]:visible").first.click()
    await visitor.reads(HEADS, ["Speaker 1", None, None, None, "No speaker"])
    await page.click("[data-take-back]")
    await visitor.reads(HEADS, named)
    await page.locator(".line[data-line]").nth(4).focus()
    await page.keyboard.press("Control+z")  # the merge comes back, and goes again
    await visitor.reads(HEADS, ["Speaker 1", None, None, None, "No speaker"])
    await page.keyboard.press("Control+z")
    await visitor.reads(HEADS, named)
    await page.reload()
    await visitor.reads(HEADS, named)


async def test_from_a_line_on_another_one_speaks_until_it_changes(visitor: Visitor, site: Site) -> None:
    """Criterion 40."""
    await opened(site, visitor, "until.wav", chunks=7, people="AAAABBA")
    page = visitor.page
    first = ["Speaker 1", None, None, None, "Speaker 2", None, "Speaker 1"]
    await visitor.reads(HEADS, first)
    await page.locator(".line[data-line]").nth(1).focus()
    await page.keyboard.press("s")
    await page.wait_for_selector("[data-pick]")
    await page.check("[data-picker] input[value=from]")
    await page.fill("[data-pick]", "Cy")
    await page.click("[data-choice=make]")
    await visitor.reads(HEADS, ["Speaker 1", "Cy", None, None, "Speaker 2", None, "Speaker 1"])
    await page.locator(".line[data-line]").nth(2).locator("p").click()
    await page.keyboard.press("End")
    await page.keyboard.type(" 12")
    await page.keyboard.press("Escape")
    await visitor.reads("document.querySelectorAll('.line[data-line] p')[2].innerText.endsWith(' 12')", True)
    await visitor.reads(HEADS, ["Speaker 1", "Cy", None, None, "Speaker 2", None, "Speaker 1"])
    await page.locator(".line[data-line]").nth(3).locator("p").click()
    await page.keyboard.press("Home")
    await page.keyboard.press("Alt+p")
    await page.wait_for_selector("[data-pick]")
    await page.keyboard.press("2")
    await visitor.reads(HEADS, ["Speaker 1", "Cy", None, "Speaker 2", None, None, "Speaker 1"])
    await page.keyboard.type("So ")  # the caret is where it was
    text = "document.querySelectorAll('.line[data-line] p')[3].innerText"
    await visitor.reads(text, "So This is chunk 3.")


async def test_a_line_of_two_shows_both_and_whose_the_words_are(visitor: Visitor, site: Site) -> None:
    said = ["Where were you?", "At the old mill.", "Alone?"]
    job_id = await opened(site, visitor, "both.wav", chunks=3, people="ABA", lines=said)
    page = visitor.page
    await visitor.reads(HEADS, ["Speaker 1", "Speaker 2", "Speaker 1"])
    joined = {"op": "merge", "ids": ["c0.0", "c1.0"], "v": [0, 0]}
    await page.request.post(f"{visitor.url}/api/jobs/{job_id}/edits", data={"batch": "b1", "operations": [joined]})
    await visitor.reads(HEADS, ["Speaker 1 + Speaker 2", "Speaker 1"])
    await visitor.reads(UNDERLINED, said[1])
    name = page.locator(".head [data-part]")
    await visitor.sees(lambda: name.evaluate("(e) => getComputedStyle(e).textDecorationLine"), has="underline")
    await visitor.reads(PEOPLE, [["Speaker 1", 2], ["Speaker 2", 1]])
    await page.locator(".head").first.click()
    await page.click("[data-split-turns]")
    await visitor.reads(HEADS, ["Speaker 1", "Speaker 2", "Speaker 1"])
    texts = "[...document.querySelectorAll('.line[data-line] p')].map((e) => e.innerText)"
    await visitor.reads(texts, said)
    await visitor.reads(UNDERLINED, "")


async def test_a_name_is_typed_for_one_line_for_all_lines_or_taken_for_another(visitor: Visitor, site: Site) -> None:
    job_id = await opened(site, visitor, "names.wav", chunks=4, people="ABAB")
    page = visitor.page
    await visitor.reads(HEADS, ["Speaker 1", "Speaker 2"] * 2)
    await page.locator(".head").first.click()
    await page.keyboard.type("Anna")
    await page.keyboard.press("Enter")  # who has no name yet gets it everywhere
    await visitor.reads(HEADS, ["Anna", "Speaker 2"] * 2)
    await visitor.reads("document.activeElement.matches('.head')", True)
    await page.locator(".head").nth(1).click()
    await page.keyboard.type("an")
    await page.keyboard.press("Enter")  # the only one whose name has these letters, for this line
    await visitor.reads(HEADS, ["Anna", None, None, "Speaker 2"])
    await pick(visitor, 1, "none")  # as told by the voice
    await visitor.reads(HEADS, ["Anna", "Speaker 2"] * 2)
    await pick(visitor, 1, "s1", scope="all")
    await visitor.reads(HEADS, ["Anna", None, None, None])
    await page.get_by_role("button", name="Undo", exact=True).first.click()
    await visitor.reads(HEADS, ["Anna", "Speaker 2"] * 2)
    await page.click("[data-add-speaker]")
    await page.keyboard.type("Cy")
    await page.keyboard.press("Enter")
    await visitor.reads(PEOPLE, [["Anna", 2], ["Speaker 2", 2], ["Cy", 0]])
    await page.locator(".line[data-line]").nth(3).hover()
    await page.click("[data-line-menu]")
    await page.click("[data-line-act=speaker]")
    await page.get_by_role("option", name="Cy").click()
    await visitor.reads(HEADS, ["Anna", "Speaker 2", "Anna", "Cy"])
    await page.locator("[data-speaker] [data-menu]").nth(2).click()
    await page.locator("[data-remove]:visible").click()
    await visitor.reads(HEADS, ["Anna", "Speaker 2"] * 2)
    await until_stored(site, job_id, ["Anna", ""])


async def test_keys_that_come_before_what_they_are_for_is_loaded_are_not_lost(visitor: Visitor, site: Site) -> None:
    job_id = await transcribed(site, "early.wav", chunks=3, people="ABA")
    page = visitor.page
    free = anyio.Event()

    async def hold(route: Any) -> None:
        await free.wait()
        await route.continue_()

    await page.route("**/behind_text-*.js", hold)
    await visitor.go(f"/t/{job_id}")
    await visitor.reads(HEADS, ["Speaker 1", "Speaker 2", "Speaker 1"])
    await page.locator(".line[data-line]").nth(1).focus()
    await page.keyboard.press("s")
    await page.keyboard.type("Anna")
    await page.keyboard.press("Enter")
    await page.keyboard.press("c")
    await visitor.reads("[...document.querySelectorAll('.line[data-line]')].indexOf(document.activeElement)", 1)
    await visitor.count("[data-view]", 0)  # nothing of it is there
    free.set()
    await visitor.reads(HEADS, ["Speaker 1", "Anna", "Speaker 1"])
    await visitor.count(".line[data-checked]", 1)
    await visitor.reads("[...document.querySelectorAll('.line[data-line]')].indexOf(document.activeElement)", 2)


async def test_whether_speakers_are_told_apart_is_chosen_for_new_recordings(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    await page.click(".options summary")
    await page.select_option("[data-option=speakers]", "auto")
    for name, number in (("min_speakers", "4"), ("max_speakers", "3")):
        await page.fill(f"[data-option={name}]", number)
        await page.keyboard.press("Tab")
    await visitor.sees(lambda: page.input_value("[data-option=min_speakers]"), "3")  # no more than the most
    await visitor.choose(recording("asked.wav", chunks=2))
    await visitor.shows("asked.wav", "completed")
    (job,) = await site.service.parts.store.jobs()
    assert (job.options.speakers, job.options.min_speakers, job.options.max_speakers) == ("auto", 3, 3)
    await page.reload()
    await page.click("[data-options]")
    await page.click("dialog[open] .options summary")
    await visitor.sees(lambda: page.input_value("[data-option=speakers]"), "auto")  # as last time, but for any number
    await visitor.sees(lambda: page.input_value("[data-option=min_speakers]"), "")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("locale", LANGUAGES)
async def test_axe_finds_nothing_with_speakers_and_while_one_is_chosen(
    browser: Any, site: Site, locale: str, theme: str
) -> None:
    """Criterion 48."""
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    job_id = await transcribed(site, "会议.wav", chunks=9, people="ABCDEFGHA")
    found: list[str] = []
    async with visiting(browser, site.url, locale=locale, color_scheme=theme, reduced_motion="reduce") as visitor:
        page = visitor.page
        await visitor.go(f"/t/{job_id}")
        await page.wait_for_selector(".head")
        for width in (1280, 390, 320):
            await page.set_viewport_size({"width": width, "height": 800})
            if width == 1280:
                await page.click("[data-panel-tab=speakers]")
                await page.click("[data-change-count]")
            for picking in (False, True):
                if picking:
                    await page.locator(".head").nth(3).click()
                    await page.wait_for_selector("[data-pick]")
                results = await axe.run(page, options={"resultTypes": ["violations"]})
                found += [
                    f"{width}, {picking}: {rule['id']}: {node['html'][:200]}"
                    for rule in results.response["violations"]
                    for node in rule["nodes"]
                ]
                await visitor.reads("document.documentElement.scrollWidth <= innerWidth", True)
            if locale == "zh-CN":
                words = await page.inner_text("[data-picker]") + await page.inner_text(".text")
                assert "发言人 1" in words
                assert not re.search("[A-Za-z]{3,}", re.sub("This is chunk", "", words))
            await page.keyboard.press("Escape")
            await page.wait_for_selector("[data-pick]", state="detached")
    assert found == []
