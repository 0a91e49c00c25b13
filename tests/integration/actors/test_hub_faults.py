"""Every way in which a hub can fail, through the whole service: the job and the model tell the code and what to do.

One service meets all of them. Cases that differ only in the repo wait in one queue; cases that need other settings come
one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from testkit.fake_hub import REPO, FakeHub, Proxy, closed_port
from testkit.hub_service import FILES, PASSWORD, installed, model_once, over, running_with_hubs, submit
from testkit.service import Running
from whisper_service.actors.download.hub_problems import CASES
from whisper_service.actors.download.network_errors import has_route
from whisper_service.core.domain import Status

pytestmark = pytest.mark.anyio

HANGS_S = 240
"""Far more than all of it takes."""

OF_THE_HUB: list[tuple[str, str, str, dict[str, Any]]] = [  # the code; which requests; what goes wrong with them
    ("token_refused", "/api/models/{repo}", "status", {"status": 401}),
    ("access_denied", "/api/models/{repo}", "status", {"status": 403}),
    ("access_denied", "/storage/{part}/model.bin", "status", {"status": 403}),
    ("gated", "/api/models/{repo}", "status", {"status": 403, "headers": {"X-Error-Code": "GatedRepo"}}),
    ("repo_not_found", "/api/models/{repo}", "status", {"status": 404, "headers": {"X-Error-Code": "RepoNotFound"}}),
    ("rate_limited", "/api/models/{repo}", "status", {"status": 429}),
    ("server_error", "/api/models/{repo}", "status", {"status": 500}),
    ("server_error", "/storage/{part}/model.bin", "status", {"status": 503}),
    ("timeout", "/api/models/{repo}", "stall", {}),
    ("timeout", "/storage/{part}/model.bin", "stall", {}),
    ("cut_off", "/storage/{part}/model.bin", "reset", {}),
    ("hash_mismatch", "/storage/{part}/model.bin", "corrupt", {}),
    ("hash_mismatch", "/storage/{part}/model.bin", "short", {"after": 1_000_000}),
    ("hash_mismatch", "/{repo}/resolve/", "corrupt", {}),
    ("not_a_hub", "/api/models/{repo}", "page", {}),
    ("not_a_model", "/api/models/{repo}", "nothing", {}),
]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(FILES) as serving:
        yield serving


async def told(web: Running, job_id: str, model: str, code: str) -> None:
    """Check that the job failed with this code and its hint, and that the model has them too."""
    job = await over(web, job_id)
    assert job.error is not None, code
    assert (job.status, job.error.code) == (Status.FAILED, code), job.error
    assert job.error.message
    assert "{" not in job.error.message
    assert job.error.hint == CASES[code][1]
    shown = (await web.client.get(f"/api/models/{model}")).json()
    assert (shown["state"], shown["problem"]["code"], shown["problem"]["hint"]) == ("absent", code, CASES[code][1])


async def play_in_turn(web: Running, hub: FakeHub) -> None:
    jobs = []
    for number, (code, path, kind, details) in enumerate(OF_THE_HUB):
        part = f"-play{number:02}"  # what the name of the repo goes on with
        hub.fault(path.format(repo=f"{REPO}{part}", part=part), kind, **details)
        jobs.append((await submit(web, model=f"{REPO}{part}", chunks=1), f"{REPO}{part}", code))
    for job_id, model, code in jobs:
        await told(web, job_id, model, code)


async def play_with_settings(web: Running, stack: ExitStack) -> None:
    locked = stack.enter_context(Proxy(password="another")).url.replace("http://", f"http://name:{PASSWORD}@")
    strict = stack.enter_context(Proxy(status=403)).url
    closed = stack.enter_context(closed_port())
    plays: list[tuple[str, dict[str, Any]]] = [
        ("offline", {"models.offline": True}),
        ("connection_refused", {"models.endpoints": [closed]}),
        ("name_not_resolved" if has_route() else "no_network", {"models.endpoints": ["http://hub.invalid"]}),
        ("proxy_refused", {"models.proxy": closed}),
        ("proxy_refused", {"models.proxy": strict, "models.endpoints": ["https://hub.invalid"]}),
        ("proxy_password", {"models.proxy": locked}),
    ]
    for number, (code, changes) in enumerate(plays):
        model = f"{REPO}-set{number}"
        assert (await web.client.patch("/api/settings", json=changes)).status_code == 200
        await told(web, await submit(web, model=model, chunks=1), model, code)
        await web.client.patch("/api/settings", json=dict.fromkeys(changes))


async def play_full_disk(web: Running) -> None:
    """No recording would be taken either, so a user asks for the model itself."""
    model = f"{REPO}-full"
    await web.client.patch("/api/settings", json={"storage.min_free_bytes": 10**18})
    assert (await web.client.post(f"/api/models/{model}/download")).status_code == 202
    shown = await model_once(web, lambda info: info.problem is not None, model)
    assert shown.problem is not None
    assert (shown.problem.code, shown.problem.hint) == ("disk_full", CASES["disk_full"][1])
    assert shown.problem.params["needed"] > shown.problem.params["have"]
    await web.client.patch("/api/settings", json={"storage.min_free_bytes": None})


async def test_every_fault_of_a_hub_is_told_with_its_cure_and_nothing_hangs(
    tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with anyio.fail_after(HANGS_S), ExitStack() as stack:
        async with running_with_hubs(tmp_path, hub.url, read_timeout_s=1.0, connect_timeout_s=2.0) as web:
            await play_in_turn(web, hub)
            hub.faults.clear()
            await play_with_settings(web, stack)
            await play_full_disk(web)
            assert (await over(web, await submit(web, chunks=1))).status is Status.COMPLETED, "nothing of it stays"
            await model_once(web, installed)
