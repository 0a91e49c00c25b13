"""Webhooks: other programs hear when a job ends, signed, at least once, also over a restart.

The change log is read; the end of a job becomes a delivery in the database before it is sent anywhere, and stays there until
it is taken or given up. Headers and signature are those of Standard Webhooks (standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import anyio
import msgspec

from whisper_service import __version__
from whisper_service.config import schema
from whisper_service.core.domain import Change, Delivery, DeliveryState, Status
from whisper_service.core.errors import InvalidConfig, InvalidRequest, ServiceError
from whisper_service.core.job_states import TERMINAL
from whisper_service.core.wakeup import Wakeup
from whisper_service.integrations.address_policy import NotAllowed, Unreachable, check, networks
from whisper_service.storage.change_feed import ChangeFeed, Closed, Pruned
from whisper_service.storage.store import Store

logger = logging.getLogger(__name__)

BACK_OFF_S: Final = (5.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
"""Between one try and the next; after the last it is given up, a day and some hours after the first."""
AT_ONCE: Final = 8
NOTE_EVERY: Final = 1_000
"""Changes without an end of a job after which the place in the log is written down."""
REST_S: Final = 5.0
GONE: Final = 410
"""The receiver wants no more of this."""
KEY_PREFIX: Final = "whsec_"
LEAST_KEY: Final = 24
_HOW: Final = "Make one with: python -c \"import base64, secrets; print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""

_NETWORKS: Final = "webhooks.allowed_networks"

Post = Callable[..., Awaitable[int]]


async def _post(url: str, body: bytes, headers: Mapping[str, str], **how: Any) -> int:
    from whisper_service.integrations.outbound_http import (
        post,  # an HTTP client: a service that sends nothing starts without it
    )

    return await post(url, body, headers, **how)


class _Options(msgspec.Struct):
    webhook: str | None = None


class _EndedJob(msgspec.Struct):
    """What of a job decides whether somebody wants to hear of it."""

    id: str
    status: Status
    options: _Options
    finished_at: float | None = None


class WebhookSender:
    """See the module. Without a secret it is off."""

    def __init__(
        self,
        settings: schema.WebhookSettings,
        store: Store,
        broadcast: ChangeFeed,
        *,
        post: Post | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises `InvalidConfig`."""
        self._url = settings.url
        self._key = key(settings.secret) if settings.secret else b""
        self._allowed = networks(settings.allowed_networks, _NETWORKS)
        self._post = partial(post or _post, allowed=self._allowed, timeout_s=settings.timeout_s)
        self._store = store
        self._broadcast = broadcast
        self._clock = clock
        self._news = Wakeup()
        if self._url:
            if not self._key:
                raise InvalidConfig("webhooks.url is set, but webhooks.secret is not.", hint=_HOW)
            try:
                self._check(self._url)
            except InvalidRequest as error:
                raise InvalidConfig(f"webhooks.url: {error.message}", hint=error.advice) from error

    def check(self, url: str) -> None:
        """Raise `InvalidRequest` if a job cannot ask for this."""
        if not self._key:
            hint = "Set webhooks.secret, with which they are signed; then jobs may name an address."
            raise InvalidRequest("This service sends no webhooks.", hint=hint, field="webhook")
        self._check(url)

    def _check(self, url: str) -> None:
        check(url, self._allowed, field="webhook", setting=_NETWORKS)

    async def run(self) -> None:
        """Until the broadcast is closed. What is on its way then is sent again by the next service."""
        if not self._key:
            await self._store.outbox.seen(self._broadcast.head)  # who switches them on later hears of what comes then
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._again, self._send)
            await self._again(self._listen)
            tasks.cancel_scope.cancel()

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it to its end; if the database refuses, once more in a while."""
        while True:
            try:
                return await work()
            except (sqlite3.Error, ServiceError):
                logger.exception("webhooks have to wait for the database", extra={"action": "webhooks_failed"})
                await anyio.sleep(REST_S)

    async def _listen(self) -> None:
        """Turn ends of jobs into deliveries."""
        noted = await self._store.outbox.since()
        cursor = self._broadcast.cursor(noted)
        while True:
            try:
                changes = await cursor.read()
            except Closed:
                return
            except Pruned:
                logger.error(
                    "some webhooks are lost: the change log was pruned before they were made",
                    extra={"action": "webhooks_pruned"},
                )
                cursor = self._broadcast.cursor(self._broadcast.head)
                continue
            made = [delivery for change in changes if (delivery := self._delivery(change)) is not None]
            if made or cursor.seq - noted >= NOTE_EVERY:
                noted = cursor.seq
                await self._store.outbox.add(made, noted)
                self._news.notify()

    def _delivery(self, change: Change) -> Delivery | None:
        if change.kind != "update":
            return None
        job = msgspec.json.decode(change.payload, type=_EndedJob)
        url = job.options.webhook or self._url
        if job.status not in TERMINAL or not url:
            return None
        now = self._clock()
        at = job.finished_at or now
        event = {
            "type": f"job.{job.status.value}",
            "timestamp": datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z"),
            "data": msgspec.Raw(change.payload),
        }
        # By this name a job that changes after its end, for instance its title, is not told again.
        return Delivery(
            id=f"msg_{job.id}_{round(at * 1000):x}",
            job_id=job.id,
            url=url,
            body=msgspec.json.encode(event),
            created_at=now,
            due_at=now,
        )

    async def _send(self) -> None:
        """Send what is due; sleep until something is."""
        while True:
            waiting = await self._store.outbox.next(AT_ONCE)
            now = self._clock()
            due = [delivery for delivery in waiting if delivery.due_at <= now]
            if due:
                async with anyio.create_task_group() as tasks:
                    for delivery in due:
                        tasks.start_soon(self._deliver, delivery)
                continue
            await self._news.wait(waiting[0].due_at - now if waiting else None)

    async def _deliver(self, delivery: Delivery) -> None:
        """One try, and what comes of it, written down."""
        headers = signed(self._key, delivery.id, int(self._clock()), delivery.body)
        attempts = delivery.attempts + 1
        final = False
        try:
            status = await self._post(delivery.url, delivery.body, headers)
        except NotAllowed as error:
            detail, final = str(error), True
        except Unreachable as error:
            detail = str(error)
        else:
            detail, final = f"It answered {status}.", status == GONE
            if 200 <= status < 300:
                await self._store.outbox.settle(delivery.id, DeliveryState.DELIVERED, attempts, delivery.due_at, "")
                return
        facts = {
            "action": "webhook_failed",
            "job": delivery.job_id,
            "delivery": delivery.id,
            "attempt": attempts,
            "cause": detail,
        }
        if final or attempts > len(BACK_OFF_S):
            logger.error("a webhook is given up: %s", detail, extra=facts)
            await self._store.outbox.settle(delivery.id, DeliveryState.FAILED, attempts, delivery.due_at, detail)
            return
        logger.warning("a webhook was not taken: %s", detail, extra=facts)
        due_at = self._clock() + BACK_OFF_S[attempts - 1]
        await self._store.outbox.settle(delivery.id, DeliveryState.WAITING, attempts, due_at, detail)


def key(secret: str) -> bytes:
    """The bytes to sign with. Raises `InvalidConfig`, which does not quote it."""
    try:
        made = (
            base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True) if secret.startswith(KEY_PREFIX) else b""
        )
    except binascii.Error:
        made = b""
    if len(made) < LEAST_KEY:
        raise InvalidConfig(
            f"webhooks.secret is not whsec_ with at least {LEAST_KEY} bytes in base64 behind it.", hint=_HOW
        )
    return made


def signed(key: bytes, id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery; `at` in Unix seconds."""
    signature: Any = base64.b64encode(hmac.digest(key, b"%s.%d.%s" % (id.encode(), at, body), "sha256"))
    return {
        "content-type": "application/json",
        "user-agent": f"whisper_service/{__version__}",
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature.decode()}",
    }
