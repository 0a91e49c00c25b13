"""The status page on a machine with several devices."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from testkit.browser import Site, running_site, visiting
from whisper_service.core.domain import Problem
from whisper_service.supervision.messages.speech import ModelProgress

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

UNUSABLE = Problem("device_unusable", "There is no driver.", "Install it.")


@pytest.mark.parametrize(
    ("locale", "title", "out", "hint", "coming"),
    [
        ("en-US", "Devices", "Not used", "There is no driver.", "Downloading model: tiny, 40 MB / 145 MB"),
        ("zh-CN", "设备列表", "未使用", "GPU 无法使用", "正在下载模型: tiny, 40 MB / 145 MB"),
    ],
)
async def test_the_status_page_lists_devices_with_their_models_and_what_is_wrong(
    browser: Any, tmp_path: Path, locale: str, title: str, out: str, hint: str, coming: str
) -> None:
    async with running_site(tmp_path, speech={"device": "cuda:0,cuda:1", "slots": 1}) as site:
        job = await site.send("talk.wav", chunks=24, delay=0.01)
        await site.until(job.id, "completed")
        site.service.parts.context.fleet.seats[1].device.leave(UNUSABLE)
        async with visiting(browser, site.url, locale=locale) as visitor:
            await visitor.go("/system")
            page = visitor.page
            await page.get_by_role("heading", name=title, exact=True).wait_for()
            first, second = page.locator("[data-device=speech]"), page.locator("[data-device=speech-2]")
            assert "CUDA:0" in await first.inner_text()
            assert "model · fake" in await first.locator("[data-facts]").inner_text()
            assert await second.locator(".tag").inner_text() == out
            assert hint in await second.locator(".problem").inner_text()
            assert await page.locator("[data-device]").count() == 2
            seat = site.service.parts.context.fleet.first
            seat.loaded, seat.loading, seat.arriving = None, "tiny", ModelProgress("tiny", 40_000_000, 145_000_000)
            await first.locator("[data-facts]").filter(has_text=coming).wait_for()


async def test_one_device_needs_no_list(browser: Any, tmp_path: Path) -> None:
    async with running_site(tmp_path) as site, visiting(browser, site.url) as visitor:
        await visitor.go("/system")
        await visitor.page.locator("[data-card=hardware]").wait_for()
        assert await visitor.page.locator("[data-device]").count() == 0


@pytest.mark.parametrize(
    ("locale", "speech", "decoding"),
    [
        ("en-US", "Speech recognition, cluster 1", "Audio decoding, cluster 2"),
        ("zh-CN", "语音识别（集群 1）", "音频解码（集群 2）"),
    ],
)
async def test_actors_of_a_cluster_are_named_with_their_machine(
    browser: Any, site: Site, locale: str, speech: str, decoding: str
) -> None:
    async with visiting(browser, site.url, locale=locale) as visitor:
        page = visitor.page

        async def with_far_actors(route: Any) -> None:
            answer = await route.fetch()
            body = await answer.json()
            actors = body.get("system", body)["actors"]
            one = actors[0] | {"generation": 1, "pid": None, "host": "node-7"}
            actors += [one | {"name": name} for name in ("cluster-1", "cluster-media-2")]
            await route.fulfill(response=answer, json=body)

        # The page asks for the whole state, and on this page for the system alone, again and again.
        await page.route(re.compile(r"/api/(state|system)(\?|$)"), with_far_actors)
        await visitor.go("/system")
        for name, title in (("cluster-1", speech), ("cluster-media-2", decoding)):
            actor = page.locator(f"[data-actor={name}]")
            await actor.locator("strong").get_by_text(title, exact=True).wait_for()
            await actor.locator("[data-process]", has_text="node-7").wait_for()
