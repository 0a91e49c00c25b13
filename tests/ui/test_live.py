"""Recording in the browser: nothing that was said is lost, and the page says what is wrong."""

from __future__ import annotations

import base64
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import psutil
import pytest
from anyio import to_thread

from testkit.browser import CHROMIUM, DIST, FLAGS, LANGUAGES, Site, Visitor, need, running_site, visiting
from testkit.nginx import free_port
from testkit.process import BANNER, environment
from tests.ui.recording import WATCH, captured, draft, follows, heard, microphone, recording_browser, send_drafts
from whisper_service.core.domain import Job
from whisper_service.core.job_states import Cause

pytestmark = [pytest.mark.ui, pytest.mark.anyio]

LIVE = re.compile("/api/")


@pytest.fixture(scope="module")
async def speaking(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A browser whose microphone plays a file."""
    need("playwright is not installed", there=find_spec("playwright") is not None, how="pip install playwright")
    need("there is no chromium on this machine", there=CHROMIUM is not None, how="apt-get install chromium")
    need("the page is not built", there=(DIST / "index.html").exists(), how="npm install && npm run build in static")
    async with recording_browser(microphone(tmp_path_factory.mktemp("spoken") / "spoken.wav")) as browser:
        yield browser


async def begin(visitor: Visitor) -> None:
    """Open the page and start a recording of the microphone."""
    await visitor.page.add_init_script(WATCH)
    await visitor.go("/record")
    await visitor.live()
    await visitor.page.click("[data-start]")
    await visitor.page.wait_for_selector(".air[data-phase=recording]")


async def seconds(visitor: Visitor, selector: str = "[data-elapsed]") -> int:
    """Return a length that the page shows."""
    minutes, rest = (await visitor.page.inner_text(selector)).split(":")
    return 60 * int(minutes) + int(rest)


async def elapsed(visitor: Visitor, least: int, selector: str = "[data-elapsed]") -> None:
    """Wait until the page shows so many seconds."""
    with anyio.fail_after(60):
        while await seconds(visitor, selector) < least:  # noqa: ASYNC110  nobody tells
            await anyio.sleep(0.1)


async def finish(visitor: Visitor) -> str:
    """End the recording. Return the job, whose transcript is shown then."""
    await visitor.page.click("[data-finish]")
    await visitor.page.wait_for_selector("main[data-page=transcript]", timeout=30_000)
    return str(visitor.page.url).rpartition("/")[2]


def recorded(site: Site, job: Job) -> bytes:
    """Return the sound of a finished job, int16 at its rate."""
    assert job.live is not None
    data = site.service.jobs.recording(job.id).read_bytes()[44:]
    assert len(data) == job.live.received_bytes
    return data


def length(job: Job, data: bytes) -> float:
    """Return the seconds of this sound."""
    assert job.live is not None
    return len(data) / 2 / job.live.rate


async def only_job(site: Site) -> Job:
    [job] = await site.service.parts.store.jobs(limit=10)
    return job


async def test_what_is_said_becomes_text_and_every_sample_is_there(speaking: Any, site: Site) -> None:
    async with visiting(speaking, site.url) as visitor:
        await send_drafts(visitor.page, draft(" So this", " is cha", 1.0))
        await begin(visitor)
        assert await visitor.page.locator(".heard[role=log] .line").count() == 0
        await visitor.sees(lambda: visitor.page.inner_text("[data-draft]"), "So this is cha")
        assert await visitor.page.text_content("[data-tentative]") == " is cha"
        assert await visitor.page.locator("[data-draft]:is([role=log] *, [aria-live] *)").count() == 0  # not announced
        await visitor.page.wait_for_selector(".heard[role=log] .line", timeout=60_000)  # after the first pause
        assert "This is chunk 0." in await visitor.page.inner_text(".heard[role=log]")
        await visitor.count("[data-draft]", 0)  # the line has all of its words
        assert int(await visitor.page.get_attribute("[role=meter]", "aria-valuenow") or 0) >= 0
        await elapsed(visitor, 14)
        told = await seconds(visitor)
        job_id = await finish(visitor)
        given = await captured(visitor.page)
    job = await site.until(job_id, "completed")
    assert job.live is not None
    assert job.live.source == "microphone"
    assert job.name.endswith(".wav")
    data = recorded(site, job)
    assert data == given
    assert told <= length(job, data)
    assert follows(heard(data, job.live.rate)) >= 5


AWAKE = """window.awake = 0
navigator.wakeLock.request = async () => {
  window.awake += 1
  return Object.assign(new EventTarget(), { release: async () => { window.awake -= 1 } })
}"""


async def test_a_pause_leaves_out_what_is_said_meanwhile_and_lets_the_screen_sleep(speaking: Any, site: Site) -> None:
    async with visiting(speaking, site.url) as visitor:
        await visitor.page.add_init_script(AWAKE)
        await begin(visitor)
        await visitor.reads("awake", 1)
        await elapsed(visitor, 2)
        await visitor.page.click("[data-pause]")
        await visitor.page.wait_for_selector(".air[data-phase=paused]")
        await visitor.reads("awake", 0)
        await visitor.sees(lambda: visitor.page.inner_text("[data-kept]"), "0:00")
        before = (await site.service.live.status((await only_job(site)).id)).offset
        await anyio.sleep(1)
        assert (await site.service.live.status((await only_job(site)).id)).offset == before
        await visitor.page.click("[data-resume]")
        await visitor.reads("awake", 1)
        await elapsed(visitor, 4)
        job_id = await finish(visitor)
        await visitor.reads("awake", 0)
        given = await captured(visitor.page)
    job = await site.until(job_id, "completed")
    assert recorded(site, job) == given
    assert length(job, given) >= 4


LENGTH = """async ([address, rate, seconds]) => {
  const context = new OfflineAudioContext(1, rate * seconds, rate)
  await context.audioWorklet.addModule(address)
  const file = context.createBuffer(1, rate * seconds, rate)
  const samples = file.getChannelData(0)
  for (let at = 0; at < samples.length; at += 1) samples[at] = ((at * 7919) % 32749) / 32767
  const source = new AudioBufferSourceNode(context, { buffer: file })
  const node = new AudioWorkletNode(context, 'capture', { channelCount: 1, channelCountMode: 'explicit' })
  source.connect(node).connect(context.destination)
  const blocks = []
  const stopped = new Promise((done) => {
    node.port.onmessage = ({ data }) => (data === 'stopped' ? done() : blocks.push(data))
  })
  node.port.postMessage('record')
  const other = new AudioWorkletNode(context, 'capture')
  await new Promise((done) => { // when this one answers, the audio thread has heard of the order
    other.port.onmessage = done
    other.port.postMessage('stop')
  })
  source.start()
  await context.startRendering()
  node.port.postMessage('stop')
  await stopped
  const whole = new Uint8Array(await new Blob(blocks.map(({ samples }) => samples)).arrayBuffer())
  let text = ''
  for (let at = 0; at < whole.length; at += 8192) text += String.fromCharCode(...whole.subarray(at, at + 8192))
  return btoa(text)
}"""
"""The audio thread of the page hears a minute in a second or two, and gives it as base64."""


@pytest.mark.parametrize("rate", [44_100, 48_000])
async def test_a_minute_is_a_minute_at_every_rate(visitor: Visitor, site: Site, rate: int) -> None:
    [worklet] = DIST.glob("assets/capture.worklet-*.js")
    said = [f"{site.url}/static/dist/assets/{worklet.name}", rate, 60]
    data = base64.b64decode(await visitor.page.evaluate(LENGTH, said))
    samples = np.frombuffer(data, dtype="<i2")
    assert abs(len(samples) / rate - 60) <= 0.02
    file = (np.arange(60 * rate) * 7919) % 32_749
    late = int(np.flatnonzero(samples == file[1_000])[0]) - 1_000
    assert abs(late / rate) <= 0.02
    both = min(len(samples), len(file)) - 2_000
    assert (samples[1_000 + late :][:both] == file[1_000:][:both]).all()
    async with httpx.AsyncClient(base_url=site.url, timeout=60) as client:
        answer = await client.post("/api/live", json={"rate": rate, "name": "minute.wav"})
        job_id = answer.raise_for_status().json()["id"]
        headers = {"upload-offset": "0", "content-type": "application/offset+octet-stream"}
        (await client.patch(f"/api/live/{job_id}", content=data, headers=headers)).raise_for_status()
        (await client.post(f"/api/live/{job_id}/end")).raise_for_status()
    job = await site.until(job_id, "completed")
    assert job.duration_s == pytest.approx(60, abs=0.02)


async def test_another_page_may_be_read_and_another_tab_does_not_record(speaking: Any, site: Site) -> None:
    async with visiting(speaking, site.url) as visitor:
        await begin(visitor)
        await visitor.page.click("header .brand")
        await visitor.page.wait_for_selector("[data-on-air]")
        other = Visitor(await visitor.page.context.new_page(), site.url)
        await other.go("/record")
        await other.page.click("[data-start]")
        await other.page.wait_for_selector("[data-trouble=elsewhere]")
        await visitor.page.click("[data-on-air] a")
        await elapsed(visitor, 2)
        await finish(visitor)
        assert other.defects == []


async def test_a_reload_sends_the_rest_and_more_is_recorded_into_the_same_job(speaking: Any, site: Site) -> None:
    async with visiting(speaking, site.url) as visitor:
        visitor.expected = LIVE
        page = visitor.page
        asked: list[str] = []

        async def leave(dialog: Any) -> None:
            asked.append(dialog.type)
            await dialog.accept()

        page.on("dialog", leave)
        await begin(visitor)
        await elapsed(visitor, 3)
        await page.route("**/api/live/**", lambda route: route.abort())
        await page.wait_for_selector("[data-cut]")
        await elapsed(visitor, 3, "[data-kept]")
        job = await only_job(site)
        before = await captured(page)
        await anyio.sleep(1)  # what was recorded a moment ago is stored
        await page.reload()
        assert asked == ["beforeunload"]
        await page.wait_for_selector("[data-interrupted=sending]")
        assert "was interrupted; the rest" in await page.inner_text("[data-interrupted]")
        await page.unroute("**/api/live/**")
        await page.wait_for_selector("[data-interrupted=open]", timeout=20_000)
        first = (await site.service.live.status(job.id)).offset
        assert job.live is not None
        assert first >= len(before)
        await page.click("[data-go-on]")
        await page.wait_for_selector(".air[data-phase=recording]")
        await elapsed(visitor, first // (2 * job.live.rate) + 3)
        assert await finish(visitor) == job.id
        after = await captured(page)
        data = recorded(site, await site.until(job.id, "completed"))
        assert (data[: len(before)], data[first:]) == (before, after)
        await visitor.reads("localStorage.getItem('recording')", None)
        await visitor.go("/")
        assert asked == ["beforeunload"]  # nothing is unsent now
        assert await page.locator("[data-interrupted]").count() == 0


async def test_what_a_cancelled_recording_has_left_is_kept_as_a_file(speaking: Any, site: Site, tmp_path: Path) -> None:
    async with visiting(speaking, site.url, accept_downloads=True) as visitor:
        visitor.expected = LIVE
        await begin(visitor)
        await elapsed(visitor, 2)
        await site.service.jobs.change((await only_job(site)).id, Cause.CANCEL)
        await visitor.page.wait_for_selector("[data-failed]", timeout=20_000)
        await visitor.page.wait_for_selector("[data-interrupted=failed]")
        async with visitor.page.expect_download() as download:
            await visitor.page.click("[data-save]")
        saved = tmp_path / "rest.wav"
        await (await download.value).save_as(saved)
        assert saved.read_bytes()[:4] == b"RIFF"
        assert saved.stat().st_size > 44
        await visitor.page.click("[data-discard]")
        await visitor.count("[data-interrupted]", 0)
        await visitor.reads("localStorage.getItem('recording')", None)


async def test_a_microphone_that_is_pulled_out_and_put_in_again(speaking: Any, site: Site) -> None:
    async with visiting(speaking, site.url) as visitor:
        await visitor.page.add_init_script(
            """const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
            navigator.mediaDevices.getUserMedia = async (wanted) => (window.stream = await real(wanted))"""
        )
        await begin(visitor)
        await elapsed(visitor, 2)
        await visitor.page.evaluate(
            "stream.getTracks()[0].stop(), stream.getTracks()[0].dispatchEvent(new Event('ended'))"
        )
        await visitor.page.wait_for_selector("[data-trouble=unplugged]")
        await visitor.page.wait_for_selector(".air[data-phase=paused]")
        kept = await seconds(visitor)
        assert kept >= 2
        await visitor.page.click("[data-resume]")
        await visitor.page.wait_for_selector(".air[data-phase=recording]")
        await visitor.count("[data-trouble]", 0)
        await elapsed(visitor, kept + 2)
        job_id = await finish(visitor)
        given = await captured(visitor.page)
    job = await site.until(job_id, "completed")
    assert recorded(site, job) == given
    assert length(job, given) >= kept + 2


async def test_the_sound_of_a_tab_is_recorded_until_sharing_is_stopped(site: Site) -> None:
    flags = (*FLAGS, "--auto-select-tab-capture-source-by-title=A tone")
    async with recording_browser(flags) as browser, visiting(browser, site.url) as visitor:
        tone = await visitor.page.context.new_page()
        await tone.goto(site.url + "/api/health/live")
        await tone.evaluate(
            """() => { document.title = 'A tone'
            const context = new AudioContext(), tone = new OscillatorNode(context, { frequency: 440 })
            tone.connect(new GainNode(context, { gain: 0.25 })).connect(context.destination)
            tone.start()
            document.addEventListener('click', () => context.resume()) }"""
        )
        await tone.mouse.click(5, 5)
        await visitor.page.bring_to_front()
        await visitor.page.add_init_script(
            """const real = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices)
            navigator.mediaDevices.getDisplayMedia = async (wanted) => (window.shared = await real(wanted))"""
        )
        await visitor.page.add_init_script(WATCH)
        await visitor.go("/record")
        await visitor.page.select_option("[data-from]", "shared")
        await visitor.page.click("[data-start]")
        await visitor.page.wait_for_selector(".air[data-phase=recording]")
        await elapsed(visitor, 3)
        await visitor.page.evaluate(
            "for (const t of shared.getTracks()) { t.stop(); t.dispatchEvent(new Event('ended')) }"
        )
        await visitor.page.wait_for_selector("[data-trouble=share_ended]")
        await visitor.page.wait_for_selector(".air[data-phase=paused]")
        job_id = await finish(visitor)
        given = await captured(visitor.page)
    job = await site.until(job_id, "completed")
    assert job.live is not None
    assert job.live.source == "shared"
    data = recorded(site, job)
    assert data == given
    spectrum = np.abs(np.fft.rfft(heard(data, job.live.rate)[24_000:40_000]))
    assert abs(int(spectrum.argmax()) - 440) <= 2  # Hz: this is one second


async def test_a_tab_is_mixed_with_the_microphone_which_goes_on_when_sharing_is_stopped(
    speaking: Any, site: Site
) -> None:
    async with visiting(speaking, site.url) as visitor:
        await visitor.page.add_init_script(
            """navigator.mediaDevices.getDisplayMedia = async () => {
              const context = new AudioContext(), tone = new OscillatorNode(context, { frequency: 440 })
              const sound = context.createMediaStreamDestination()
              tone.connect(new GainNode(context, { gain: 0.5 })).connect(sound)
              tone.start()
              const picture = document.createElement('canvas')
              picture.getContext('2d')
              const tracks = [sound.stream, picture.captureStream()].flatMap((stream) => stream.getTracks())
              return (window.shared = new MediaStream(tracks))
            }"""
        )
        await visitor.page.add_init_script(WATCH)
        await visitor.go("/record")
        await visitor.page.select_option("[data-from]", "both")
        await visitor.page.click("[data-start]")
        await visitor.page.wait_for_selector(".air[data-phase=recording]")
        await elapsed(visitor, 4)
        await visitor.page.evaluate(
            "for (const t of shared.getTracks()) { t.stop(); t.dispatchEvent(new Event('ended')) }"
        )
        await visitor.page.wait_for_selector("[data-trouble=share_ended]")
        ended = await seconds(visitor)
        await elapsed(visitor, max(14, ended + 6))  # there is a voice from the ninth second on
        assert await visitor.page.locator(".air[data-phase=recording]").count() == 1
        job_id = await finish(visitor)
        given = await captured(visitor.page)
    job = await site.until(job_id, "completed")
    assert job.live is not None
    assert job.live.source == "microphone+shared"
    data = recorded(site, job)
    assert data == given
    both = heard(data, job.live.rate)

    def tone(at: int) -> float:
        """Return how much of a second is 440 Hz."""
        spectrum = np.abs(np.fft.rfft(both[at : at + 16_000]))
        return float(spectrum[438:443].sum())

    later = 16_000 * (ended + 2)
    assert tone(32_000) > 20 * tone(later)
    assert np.abs(both[later:]).max() > 1_000  # the microphone


async def test_a_denied_and_a_missing_microphone_have_their_messages(browser: Any, site: Site) -> None:
    async with visiting(browser, site.url) as visitor:
        await visitor.go("/record")
        await visitor.page.click("[data-start]")
        await visitor.page.wait_for_selector("[data-trouble=denied], [data-trouble=none]")
        await visitor.page.context.grant_permissions(["microphone"])
        await visitor.page.click("[data-start]")
        await visitor.page.wait_for_selector("[data-trouble=none]")
        assert await visitor.page.is_enabled("[data-start]")
    async with visiting(browser, site.url) as visitor:
        await visitor.page.add_init_script(
            """navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') }"""
        )
        await visitor.go("/record")
        await visitor.page.click("[data-start]")
        await visitor.page.wait_for_selector("[data-trouble=denied]")
        assert await site.service.parts.store.jobs(limit=10) == []


@pytest.mark.parametrize(
    ("locale", "words"), [("en-US", "Open this service over https."), ("zh-CN", "通过 https 打开此服务")]
)
async def test_an_insecure_address_says_why_there_is_no_microphone(
    browser: Any, tmp_path: Path, locale: str, words: str
) -> None:
    addresses = [
        each.address
        for name, all in psutil.net_if_addrs().items()
        if name != "lo"
        for each in all
        if each.family is socket.AF_INET
    ]
    if not addresses:
        pytest.skip("this machine has no address but the loopback's")
    async with (
        running_site(tmp_path, server={"host": addresses[0]}) as site,
        visiting(browser, site.url, locale=locale) as visitor,
    ):
        await visitor.go("/record")
        said = await visitor.page.inner_text("[data-trouble=insecure]")
        assert words in said
        assert f"ssh -L 8000:127.0.0.1:{site.url.rpartition(':')[2]} {addresses[0]}" in said
        assert await visitor.page.locator("[data-start]").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", LANGUAGES)
async def test_the_desk_has_no_barriers_and_fits_a_phone(speaking: Any, site: Site, locale: str, theme: Any) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    async with visiting(speaking, site.url, locale=locale, color_scheme=theme, reduced_motion="reduce") as visitor:
        visitor.expected = LIVE
        await visitor.page.route("**/api/live/**", lambda route: route.abort())
        await send_drafts(visitor.page, draft(" So this", " is cha", 1.0))
        await begin(visitor)
        await visitor.page.wait_for_selector("[data-cut]")
        await visitor.page.wait_for_selector("[data-draft]")
        found: list[str] = []
        for width in (1280, 390, 320):
            await visitor.page.set_viewport_size({"width": width, "height": 800})
            results = await axe.run(visitor.page, options={"resultTypes": ["violations"]})
            found += [
                f"{rule['id']} at {width}: {node['html'][:200]}"
                for rule in results.response["violations"]
                for node in rule["nodes"]
            ]
            assert await visitor.page.evaluate("document.documentElement.scrollWidth") <= width
        assert found == []
        assert await visitor.page.locator(".heard[role=log]").count() == 1
        await visitor.page.unroute("**/api/live/**")
        await finish(visitor)


class KilledService:
    """A service in a process of its own, on one port, that is killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        words = ["-m", "testkit.serve", "--data-dir", str(self.home / "data"), "--port", str(self.port)]
        settings = {"storage__min_free_bytes": 0, "media__workers": 1}
        with (self.home / "log").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *words, "--speech", "testkit.scripted_actors:speech"],
                env=environment(**settings),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        assert any(line.startswith(BANNER) for line in self.process.stdout), (self.home / "log").read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        process = self.process
        if process is None:
            return
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        process.wait(timeout=30)
        assert process.stdout is not None
        process.stdout.close()
        psutil.wait_procs(children, timeout=10)
        self.process = None

    def sound(self) -> tuple[dict[str, Any], bytes]:
        """Return the only job, and its sound."""
        with httpx.Client(base_url=self.url) as client:
            [job] = client.get("/api/jobs").json()["jobs"]
            data = client.get(f"/api/jobs/{job['id']}/media").content[44:]
        return job, data


@pytest.fixture
async def killed(tmp_path: Path) -> AsyncIterator[KilledService]:
    service = KilledService(tmp_path)
    await to_thread.run_sync(service.start)
    yield service
    await to_thread.run_sync(service.end)


async def test_a_service_that_is_killed_while_somebody_speaks_loses_nothing(
    speaking: Any, killed: KilledService
) -> None:
    async with visiting(speaking, killed.url) as visitor:
        visitor.expected = re.compile("/")
        await begin(visitor)
        await elapsed(visitor, 2)
        await to_thread.run_sync(killed.end, signal.SIGKILL)
        await visitor.page.wait_for_selector("[data-cut]")
        before = await seconds(visitor)
        await elapsed(visitor, before + 4)
        assert await seconds(visitor, "[data-kept]") >= 3
        await to_thread.run_sync(killed.start)
        await visitor.page.wait_for_selector("[data-cut]", state="detached", timeout=30_000)
        await finish(visitor)
        given = await captured(visitor.page)
        job, data = await to_thread.run_sync(killed.sound)
    assert job["live"]["ended"] == "client"
    assert data == given
    assert len(data) >= 2 * job["live"]["rate"] * (before + 4)


async def test_a_browser_that_is_killed_while_the_service_is_away_loses_the_last_moment_at_most(
    killed: KilledService, tmp_path: Path
) -> None:
    from playwright.async_api import async_playwright

    flags = microphone(tmp_path / "spoken.wav")
    profile = tmp_path / "profile"
    need("there is no chromium on this machine", there=CHROMIUM is not None, how="apt-get install chromium")
    async with async_playwright() as driver:
        context = await driver.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=list(flags))
        visitor = Visitor(context.pages[0], killed.url)
        await begin(visitor)
        await elapsed(visitor, 2)
        await to_thread.run_sync(killed.end, signal.SIGKILL)
        before = await seconds(visitor)
        await elapsed(visitor, before + 4)
        given = await captured(visitor.page)
        await anyio.sleep(1)  # what was recorded a moment ago is stored
        for process in psutil.process_iter(["cmdline"]):
            if any(str(profile) in word for word in process.info["cmdline"] or ()):
                process.kill()
    await to_thread.run_sync(killed.start)
    async with async_playwright() as driver:
        context = await driver.chromium.launch_persistent_context(profile, executable_path=CHROMIUM, args=list(flags))
        visitor = Visitor(context.pages[0], killed.url)
        await visitor.go("/")
        await visitor.page.wait_for_selector("[data-interrupted=open]", timeout=30_000)
        job, data = await to_thread.run_sync(killed.sound)
        assert data[: len(given)] == given
        await visitor.page.click("[data-end]")
        await visitor.count("[data-interrupted]", 0)
        job, _ = await to_thread.run_sync(killed.sound)
        assert job["live"]["ended"] == "client"
        await context.close()
