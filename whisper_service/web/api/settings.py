"""Show and change the settings. A secret can be set and is never shown."""

from __future__ import annotations

from typing import Any

from litestar import Router, get, patch
from litestar.params import JSONBody

from whisper_service.config.active import Setting
from whisper_service.core.domain import Value
from whisper_service.web.http.errors import problems
from whisper_service.web.http.parameters import Served


class SettingList(Value, frozen=True):
    """Every setting, in the order of config.toml."""

    settings: list[Setting]


@get(
    "/",
    operation_id="getSettings",
    summary="Every setting, where its value comes from, and whether it can be changed here",
    description="A secret has no value here; `given` says whether it is set.",
    responses=problems(),
)
async def show(service: Served) -> SettingList:
    return SettingList(service.settings())


@patch(
    "/",
    operation_id="changeSettings",
    summary="Change settings",
    description=(
        "A JSON object of dotted keys and values. null goes back to the value of config.toml. All of them are changed, "
        "or none. What the environment or the command line sets cannot be changed. `effect` says whether a change "
        "takes effect now or after a restart."
    ),
    responses=problems(403, 422, 503),
)
async def change(service: Served, data: JSONBody[dict[str, Any]]) -> SettingList:
    await service.change_settings(data)
    return SettingList(service.settings())


router = Router("/api/settings", tags=["System"], route_handlers=[show, change])
