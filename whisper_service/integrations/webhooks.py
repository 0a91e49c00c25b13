"""Sends webhooks: signed messages to other programs when a job ends, at least once, also after a restart.

The ends of jobs are read from the change log. Each becomes a delivery in the database before anything is sent. The
delivery stays there until it is accepted or given up. Headers and signature follow Standard Webhooks
(standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import anyio
import msgspec

from whisper_service import __version__
from whisper_service.config import schema
from whisper_service.core.address_policy import NotAllowed, Unreachable, check_url, parse_networks
from whisper_service.core.domain import Change, Delivery, DeliveryState, Status
from whisper_service.core.errors import InvalidConfig, InvalidRequest, ServiceError
from whisper_service.core.job_states import TERMINAL
from whisper_service.core.wakeup import Wakeup
from whisper_service.storage.change_feed import ChangeFeed, Closed, Pruned
from whisper_service.storage.store import Store

logger = logging.getLogger(__name__)

BACK_OFF_S: Final = (5.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
"""Pauses between attempts. The delivery is given up a day and some hours after the first attempt."""
AT_ONCE: Final = 8
STORE_EVERY: Final = 1_000
"""Changes without a delivery after which the place in the change log is stored."""
REST_S: Final = 5.0
GONE: Final = 410
"""The receiver wants no more messages."""
KEY_PREFIX: Final = "whsec_"
MIN_KEY_BYTES: Final = 24
_HOW: Final = (
    'Make one with: python -c "import base64, secrets; '
    "print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
)
_NETWORKS: Final = "webhooks.allowed_networks"


class _Options(msgspec.Struct):
    webhook: str | None = None


class _EndedJob(msgspec.Struct):
    """The fields of a job that decide whether a webhook is sent."""

    id: str
    status: Status
    options: _Options
    finished_at: float | None = None


class WebhookSender:
    """Sends webhooks while the service runs. Without a secret it sends none."""

    def __init__(self, settings: schema.WebhookSettings, store: Store, feed: ChangeFeed) -> None:
        """Raise `InvalidConfig` if the settings are wrong."""
        self._url = settings.url
        self._key = parse_secret(settings.secret) if settings.secret else b""
        self._allowed = parse_networks(settings.allowed_networks, _NETWORKS)
        self._timeout_s = settings.timeout_s
        self._store = store
        self._feed = feed
        self._news = Wakeup()
        if self._url:
            if not self._key:
                raise InvalidConfig("webhooks.url is set, but webhooks.secret is not.", hint=_HOW)
            try:
                self._check(self._url)
            except InvalidRequest as error:
                raise InvalidConfig(f"webhooks.url: {error.message}", hint=error.advice) from error

    def check(self, url: str) -> None:
        """Raise `InvalidRequest` if a job cannot have webhooks to this address."""
        if not self._key:
            hint = "Set webhooks.secret, which signs the webhooks. Then jobs may name an address."
            raise InvalidRequest("This service sends no webhooks.", hint=hint, field="webhook")
        self._check(url)

    def _check(self, url: str) -> None:
        check_url(url, self._allowed, field="webhook", setting=_NETWORKS)

    async def run(self) -> None:
        """Send webhooks until the change feed is closed. The next service sends the unfinished ones again."""
        if not self._key:
            await self._store.webhook_queue.skip_to(self._feed.head)  # later, webhooks begin with the changes of then
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._repeat, self._send_due)
            await self._repeat(self._make_deliveries)
            tasks.cancel_scope.cancel()

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` until it returns. Start it again after an error of the database."""
        while True:
            try:
                return await work()
            except (sqlite3.Error, ServiceError):
                logger.exception("Webhooks wait for the database.", extra={"action": "webhooks_failed"})
                await anyio.sleep(REST_S)

    async def _make_deliveries(self) -> None:
        """Turn ends of jobs into deliveries."""
        stored = await self._store.webhook_queue.position()
        cursor = self._feed.cursor(stored)
        while True:
            try:
                changes = await cursor.read()
            except Closed:
                return
            except Pruned:
                message = "Some webhooks are lost: the change log was shortened before they were made."
                logger.error(message, extra={"action": "webhooks_pruned"})
                cursor = self._feed.cursor(self._feed.head)
                continue
            made = [delivery for change in changes if (delivery := self._delivery(change)) is not None]
            if made or cursor.seq - stored >= STORE_EVERY:
                stored = cursor.seq
                await self._store.webhook_queue.add(made, stored)
                self._news.notify()

    def _delivery(self, change: Change) -> Delivery | None:
        if change.kind != "update":
            return None
        job = msgspec.json.decode(change.payload, type=_EndedJob)
        url = job.options.webhook or self._url
        if job.status not in TERMINAL or not url:
            return None
        now = time.time()
        at = job.finished_at or now
        event = {
            "type": f"job.{job.status.value}",
            "timestamp": datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z"),
            "data": msgspec.Raw(change.payload),
        }
        # With this id a job that changes after its end, for instance its name, makes no second delivery.
        return Delivery(
            id=f"msg_{job.id}_{round(at * 1000):x}",
            job_id=job.id,
            url=url,
            body=msgspec.json.encode(event),
            created_at=now,
            due_at=now,
        )

    async def _send_due(self) -> None:
        """Send the deliveries that are due, and sleep until the next is due."""
        while True:
            waiting = await self._store.webhook_queue.waiting(AT_ONCE)
            now = time.time()
            due = [delivery for delivery in waiting if delivery.due_at <= now]
            if due:
                async with anyio.create_task_group() as tasks:
                    for delivery in due:
                        tasks.start_soon(self._deliver, delivery)
                continue
            await self._news.wait(waiting[0].due_at - now if waiting else None)

    async def _deliver(self, delivery: Delivery) -> None:
        """Send a delivery once, and store the result."""
        # Imports an HTTP client: a service that sends nothing starts without one.
        from whisper_service.integrations.outbound_http import post

        headers = signed_headers(self._key, delivery.id, int(time.time()), delivery.body)
        attempts, due_at = delivery.attempts + 1, delivery.due_at
        state = DeliveryState.WAITING if attempts <= len(BACK_OFF_S) else DeliveryState.FAILED
        try:
            status = await post(delivery.url, delivery.body, headers, allowed=self._allowed, timeout_s=self._timeout_s)
        except NotAllowed as error:
            detail, state = str(error), DeliveryState.FAILED
        except Unreachable as error:
            detail = str(error)
        else:
            detail = f"The receiver answered with status {status}."
            if 200 <= status < 300:
                detail, state = "", DeliveryState.DELIVERED
            elif status == GONE:
                state = DeliveryState.FAILED
        facts = {
            "action": "webhook_failed",
            "job": delivery.job_id,
            "delivery": delivery.id,
            "attempt": attempts,
            "cause": detail,
        }
        if state is DeliveryState.FAILED:
            logger.error("A webhook is given up: %s", detail, extra=facts)
        elif state is DeliveryState.WAITING:
            logger.warning("A webhook was not accepted: %s", detail, extra=facts)
            due_at = time.time() + BACK_OFF_S[attempts - 1]
        await self._store.webhook_queue.record_attempt(delivery.id, state, attempts, due_at, detail)


def parse_secret(secret: str) -> bytes:
    """Return the bytes to sign with. Raises `InvalidConfig`, which does not quote the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True) if secret.startswith(KEY_PREFIX) else b""
    except binascii.Error:
        key = b""
    if len(key) < MIN_KEY_BYTES:
        message = f"webhooks.secret is not whsec_ followed by at least {MIN_KEY_BYTES} bytes in base64."
        raise InvalidConfig(message, hint=_HOW)
    return key


def signed_headers(key: bytes, id: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery. `at` is in Unix seconds."""
    signature: Any = base64.b64encode(hmac.digest(key, b"%s.%d.%s" % (id.encode(), at, body), "sha256"))
    return {
        "content-type": "application/json",
        "user-agent": f"whisper_service/{__version__}",
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature.decode()}",
    }
