"""The settings over HTTP: shown with their source, changed where that is allowed. What is secret goes in and never out."""

from __future__ import annotations

from typing import Any

from litestar import Router, get, patch
from litestar.params import JSONBody

from whisper_service.config.runtime import Setting
from whisper_service.core.domain import Value
from whisper_service.web.api.jobs import Served
from whisper_service.web.http.errors import problems


class SettingList(Value, frozen=True):
    """Every setting, in the order of config.toml."""

    settings: list[Setting]


@get(
    "/",
    operation_id="getSettings",
    summary="Every setting, where its value comes from, and whether it can be changed here",
    description="Of a secret only `given` is told: whether there is one.",
    responses=problems(),
)
async def show(service: Served) -> SettingList:
    return SettingList(service.settings.list())


@patch(
    "/",
    operation_id="changeSettings",
    summary="Change settings",
    description=(
        "A JSON object of dotted keys and values; null takes a value back, to what config.toml says. Either all of them are changed"
        " or none. What the environment or the command line says is fixed. `effect` says whether a change shows now or after a restart."
    ),
    responses=problems(403, 422, 503),
)
async def change(service: Served, data: JSONBody[dict[str, Any]]) -> SettingList:
    await service.settings.change(data)
    return SettingList(service.settings.list())


router = Router("/api/settings", tags=["System"], route_handlers=[show, change])
