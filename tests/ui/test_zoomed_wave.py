"""The zoomed waveform: edges of lines that are moved by mouse, by keys and by typed times."""

from __future__ import annotations

from typing import Any, Final

import anyio
import pytest

from testkit.browser import Site, Visitor, visiting
from testkit.playable import sound
from tests.ui.editing import LINES, TEXTS, transcript

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

CUTS: Final = ((2.0, 6.0), (16.0, 20.0), (21.0, 25.0))
"""Where the lines are: between the first two is a long silence, in which an edge holds on to nothing."""
SCALE: Final = "(document.querySelector('.zoomed .reel').getBoundingClientRect().width / 40)"
"""Pixels per second: the recording is 40 s long."""
EDGE: Final = ".zoomed [role=slider][data-edge={}]"
CHOSEN: Final = "document.querySelector('.zoomed .stretch.chosen > span')?.textContent"
VALUE: Final = "Number(document.querySelector('.zoomed [role=slider][data-edge={}]')?.ariaValueNow)"
SPAN: Final = "document.querySelector('[data-zoom-span]').textContent"
PLACE: Final = "document.querySelector('video').currentTime"
PAINTED: Final = """[...document.querySelectorAll('.zoomed canvas')].filter((canvas) => {
  const { left, right } = canvas.getBoundingClientRect(), view = document.querySelector('.zoomed .view')
  const frame = view.getBoundingClientRect()
  if (right <= frame.left + 1 || left >= frame.right - 1) return false
  window.probe ??= new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true })
  window.probe.clearRect(0, 0, canvas.width, canvas.height)
  window.probe.drawImage(canvas, 0, 0)
  return window.probe.getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value)
}).length"""


async def seen(site: Site, visitor: Visitor, seconds: int = 40, **play: Any) -> str:
    """Open a transcript with its waveform zoomed, and take the first line in hand. Return the id of the job."""
    play = {"cuts": CUTS, "lines": LINES, "peaks": 50 * seconds} | play
    job = await site.send("talk.wav", data=sound(seconds, **play))
    await site.until(job.id, "completed")
    await visitor.go(f"/t/{job.id}")
    page = visitor.page
    await page.wait_for_selector(".player")
    await page.keyboard.press("w")
    await page.wait_for_selector(".zoomed .stretch.chosen [role=slider]")
    return job.id


async def times(site: Site, job_id: str) -> list[tuple[float, float]]:
    return [(line["start"], line["end"]) for line in await transcript(site, job_id)]


async def stored(site: Site, job_id: str, line: int, wanted: tuple[float, float]) -> None:
    """Wait until the service has these times of a line."""
    found = (await times(site, job_id))[line]
    with anyio.move_on_after(10):
        while found != wanted:
            await anyio.sleep(0.05)
            found = (await times(site, job_id))[line]
    assert found == wanted


async def take(visitor: Visitor, text: str) -> None:
    """Take a line of the strip in hand."""
    await visitor.page.locator(".zoomed .stretch", has_text=text).click(position={"x": 20, "y": 40})
    await visitor.reads(CHOSEN, text)


async def drag(visitor: Visitor, edge: str, to: float, *, px: float = 0.0, drop: bool = True) -> None:
    """Drag an edge of the line in hand to a time and some pixels more, by mouse."""
    page = visitor.page
    box = await page.locator(EDGE.format(edge)).bounding_box()
    now, scale = await page.evaluate(VALUE.format(edge)), await page.evaluate(SCALE)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + (to - now) * scale / 2, y)
    await page.mouse.move(x + (to - now) * scale + px, y)
    if drop:
        await page.mouse.up()


async def test_an_edge_is_dragged_moved_by_keys_and_typed(visitor: Visitor, site: Site) -> None:
    """Criterion 53, on lines."""
    job_id = await seen(site, visitor)
    page = visitor.page
    before = await times(site, job_id)
    assert before == list(CUTS)
    await page.click("[data-zoom=out]")
    await visitor.reads(SPAN, "30 s")
    await take(visitor, LINES[1])
    end = page.locator(EDGE.format("end"))
    await drag(visitor, "end", 23.0)  # over the next line
    await stored(site, job_id, 1, (16.0, 21.0))
    await visitor.sees(lambda: end.get_attribute("aria-valuetext"), "ends at 21 seconds")
    await visitor.sees(lambda: end.get_attribute("aria-label"), "Line 2, end")
    await visitor.sees(lambda: end.get_attribute("aria-valuemin"), "16.1")
    await visitor.sees(lambda: end.get_attribute("aria-valuemax"), "21")
    await visitor.reads("document.activeElement.dataset.edge", "end")
    for key in ("ArrowLeft", "Shift+ArrowLeft", "ArrowLeft", "Shift+ArrowLeft", "ArrowUp", "End", "ArrowLeft"):
        await page.keyboard.press(key)
    await visitor.reads("document.querySelector('.zoomed [data-time=end]').value", "0:20.990")
    await stored(site, job_id, 1, (16.0, 20.99))
    for key, wanted in (("ArrowDown", 20.98), ("Shift+ArrowDown", 20.88), ("ArrowRight", 20.89), ("Home", 16.1)):
        await page.keyboard.press(key)
        await visitor.reads(VALUE.format("end"), wanted)
    await page.keyboard.press("Escape")  # what was moved since the last edit
    await visitor.reads(VALUE.format("end"), 20.99)
    await page.fill(".zoomed [data-time=end]", "0:19.5")
    await page.keyboard.press("Enter")
    await stored(site, job_id, 1, (16.0, 19.5))
    await page.fill(".zoomed [data-time=end]", "1:23.4")  # over the next line
    await page.keyboard.press("Enter")
    await stored(site, job_id, 1, (16.0, 21.0))
    await visitor.reads("document.querySelector('.zoomed [data-time=end]').value", "0:21.000")
    await page.fill(".zoomed [data-time=start]", "soon")
    await page.keyboard.press("Enter")
    await visitor.sees(lambda: page.inner_text(".zoomed [role=alert]"), "Write a time like 1:23.4.")
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".zoomed [role=alert]", state="detached")
    assert [row for at, row in enumerate(await times(site, job_id)) if at != 1] == [before[0], before[2]]
    for wanted in ((16.0, 19.5), (16.0, 20.99), (16.0, 21.0), (16.0, 20.0)):  # each was one step
        await page.click("[data-undo]")
        await stored(site, job_id, 1, wanted)
    line = (await transcript(site, job_id))[1]
    assert (line["words"][0]["start"], line["words"][-1]["end"]) == (16.0, 20.0)


async def test_a_dragged_edge_holds_on_to_what_is_within_8_pixels_and_shift_lets_it_go(
    visitor: Visitor, site: Site
) -> None:
    """Criterion 53: at every zoom."""
    job_id = await seen(site, visitor)
    page = visitor.page
    await take(visitor, LINES[0])
    await page.evaluate(f"{PLACE} = 10")
    for span in ("20 s", "30 s", "10 s"):
        while await page.evaluate(SPAN) != span:
            await page.click("[data-zoom=out]" if span == "30 s" else "[data-zoom=in]")
        await visitor.reads(SPAN, span)
        scale = await page.evaluate(SCALE)
        await drag(visitor, "end", 10.0, px=-7)
        await stored(site, job_id, 0, (2.0, 10.0))
        await drag(visitor, "end", 10.0, px=-10, drop=False)
        await visitor.reads(f"Math.abs({VALUE.format('end')} - {10 - 10 / scale}) < 0.011", True)
        free = await page.evaluate(VALUE.format("end"))
        await page.mouse.up()
        await stored(site, job_id, 0, (2.0, free))
        await drag(visitor, "end", 10.0, px=5, drop=False)
        await visitor.reads(VALUE.format("end"), 10)
        await page.keyboard.down("Shift")
        await visitor.reads(f"{VALUE.format('end')} > {10 + 3 / scale}", True)
        await page.keyboard.up("Shift")
        await visitor.reads(VALUE.format("end"), 10)
        await page.keyboard.press("Escape")
        await visitor.reads(VALUE.format("end"), free)
        await page.mouse.up()
        await stored(site, job_id, 0, (2.0, free))


async def test_an_edge_of_another_line_is_dragged_at_once_and_a_click_goes_there(visitor: Visitor, site: Site) -> None:
    job_id = await seen(site, visitor)
    page = visitor.page
    scale = await page.evaluate(SCALE)
    box = await page.locator(".zoomed .stretch", has_text=LINES[1]).bounding_box()
    await page.mouse.move(box["x"] - 2, box["y"] + 50)
    await page.mouse.down()
    await page.mouse.move(box["x"] - 2 - 2 * scale, box["y"] + 50, steps=3)
    await page.mouse.up()
    await visitor.reads(CHOSEN, LINES[1])
    await stored(site, job_id, 1, (14.0, 20.0))
    await visitor.reads(PLACE, 0)  # a drag goes nowhere
    await page.mouse.click(box["x"] - 4 * scale, box["y"] + 50)
    await visitor.reads(f"Math.abs({PLACE} - 12) < 0.1", True)
    await page.locator(".zoomed .stretch", has_text=LINES[2]).dblclick(position={"x": 20, "y": 40})
    await visitor.reads(f"{PLACE} > 21.3", True)
    await visitor.reads(f"{PLACE} >= 25 && {PLACE} < 26 && document.querySelector('video').paused", True)  # at its end
    await page.focus(EDGE.format("start"))
    await page.keyboard.press("Enter")
    await visitor.reads(f"{PLACE} > 21.3 && {PLACE} < 25 && !document.querySelector('video').paused", True)


async def move(visitor: Visitor, text: str, seconds: float, *, px: float = 0.0, drop: bool = True) -> None:
    """Drag a line as a whole, by mouse."""
    page = visitor.page
    box, scale = await page.locator(".zoomed .stretch", has_text=text).bounding_box(), await page.evaluate(SCALE)
    x, y = box["x"] + 40, box["y"] + box["height"] - 12
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + seconds * scale / 2, y)
    await page.mouse.move(x + seconds * scale + px, y)
    if drop:
        await page.mouse.up()


async def test_a_line_is_moved_as_a_whole_between_its_neighbours_and_takes_its_words_along(
    visitor: Visitor, site: Site
) -> None:
    job_id = await seen(site, visitor)
    page = visitor.page
    await page.click("[data-zoom=out]")
    await visitor.reads(SPAN, "30 s")
    words = (await transcript(site, job_id))[1]["words"]
    await move(visitor, LINES[1], -3.0, px=2, drop=False)  # of a line that was not in hand
    await visitor.reads(CHOSEN, LINES[1])
    await visitor.reads(f"Math.abs({VALUE.format('start')} - 13) < 0.2", True)
    await page.keyboard.press("Escape")
    await visitor.reads(VALUE.format("start"), 16)
    await page.mouse.up()
    await visitor.reads(PLACE, 0)  # a drag goes nowhere
    await move(visitor, LINES[1], -30.0)
    await stored(site, job_id, 1, (6.0, 10.0))  # to the line before
    now = (await transcript(site, job_id))[1]["words"]
    assert [(word["start"] + 10, word["end"] + 10) for word in now] == [(word["start"], word["end"]) for word in words]
    await move(visitor, LINES[1], 20.0)
    await stored(site, job_id, 1, (17.0, 21.0))  # to the line behind
    await visitor.reads(TEXTS, list(LINES))

    await page.focus(EDGE.format("end"))
    for key in ("Alt+ArrowLeft", "Alt+Shift+ArrowLeft", "Alt+ArrowRight", "Alt+Shift+ArrowLeft"):
        await page.keyboard.press(key)
    await visitor.reads(f"{VALUE.format('start')} + ' ' + {VALUE.format('end')}", "16.8 20.8")
    await stored(site, job_id, 1, (16.8, 20.8))
    await page.keyboard.press("Alt+Home")
    await stored(site, job_id, 1, (6.0, 10.0))
    for wanted in ((16.8, 20.8), (17.0, 21.0), (6.0, 10.0), (16.0, 20.0)):  # each was one step
        await page.click("[data-undo]")
        await stored(site, job_id, 1, wanted)
    box = await page.locator(".zoomed .stretch", has_text=LINES[1]).bounding_box()
    await page.mouse.move(box["x"] + 40, box["y"] + 60)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 43, box["y"] + 60)  # a click that trembles
    await page.mouse.up()
    await visitor.reads(f"{PLACE} > 16.5", True)
    assert await times(site, job_id) == list(CUTS)


async def test_a_wheel_with_ctrl_comes_closer_where_the_pointer_is(visitor: Visitor, site: Site) -> None:
    await seen(site, visitor)
    page = visitor.page
    box = await page.locator(".zoomed .view").bounding_box()
    x, y = box["x"] + 600, box["y"] + 50
    below = f"({x} - document.querySelector('.zoomed .reel').getBoundingClientRect().left) / {SCALE}"
    before, scale = await page.evaluate(below), await page.evaluate(SCALE)
    await page.mouse.move(x, y)
    await page.keyboard.down("Control")
    for _ in range(5):
        await page.mouse.wheel(0, -20)
    await visitor.reads(f"{SCALE} > {1.5 * scale}", True)
    await page.keyboard.up("Control")
    await visitor.reads(below, pytest.approx(before, abs=0.1))
    await visitor.reads("visualViewport.scale", 1)


async def test_an_edge_is_set_to_where_it_plays(visitor: Visitor, site: Site) -> None:
    job_id = await seen(site, visitor)
    page = visitor.page
    await take(visitor, LINES[0])
    await page.evaluate(f"{PLACE} = 3.5")
    await visitor.reads("document.querySelector('.player .clock').textContent.trim().slice(0, 4)", "0:03")
    await page.keyboard.press("i")
    await stored(site, job_id, 0, (3.5, 6.0))
    await page.evaluate(f"{PLACE} = 5.25")
    await visitor.reads("document.querySelector('.player .clock').textContent.trim().slice(0, 4)", "0:05")
    await page.keyboard.press("u")
    await stored(site, job_id, 0, (3.5, 5.25))
    await page.evaluate(f"{PLACE} = 1")
    await visitor.reads("document.querySelector('.player .clock').textContent.trim().slice(0, 4)", "0:01")
    await page.click(".zoomed [data-here=start]")
    await stored(site, job_id, 0, (1.0, 5.25))
    await page.keyboard.press("w")
    await page.wait_for_selector(".zoomed", state="detached")


async def test_a_subtitle_stops_at_the_gap_before_the_next_one(visitor: Visitor, site: Site) -> None:
    """Criterion 53: on subtitles, with the gap of the settings."""
    job_id = await seen(site, visitor)
    page = visitor.page
    await page.click("[data-zoom=out]")
    await visitor.reads(SPAN, "30 s")
    await page.evaluate(
        """() => { const stored = JSON.parse(localStorage.getItem('preferences'))
          localStorage.setItem('preferences', JSON.stringify({ ...stored, view: 'subtitles' })) }"""
    )
    await page.reload()
    await page.wait_for_selector("[data-cue]")
    await page.wait_for_selector(".zoomed .stretch.chosen [role=slider]")
    await take(visitor, LINES[1])
    await visitor.sees(lambda: page.locator(EDGE.format("end")).get_attribute("aria-label"), "Subtitle 2, end")
    await drag(visitor, "end", 23.0)
    await stored(site, job_id, 1, (16.0, 20.917))
    assert (await transcript(site, job_id))[1]["held"]
    await visitor.reads(VALUE.format("end"), 20.917)
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Shift+ArrowLeft")
    await visitor.reads(VALUE.format("end"), 20.817)
    await stored(site, job_id, 1, (16.0, 20.817))
    await visitor.reads("document.activeElement.dataset.edge", "end")
    await page.fill(".zoomed [data-time=end]", "1:23.4")
    await page.keyboard.press("Enter")
    await stored(site, job_id, 1, (16.0, 20.917))


async def test_the_strip_shows_the_line_of_the_text_and_is_remembered(visitor: Visitor, site: Site) -> None:
    job_id = await seen(site, visitor)
    page = visitor.page
    await page.focus("[data-line]:nth-of-type(1)")
    await page.keyboard.press("End")
    await visitor.reads(CHOSEN, LINES[2])
    await visitor.reads("document.querySelector('.zoomed .times > .dim').textContent", "Line 3")
    await page.click("[data-zoom=in]")
    await page.focus(".zoomed .view")
    await page.keyboard.press("+")
    await visitor.reads(SPAN, "10 s")
    await visitor.sees(lambda: page.locator("[data-zoom=in]").is_disabled(), True)
    await page.keyboard.press("-")
    await visitor.reads(SPAN, "15 s")
    await page.focus(EDGE.format("start"))
    await page.keyboard.press("Shift+ArrowRight")
    await visitor.reads(VALUE.format("start"), 21.1)
    await page.reload()  # before the rest that ends what keys move
    await stored(site, job_id, 2, (21.1, 25.0))
    await page.wait_for_selector(".zoomed .stretch.chosen")
    await visitor.reads(SPAN, "15 s")
    await page.keyboard.press("w")
    await page.wait_for_selector(".zoomed", state="detached")


async def test_ten_minutes_are_scrolled_through_with_three_canvases(visitor: Visitor, site: Site) -> None:
    """Criterion 54. What a frame takes is measured: bench.page.waveform."""
    await seen(site, visitor, 660, cuts=[(at, at + 9.0) for at in range(0, 650, 10)], lines=LINES[:1], peaks=50 * 660)
    page = visitor.page
    await visitor.reads(SPAN, "20 s")
    for at in range(0, 600, 50):
        await page.evaluate(
            f"""() => {{ const view = document.querySelector('.zoomed .view')
              view.scrollLeft = {at} * view.clientWidth / 20 }}"""
        )
        await visitor.reads(f"{PAINTED} > 0", True)
        await visitor.reads(
            f"""[...document.querySelectorAll('.zoomed .second')].some((mark) => {{
              const {{ left }} = mark.getBoundingClientRect()
              return left > 0 && left < innerWidth && mark.textContent.trim() === '{at // 60}:{at % 60 + 10:02d}' }})"""
            if at % 60 < 50
            else "true",
            True,
        )
        await visitor.count(".zoomed canvas", 3)
        count = "document.querySelectorAll('.zoomed .stretch').length"
        await visitor.reads(f"{count} >= 2 && {count} <= 9", True)
    await page.click("[data-zoom-follow]")
    await visitor.reads("document.querySelector('.zoomed .view').scrollLeft", 0)


async def test_on_a_phone_edges_are_as_wide_as_a_finger_and_nothing_is_wider_than_the_window(
    browser: Any, site: Site
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    async with visiting(browser, site.url, locale="zh-CN", **phone) as visitor:
        await visitor.go()
        job_id = await seen(site, visitor)
        page = visitor.page
        for edge in ("start", "end"):
            box = await page.locator(EDGE.format(edge)).bounding_box()
            assert box["width"] >= 44
            assert box["height"] >= 44
        await visitor.sees(lambda: page.locator(EDGE.format("end")).get_attribute("aria-label"), "第 1 行的终点")
        await visitor.sees(lambda: page.locator(EDGE.format("end")).get_attribute("aria-valuetext"), "止于 6 秒")
        await page.set_viewport_size({"width": 320, "height": 640})
        await visitor.reads("document.documentElement.scrollWidth", 320)
        touch = await page.context.new_cdp_session(page)
        box = await page.locator(EDGE.format("end")).bounding_box()
        x, y, scale = box["x"] + 6, box["y"] + 40, await page.evaluate(SCALE)
        for kind, to in (("touchStart", x), ("touchMove", x + scale), ("touchMove", x + 3 * scale), ("touchEnd", None)):
            points = [] if to is None else [{"x": to, "y": y}]
            await touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        await visitor.reads(f"{VALUE.format('end')} > 8.5", True)
        with anyio.fail_after(10):
            while (await times(site, job_id))[0][1] < 8.5:  # noqa: ASYNC110  nobody tells
                await anyio.sleep(0.05)
        await visitor.reads(TEXTS, list(LINES))


async def test_two_fingers_zoom_and_a_finger_moves_a_line_by_its_label(browser: Any, site: Site) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    async with visiting(browser, site.url, **phone) as visitor:
        await visitor.go()
        job_id = await seen(site, visitor)
        page = visitor.page
        touch = await page.context.new_cdp_session(page)

        async def fingers(*steps: tuple[float, ...], y: float) -> None:
            for nth, places in enumerate([*steps, ()]):
                kind = "touchStart" if nth == 0 else "touchMove" if places else "touchEnd"
                points = [{"x": x, "y": y, "id": finger} for finger, x in enumerate(places)]
                await touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        box = await page.locator(".zoomed .view").bounding_box()
        below = f"(200 - document.querySelector('.zoomed .reel').getBoundingClientRect().left) / {SCALE}"
        before, scale, y = await page.evaluate(below), await page.evaluate(SCALE), box["y"] + 70
        await fingers((180, 220), (160, 240), (140, 260), y=y)  # three times as far apart, but 10 s are the closest
        await visitor.reads(f"Math.abs({SCALE} / {scale} - 2) < 0.05", True)
        await visitor.reads(f"Math.abs({below} - {before}) < 0.2", True)
        await fingers((100, 300), (150, 250), (160, 240), y=y)
        await visitor.reads(f"Math.abs({SCALE} / {scale} - 0.8) < 0.05", True)
        await visitor.reads("visualViewport.scale", 1)  # not the page
        assert await times(site, job_id) == list(CUTS)

        label = await page.locator(".zoomed .stretch.chosen .label").bounding_box()
        x, y, scale = label["x"] + label["width"] / 2, label["y"] + 8, await page.evaluate(SCALE)
        await fingers((x,), (x + scale,), (x + 3 * scale,), y=y)
        await visitor.reads(f"Math.abs({VALUE.format('start')} - 5) < 0.3", True)
        with anyio.fail_after(20):
            while (await times(site, job_id))[0][0] < 4.5:  # noqa: ASYNC110  nobody tells
                await anyio.sleep(0.05)
        start, end = (await times(site, job_id))[0]
        assert end - start == pytest.approx(4)


@pytest.mark.parametrize(("locale", "theme"), [("en-US", "light"), ("zh-CN", "dark")])
async def test_axe_finds_nothing_and_a_screen_reader_is_told_what_moves(
    browser: Any, site: Site, locale: str, theme: Any
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    async with visiting(browser, site.url, locale=locale, color_scheme=theme, reduced_motion="reduce") as visitor:
        await visitor.go()
        await seen(site, visitor)
        page = visitor.page
        await page.fill(".zoomed [data-time=end]", "soon")
        await page.keyboard.press("Tab")
        await page.wait_for_selector(".zoomed [role=alert]")
        found = (await axe.run(page)).response["violations"]
        assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found] == []
        tree = await page.locator(".zoomed").aria_snapshot()
        names = {
            "en-US": ('group "Zoomed waveform"', 'textbox "Start": 0:02.000', 'slider "Line 1, start"', "button"),
            "zh-CN": ('group "放大波形"', 'textbox "起点": 0:02.000', 'slider "第 1 行的起点"', "button"),
        }
        for name in names[locale]:
            assert name in tree, tree
        for edge in ("start", "end"):
            assert (await page.locator(EDGE.format(edge)).bounding_box())["width"] >= 24


async def test_forced_colours_show_the_waveform_and_the_edges(browser: Any, site: Site) -> None:
    async with visiting(browser, site.url, forced_colors="active") as visitor:
        await visitor.go()
        await seen(site, visitor)
        page = visitor.page
        await visitor.reads(f"{PAINTED} > 0", True)
        style = "getComputedStyle(document.querySelector('{}'){}).{}"
        view = await page.evaluate(style.format(".zoomed .view", "", "backgroundColor"))
        for of in (
            style.format(".zoomed [role=slider]", ", '::before'", "backgroundColor"),
            style.format(".zoomed .head", "", "backgroundColor"),
            style.format(".zoomed canvas", "", "color"),
        ):
            assert await page.evaluate(of) not in (view, "rgba(0, 0, 0, 0)"), of
