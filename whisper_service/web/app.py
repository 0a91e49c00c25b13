"""Build the application: routes, error handlers and documentation, inside the guard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Final

from litestar import Litestar
from litestar.di import Provide
from litestar.types import ASGIApp

from whisper_service.app.service import Service
from whisper_service.config.tokens import read_tokens
from whisper_service.core.errors import Unavailable
from whisper_service.web import page
from whisper_service.web.api import (
    cues,
    diagnostics,
    draft_events,
    edits,
    events,
    export_zip,
    jobs,
    live,
    marks,
    media,
    metrics,
    models,
    replace,
    settings,
    speakers,
    state,
    system,
    tus,
    vocabulary,
    webhooks,
)
from whisper_service.web.compat import realtime
from whisper_service.web.compat.registry import DIALECTS
from whisper_service.web.http import api_docs, errors
from whisper_service.web.http.compression import Compression
from whisper_service.web.security import login
from whisper_service.web.security.auth import Access, Tokens
from whisper_service.web.security.guard import Guard

API: Final = (
    jobs, edits, cues, speakers, replace, vocabulary, marks, export_zip, events, diagnostics, media, metrics, models,
    settings, state, system, tus, webhooks, live, draft_events,
)  # fmt: skip
"""The modules with routes of the own API, in the order of the documentation."""


def create_app(service: Service) -> ASGIApp:
    """Return the application of a running service."""
    access = Access(Tokens(read_tokens(service.config.security)), path=service.config.server.root_path or "/")
    modules = [
        module
        for module in (*API, realtime)
        if module not in (live, draft_events, realtime) or service.config.live.enabled
    ]
    application = Compression(_litestar(lambda: service, lambda: access, modules))
    return Guard(application, access, service.config, DIALECTS)


def openapi_json() -> bytes:
    """Return the OpenAPI document. Needs no running service."""
    return api_docs.document(_litestar(_no_service, lambda: Access(Tokens(()))).openapi_schema.to_schema())


def _no_service() -> Service:
    raise Unavailable


def _litestar(
    service: Callable[[], Service], access: Callable[[], Access], modules: Sequence[ModuleType] = API
) -> Litestar:
    return Litestar(
        route_handlers=[
            *(module.router for module in modules),
            *(router for dialect in DIALECTS for router in dialect.routers),
            login.router,
            page.router,
        ],
        dependencies={
            "service": Provide(service, use_cache=True, sync_to_thread=False),
            "access": Provide(access, use_cache=True, sync_to_thread=False),
        },
        exception_handlers=errors.handlers(DIALECTS),
        openapi_config=api_docs.config(),
        logging_config=None,
    )
