"""Models and the machine: downloads that explain themselves, and what the processes are doing."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.browser import LANGUAGES, Site, Visitor, recording, running_site, visiting
from testkit.fake_hub import REPO, FakeHub, closed_port, wire_model
from testkit.playable import sound
from testkit.weights import weights
from whisper_service.app import disk_use
from whisper_service.config import schema
from whisper_service.models.known import BY_NAME

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

MODEL = f"[data-model='{REPO}']"
SLOW = {"path": "/storage/", "kind": "slow", "rate": 400_000}


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    with FakeHub(wire_model(1) | {"model.bin": weights(3_000_000)}) as serving:
        yield serving


@pytest.fixture(scope="module")
async def module_site(browser: Any, hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    models = {"endpoints": (hub.url,), "connect_timeout_s": 5.0, "read_timeout_s": 5.0}
    async with running_site(tmp_path_factory.mktemp("models"), models=models) as site:
        yield site


@pytest.fixture(autouse=True)
async def _no_model(hub: FakeHub, module_site: Site) -> AsyncIterator[None]:
    """Faults of a test are its own, and so is what it fetched."""
    yield
    hub.faults.clear()
    await module_site.clear()
    if any(model.name == REPO and model.removable for model in (await module_site.service.models.list()).models):
        await module_site.service.models.remove(REPO)


async def test_a_job_fetches_its_model_tells_how_far_it_is_and_goes_on_by_itself(
    visitor: Visitor, hub: FakeHub
) -> None:
    hub.fault(**SLOW, times=1)
    page = visitor.page
    await page.evaluate(
        "(model) => localStorage.setItem('preferences', JSON.stringify({ model, language: 'en' }))", REPO
    )
    await visitor.go()
    await visitor.choose(recording("first.wav", chunks=1))
    await page.locator("[data-transfer]", has_text=re.compile(r"\d+ kB.* (MB|kB).*/s")).first.wait_for()
    assert "Downloading model" in await visitor.words()
    await visitor.shows("first.wav", "completed", timeout_s=40)


async def test_a_download_tells_its_bytes_can_be_cancelled_and_goes_on_where_it_stopped(
    visitor: Visitor, hub: FakeHub
) -> None:
    hub.fault(**SLOW, times=1)
    page = visitor.page
    await visitor.go("/models")
    await page.click("[data-group=add] summary")
    await page.fill("[data-repo]", REPO)
    await page.keyboard.press("Enter")
    row = page.locator(MODEL)
    await row.locator("[data-transfer]", has_text=re.compile(r"MB.*/s")).wait_for()
    await row.locator("[data-verb=cancel]").click()
    await page.wait_for_selector(f"{MODEL}[data-state=absent]")
    hub.faults.clear()
    await row.locator("[data-verb=download]").click()
    await page.wait_for_selector(f"{MODEL}[data-state=installed]", timeout=20_000)
    await row.locator("[data-menu]").click()
    await row.locator("[data-verb=remove]").click()
    await page.wait_for_selector(f"{MODEL}[data-state=installed]", state="detached")


CAUSES = [
    ({"path": "/storage/", "kind": "status", "status": 403}, "仓库拒绝访问该模型", "请检查令牌权限"),
    (
        {"path": "/api/", "kind": "status", "status": 404, "headers": {"X-Error-Code": "RepoNotFound"}},
        "仓库中没有该模型",
        "请检查名称",
    ),
    ({"path": "/storage/", "kind": "corrupt"}, "与仓库公布的不一致", "请重试"),
    ({"path": "/api/", "kind": "page"}, "不是模型仓库", "请检查地址"),
]


async def test_every_failure_has_its_own_cause_and_cure_on_the_model(browser: Any, site: Site, hub: FakeHub) -> None:
    async with visiting(browser, site.url, locale="zh-CN") as visitor:
        await visitor.go("/models")
        page = visitor.page
        await page.click("[data-group=add] summary")
        await page.fill("[data-repo]", REPO)
        for fault, cause, cure in CAUSES:
            hub.faults.clear()
            hub.fault(**fault)
            if await page.locator(MODEL).count():
                await page.locator(f"{MODEL} [data-verb=download]").click()
            else:
                await page.keyboard.press("Enter")
            said = page.locator(f"{MODEL}[data-state=absent] .problem", has_text=cause)
            await said.wait_for(timeout=20_000)
            assert cure in await said.inner_text()


async def test_a_test_of_the_connection_tells_what_is_wrong_and_that_another_address_works(
    browser: Any, tmp_path: Path, hub: FakeHub
) -> None:
    with closed_port() as dead, FakeHub(hub.files, repo=BY_NAME["tiny"].repo) as mirror:
        models = {"endpoints": (dead,), "connect_timeout_s": 3.0, "read_timeout_s": 3.0}
        async with running_site(tmp_path, models=models) as site, visiting(browser, site.url) as visitor:
            await visitor.go("/models")
            page = visitor.page
            await page.click("[data-group=hub] summary")
            await page.click("[data-test]")
            answers = page.locator("[data-answers]")
            await answers.locator(".problem").wait_for()
            assert dead in await answers.inner_text()
            assert "What to do" in await answers.inner_text()
            await page.click("text=Test other settings")
            await page.fill("[data-try=endpoint]", mirror.url)
            await page.click("[data-test]")
            await answers.get_by_text("works").wait_for()


async def test_a_mirror_that_is_kept_here_and_a_second_try_fetch_the_model(
    browser: Any, tmp_path: Path, hub: FakeHub
) -> None:
    with closed_port() as dead:
        models = {"endpoints": (dead,), "connect_timeout_s": 3.0, "read_timeout_s": 3.0}
        async with running_site(tmp_path, models=models) as site, visiting(browser, site.url) as visitor:
            await visitor.go("/models")
            page = visitor.page
            await page.click("[data-group=add] summary")
            await page.fill("[data-repo]", REPO)
            await page.keyboard.press("Enter")
            await page.locator(f"{MODEL}[data-state=absent] .problem").wait_for(timeout=20_000)
            await page.click("[data-group=hub] summary")
            await page.click("text=Test other settings")
            await page.fill("[data-try=endpoint]", hub.url)
            await page.click("[data-keep]")
            await page.get_by_text("Saved", exact=True).wait_for()
            await page.locator(f"{MODEL} [data-verb=download]").click()
            await page.wait_for_selector(f"{MODEL}[data-state=installed]", timeout=20_000)
            await page.locator(f"{MODEL} [data-menu]").click()
            await page.locator(f"{MODEL} [data-verb=default]").click()
            await page.get_by_text("becomes the default after a restart").wait_for()
            assert site.service.config.speech.model == REPO
            await visitor.go("/settings")
            await page.click("[data-tab=models]")
            field = page.locator("[data-setting='models.endpoints']")
            assert await field.locator("textarea").input_value() == hub.url
            assert "set here" in await field.inner_text()


async def test_a_model_is_imported_from_an_archive_and_a_folder_that_is_not_allowed_says_so(
    visitor: Visitor, site: Site, hub: FakeHub, tmp_path: Path
) -> None:
    archive = tmp_path / "brought.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name, data in hub.files.items():
            packed.writestr(name, data)
    await visitor.go("/models")
    page = visitor.page
    await page.click("[data-group=import] summary")
    form = page.locator("[data-import]")
    visitor.expected = re.compile("/api/models/import")
    await page.fill("[data-import-name]", "brought")
    await page.fill("[data-import-path]", str(tmp_path))
    await form.get_by_role("button", name="Import").click()
    await form.locator(".problem", has_text="import_dirs").wait_for()
    await page.set_input_files("[data-import-file]", archive)
    await form.get_by_role("button", name="Import").click()
    await page.wait_for_selector("[data-model=brought][data-state=installed]")
    assert await form.locator(".problem").count() == 0
    await page.locator("[data-model=brought] [data-menu]").click()
    await page.locator("[data-model=brought] [data-verb=remove]").click()
    await page.wait_for_selector("[data-model=brought]", state="detached")


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_an_import_tells_how_much_of_the_archive_has_been_sent(
    browser: Any, site: Site, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: str
) -> None:
    archive = tmp_path / "heavy.zip"
    with archive.open("wb") as file:
        file.seek(120_000_000)  # more than browser and sockets hold; what stands before a zip is not part of it
        with zipfile.ZipFile(file, "w") as packed:
            for name, data in hub.files.items():
                packed.writestr(name, data)
    size = round(archive.stat().st_size / 1_000_000)
    go_on = anyio.Event()
    real = site.service.models.import_archive

    async def held(name: str, data: AsyncIterator[bytes], **keywords: Any) -> Any:
        async def slowly() -> AsyncIterator[bytes]:
            async for block in data:
                yield block
                await go_on.wait()

        return await real(name, slowly(), **keywords)

    monkeypatch.setattr(site.service.models, "import_archive", held)
    async with visiting(browser, site.url, locale=locale) as visitor:
        await visitor.go("/models")
        page = visitor.page
        await page.click("[data-group=import] summary")
        await page.set_input_files("[data-import-file]", archive)
        await page.click("[data-import] button:not([type=button])")
        total = f"{size} MB" if locale == "en-US" else f"共 {size} MB"
        sent = page.locator("[data-sent]", has_text=re.compile(rf"[1-9]\d* MB.*{total} · [1-9]\d? %"))
        await sent.wait_for()
        share, said = await page.evaluate(
            """() => { const { value, max } = document.querySelector('[data-import] progress')
              return [value / max, document.querySelector('[data-import]').innerText] }"""
        )
        assert 0 < share < 1
        assert f"{int(100 * share)} %" in said
        assert ("正在上传" if locale == "zh-CN" else "Uploading") in said
        go_on.set()
        await page.wait_for_selector("[data-model=heavy][data-state=installed]", timeout=60_000)
        assert await page.locator("[data-sent]").count() == 0
    await site.service.models.remove("heavy")


async def test_the_log_can_be_watched_and_the_diagnostics_have_no_secret(browser: Any, tmp_path: Path) -> None:
    secret = "hf_NotInAnyFileThatIsSent"
    models = {"token": schema.Secret(secret)}
    async with running_site(tmp_path, models=models) as site, visiting(browser, site.url) as visitor:
        await visitor.go("/system")
        page = visitor.page
        await page.click("[data-log] summary")
        logging.getLogger("whisper_service.try").warning("it may go wrong")
        await page.locator(".log [data-level=warning]", has_text="it may go wrong").wait_for()
        logging.getLogger("whisper_service.try").error("it went wrong with %s", secret)
        await page.locator(".log [data-level=error]", has_text="it went wrong").wait_for()
        await page.select_option("[data-level]", "error")
        await visitor.count(".log [data-level=warning]", 0)
        await page.locator(".log [data-level=error]", has_text="it went wrong").wait_for()
        assert secret not in await page.inner_text(".log")
        async with page.expect_download() as download:
            await page.click("[data-diagnostics]")
        with zipfile.ZipFile(await (await download.value).path()) as packed:
            parts = {name: packed.read(name) for name in packed.namelist()}
        assert "log.json" in parts
        assert not [name for name, data in parts.items() if secret.encode() in data]
        assert site.service.config.models.token == secret


async def test_the_system_page_tells_a_restart_and_why_less_is_done_at_once(visitor: Visitor, site: Site) -> None:
    await visitor.go("/system")
    page = visitor.page
    card = page.locator("[data-actor=speech]")
    before = await card.locator("[data-process]").inner_text()
    await site.send("hungry.wav", chunks=6, delay=0.2, faults={"1": "oom_once"})
    await page.locator("main > .notice", has_text="emory").wait_for(timeout=20_000)
    assert await card.locator("[data-process]").inner_text() != before
    death = page.locator("[data-deaths] li", has_text="Speech recognition").first
    assert "emory" in await death.inner_text()
    assert await death.locator("time").get_attribute("datetime")
    await page.wait_for_selector("svg.spark polyline", state="attached")  # flat, so without height, while idle
    assert "B free" in await page.inner_text("[data-card=hardware]")
    assert re.search(r"Idle|× real time", await page.inner_text("[data-speed]"))
    assert await page.locator("main .card").first.get_attribute("data-card") == "storage"


async def test_the_status_page_begins_with_what_takes_the_disk_and_names_what_sleeps(
    visitor: Visitor, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_use, "KEPT_S", 0.0)
    job = await site.send("large.wav", data=sound(800, chunks=2))
    await site.until(job.id, "completed")
    await visitor.go("/system")
    await visitor.live()
    page = visitor.page
    card = page.locator("main .card").first
    assert await card.get_attribute("data-card") == "storage"
    assert await card.locator("[data-disk=recordings]").inner_text() == "6 MB"  # 800 s of 8,000 bytes
    used = (await site.service.system()).storage
    assert used.transcripts_bytes >= 100_000
    transcripts = await card.locator("[data-disk=transcripts]").inner_text()
    assert re.fullmatch(r"[1-9]\d* (kB|MB)", transcripts)
    assert await card.locator("[data-disk=free]").inner_text() != transcripts
    assert await page.locator("[data-actor=download] .tag").inner_text() == "Starts when needed"
    await page.get_by_text("1, with this one").wait_for()  # the page is told from others
    assert await page.inner_text("[data-speed]") == "Idle"


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_models_stand_in_columns_and_each_says_what_it_is_good_for(browser: Any, site: Site, locale: str) -> None:
    async with visiting(browser, site.url, locale=locale, viewport={"width": 1280, "height": 900}) as visitor:
        await visitor.go("/models")
        page = visitor.page
        for summary in await page.locator(
            "[data-group=slow_models] summary, [data-group=english_models] summary"
        ).all():
            await summary.click()
        rows = await page.evaluate(
            """() => [...document.querySelectorAll('.model')].filter((e) => e.checkVisibility())
              .map((row) => [row.dataset.model,
              ...['.good-for', '.pace', '.sizes'].map((s) => row.querySelector(s).getBoundingClientRect().left),
              row.querySelector('.good-for').innerText, row.querySelector('.pace').innerText,
              row.getBoundingClientRect().height])"""
        )
        known = [row for row in rows if row[0] in BY_NAME]
        assert len(known) >= 14
        for column in (1, 2, 3):
            assert max(row[column] for row in rows) - min(row[column] for row in rows) <= 1
        for name, _, _, _, sentence, pace, height in known:
            assert sentence, name
            assert bool(re.search("[\u4e00-\u9fff]", sentence)) == (locale == "zh-CN"), sentence
            assert re.search(r"hour|memory|GPU|小时|内存", pace), name
            assert 55 <= height <= 90, name
        groups = await page.locator("main h2").all_inner_texts()
        assert len(groups) == len(set(groups))


async def test_a_model_that_cannot_translate_says_so_where_translation_is_chosen(visitor: Visitor) -> None:
    page = visitor.page
    await page.select_option("[data-option=model]", "large-v3-turbo")
    await page.click("text=More options")
    choice = page.locator("[data-option=task] option[value=translate]")
    assert await choice.is_disabled()
    assert "large-v3-turbo cannot translate" in str(await choice.text_content())
    await page.select_option("[data-option=model]", "auto")
    await visitor.sees(lambda: choice.is_enabled())
