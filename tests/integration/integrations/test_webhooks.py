"""Webhooks to a receiver on this machine: signed, sent once, retried, kept over a restart, refused where forbidden."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from anyio.abc import SocketAttribute
from standardwebhooks import Webhook, WebhookVerificationError

from testkit.event_stream import collect
from testkit.scripted_actors import script
from testkit.service import WAIT, Running, running
from whisper_service.core.domain import Delivery, DeliveryState
from whisper_service.core.errors import InvalidConfig
from whisper_service.integrations import webhooks

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """An HTTP server that keeps the requests it gets and answers with `answers`."""

    answers: list[int] = field(default_factory=list)  # then 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    news: anyio.Event = field(default_factory=anyio.Event)
    url: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.got.append(({name.decode(): value.decode() for name, value in scope["headers"]}, body))
        status = self.answers.pop(0) if self.answers else 204
        location = [(b"location", b"http://127.0.0.1:1/")] if status // 100 == 3 else []
        await send({"type": "http.response.start", "status": status, "headers": location})
        await send({"type": "http.response.body", "body": b""})
        news, self.news = self.news, anyio.Event()
        news.set()

    async def until(self, count: int) -> None:
        with anyio.fail_after(WAIT):
            while len(self.got) < count:
                await self.news.wait()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    app = Receiver()
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    app.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/hook?key=hidden"
    raw = listener.extra(SocketAttribute.raw_socket)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [raw])
        yield app
        server.should_exit = True
    await listener.aclose()


@asynccontextmanager
async def running_with_webhooks(root: Path, **webhooks: Any) -> AsyncIterator[Running]:
    """A service that may send to this machine. `webhooks` are settings of that section."""
    async with running(root, webhooks={"secret": SECRET, "allowed_networks": ("127.0.0.1",)} | webhooks) as up:
        yield up


async def send(web: Running, **options: str) -> dict[str, Any]:
    made = await web.client.post("/api/jobs", files={"file": ("a.wav", script(chunks=1))}, data=options)
    assert made.status_code == 202, made.text
    return dict(made.json())


async def settled(web: Running, state: DeliveryState) -> list[Delivery]:
    """The deliveries, once the newest is in this state."""
    with anyio.fail_after(WAIT):
        while not (found := await web.service.parts.store.webhook_queue.newest(10)) or found[0].state is not state:  # noqa: ASYNC110 - it is not published
            await anyio.sleep(0.02)
    return found


async def test_the_end_of_a_job_is_sent_and_signed(tmp_path: Path, receiver: Receiver) -> None:
    async with running_with_webhooks(tmp_path, url=receiver.url) as web:
        job = await send(web)
        await receiver.until(1)
        headers, body = receiver.got[0]
        event = Webhook(SECRET).verify(body, headers)
        assert event["type"] == "job.completed"
        assert event["data"]["id"] == job["id"]
        assert event["data"]["status"] == "completed"
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body.replace(b"completed", b"cancelled"), headers)
        (delivery,) = await settled(web, DeliveryState.DELIVERED)
        assert (delivery.id, delivery.attempts, delivery.body) == (headers["webhook-id"], 1, b"")
        listed = (await web.client.get("/api/webhooks")).json()
        assert [(hook["job_id"], hook["state"]) for hook in listed] == [(job["id"], "delivered")]
        assert "hidden" not in json.dumps(listed)


async def test_a_job_names_its_own_address_and_each_end_is_sent(tmp_path: Path, receiver: Receiver) -> None:
    async with running_with_webhooks(tmp_path) as web:
        await collect(web.client, f"/api/stream/{(await send(web))['id']}")  # a job without an address
        made = await web.client.post(
            "/api/jobs", files={"file": ("a.wav", b"no script")}, data={"webhook": receiver.url}
        )
        await receiver.until(1)
        assert (await web.client.post(f"/api/jobs/{made.json()['id']}/retry")).status_code == 200
        await receiver.until(2)
        events = [json.loads(body) for _, body in receiver.got]
        assert [event["type"] for event in events] == ["job.failed"] * 2
        assert events[0]["data"]["error"]["code"]
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2


async def test_a_change_after_the_end_is_not_sent_again(tmp_path: Path, receiver: Receiver) -> None:
    async with running_with_webhooks(tmp_path, url=receiver.url) as web:
        job = await send(web)
        await receiver.until(1)
        await settled(web, DeliveryState.DELIVERED)
        (last,) = [
            c
            for c in await web.service.parts.store.change_log.changes(0, job_id=job["id"])
            if b'"completed"' in c.payload
        ][-1:]
        again = web.service.parts.webhooks._delivery(last)
        assert again is not None
        await web.service.parts.store.webhook_queue.add([again], web.service.events.head)
        assert [delivery.state for delivery in await web.service.parts.store.webhook_queue.newest(10)] == [
            DeliveryState.DELIVERED
        ]


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_a_webhook_that_is_not_accepted_is_sent_again_and_no_redirect_is_followed(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(webhooks, "BACK_OFF_S", (0.01, 0.01))
    receiver.answers = [status, status]
    async with running_with_webhooks(tmp_path, url=receiver.url) as web:
        await send(web)
        await receiver.until(3)
        assert len({(headers["webhook-id"], body) for headers, body in receiver.got}) == 1
        (delivery,) = await settled(web, DeliveryState.DELIVERED)
        assert delivery.attempts == 3


@pytest.mark.parametrize(("answers", "attempts"), [([500] * 9, 3), ([410], 1)])
async def test_a_webhook_is_given_up_after_the_last_attempt(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, answers: list[int], attempts: int
) -> None:
    monkeypatch.setattr(webhooks, "BACK_OFF_S", (0.01, 0.01))
    receiver.answers = answers
    async with running_with_webhooks(tmp_path, url=receiver.url) as web:
        await send(web)
        (delivery,) = await settled(web, DeliveryState.FAILED)
        assert delivery.attempts == attempts == len(receiver.got)
        assert "answered" in delivery.detail


async def test_a_restart_goes_on(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [503]
    async with running_with_webhooks(tmp_path, url=receiver.url) as web:
        await send(web)
        await receiver.until(1)
        (waiting,) = await web.service.parts.store.webhook_queue.waiting(10)
        while not waiting.attempts:
            (waiting,) = await web.service.parts.store.webhook_queue.waiting(10)
        # the next attempt is due when the service runs again
        await web.service.parts.store.webhook_queue.record_attempt(
            waiting.id, DeliveryState.WAITING, waiting.attempts, 0.0, waiting.detail
        )
    async with running_with_webhooks(tmp_path, url=receiver.url) as web:
        await receiver.until(2)
        assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]
        await settled(web, DeliveryState.DELIVERED)
    async with running_with_webhooks(tmp_path, url=receiver.url) as web:
        await send(web)
        await receiver.until(3)
        assert receiver.got[2][0]["webhook-id"] != receiver.got[1][0]["webhook-id"]


async def test_an_end_without_a_delivery_is_sent_after_the_restart(tmp_path: Path, receiver: Receiver) -> None:
    async with running_with_webhooks(tmp_path, url=receiver.url) as web:
        job = await send(web)
        await receiver.until(1)
        store = web.service.parts.store
        await settled(web, DeliveryState.DELIVERED)
        async with store._db.transaction():  # as after a kill between the end of the job and its delivery
            await store._db.run("DELETE FROM delivery")
            await store._db.run("UPDATE webhook SET seq = 0")
    async with running_with_webhooks(tmp_path, url=receiver.url):
        await receiver.until(2)
    assert json.loads(receiver.got[1][1])["data"]["id"] == job["id"]


async def test_webhooks_that_are_switched_on_later_begin_with_the_next_change(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with running_with_webhooks(tmp_path, secret="") as web:
        await collect(web.client, f"/api/stream/{(await send(web))['id']}")
    async with running_with_webhooks(tmp_path, secret="") as web:
        pass
    async with running_with_webhooks(tmp_path, url=receiver.url) as web:
        job = await send(web)
        await receiver.until(1)
        await settled(web, DeliveryState.DELIVERED)
    assert [json.loads(body)["data"]["id"] for _, body in receiver.got] == [job["id"]]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "ftp://example.com/", "http://[::1]/", "http://2130706433/"])
async def test_a_job_cannot_name_an_address_inside_the_machine(tmp_path: Path, url: str) -> None:
    async with running_with_webhooks(tmp_path, allowed_networks=()) as web:
        answer = await web.client.post("/api/jobs", files={"file": ("a.wav", script(chunks=1))}, data={"webhook": url})
        assert (answer.status_code, answer.json()["params"]["field"]) == (422, "webhook")
        assert not list(web.service.uploads.root.iterdir())


async def test_a_name_that_resolves_to_the_machine_gets_no_webhook(tmp_path: Path, receiver: Receiver) -> None:
    async with running_with_webhooks(tmp_path, allowed_networks=()) as web:
        await send(web, webhook=receiver.url.replace("127.0.0.1", "localhost"))
        (delivery,) = await settled(web, DeliveryState.FAILED)
        assert delivery.attempts == 1
        assert "must not get requests" in delivery.detail
        assert not receiver.got


async def test_without_a_secret_no_webhook_is_sent(tmp_path: Path, receiver: Receiver) -> None:
    async with running_with_webhooks(tmp_path, secret="") as web:
        answer = await web.client.post(
            "/api/jobs", files={"file": ("a.wav", script(chunks=1))}, data={"webhook": receiver.url}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert "webhooks.secret" in answer.json()["hint"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "", "url": "https://example.com"},
        {"secret": "correct-horse-battery-staple"},
        {"secret": "whsec_c2hvcnQ="},
        {"secret": "whsec_***"},
        {"url": "example.com"},
        {"url": "http://10.0.0.1/"},
        {"allowed_networks": ("home",)},
    ],
)
async def test_wrong_settings_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises((InvalidConfig, ExceptionGroup)) as caught:
        async with running_with_webhooks(tmp_path, **wrong):
            pass
    assert (
        caught.group_contains(InvalidConfig)
        if isinstance(caught.value, ExceptionGroup)
        else "webhooks." in str(caught.value)
    )
    assert str(wrong.get("secret") or "none of it") not in repr(caught.value)
