"""List the webhook messages and what became of them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter
from msgspec.structs import replace

from whisper_service.core.domain import DeliveryState, Value
from whisper_service.web.http.errors import problems
from whisper_service.web.http.parameters import Served


class WebhookInfo(Value, frozen=True):
    """A message about the end of a job."""

    id: str
    job_id: str
    url: str  # without its query, which may be a secret
    state: DeliveryState
    attempts: int
    created_at: float
    due_at: float  # of the next try, if the message waits
    detail: str  # why the last try failed


@get(
    "/api/webhooks", operation_id="listWebhooks", summary="List webhook messages, newest first", responses=problems(422)
)
async def webhooks(service: Served, limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50) -> list[WebhookInfo]:
    deliveries = [replace(each, url=each.url.partition("?")[0]) for each in await service.deliveries(limit)]
    return msgspec.convert(deliveries, list[WebhookInfo], from_attributes=True)


router = Router("/", tags=["Webhooks"], route_handlers=[webhooks])
