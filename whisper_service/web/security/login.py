"""Logging in with a browser: the token once, then a cookie that scripts cannot read and other sites do not send.

`/login` is a page without scripts, for when the service's own page is not there or has no form for it.
"""

from __future__ import annotations

from html import escape
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

import msgspec
from litestar import Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from whisper_service.core.domain import Value
from whisper_service.core.errors import InvalidRequest, ServiceError
from whisper_service.web.http.errors import Incoming, problems, status_of
from whisper_service.web.security.auth import COOKIE, SESSION_S, Access

MOST: Final = 4096
"""Bytes of a login."""
FORM: Final = "application/x-www-form-urlencoded"
Doorkeeper = NamedDependency[SkipValidation[Access]]


class Login(Value, frozen=True):
    """What a browser sends."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class AccessInfo(Value, frozen=True):
    """How the one who asks stands with the service."""

    token_required: bool  # false: everybody who reaches the service may come in
    logged_in: bool  # with the cookie that came with this request


@get("/api/login", operation_id="getLogin", summary="Is a token wanted, and am I logged in?", responses=problems())
async def access(request: Incoming, door: Doorkeeper) -> AccessInfo:
    return AccessInfo(bool(door.keys), door.knows(request.headers.getall("cookie", [])))


@post(
    "/api/login",
    operation_id="login",
    summary="Exchange the token for a cookie",
    description="For browsers. The cookie is HttpOnly and SameSite=Strict; programs send `Authorization: Bearer TOKEN` instead.",
    status_code=204,
    request_max_body_size=MOST,
    responses=problems(403, 413, 422),
)
async def login(request: Incoming, door: Doorkeeper) -> Response[None]:
    body = await request.body()
    is_form = request.content_type[0] == FORM
    try:
        token = _token(body, is_form=is_form)
        if door.keys:
            door.try_token(request.client.host if request.client else "", token)
    except ServiceError as error:
        if not is_form:
            raise
        page: Response[str] = _page(error.message, status_of(error))
        return page  # type: ignore[return-value]
    answer: Response[Any] = Response(None, status_code=204)
    if is_form:
        answer = Response("", status_code=303, headers={"Location": "/"}, media_type="text/plain")
    if door.keys:
        answer.set_cookie(_cookie(request, door, door.keys.session(token), SESSION_S))
    return answer


@post("/api/logout", operation_id="logout", summary="Forget the cookie", status_code=204, responses=problems(403))
async def logout(request: Incoming, door: Doorkeeper) -> Response[None]:
    answer: Response[None] = Response(None, status_code=204)
    answer.set_cookie(_cookie(request, door, "", 0))
    return answer


@get("/login", include_in_schema=False)
async def login_page() -> Response[str]:
    return _page("", 200)


def _token(body: bytes, *, is_form: bool) -> str:
    """The token of a login. What is wrong with it is told without quoting it."""
    if is_form:
        given = parse_qs(body.decode("latin-1"), max_num_fields=8).get("token", [""])[0].strip()
        if not given:
            raise InvalidRequest("The token is missing.", field="token")
        return given
    try:
        return msgspec.json.decode(body, type=Login).token.strip()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest('Send {"token": "..."} as JSON.', field="token") from error


def _cookie(request: Incoming, door: Access, value: str, seconds: int) -> Cookie:
    secure = request.scope["scheme"] == "https"
    return Cookie(COOKIE, door.path, value, max_age=seconds, httponly=True, samesite="strict", secure=secure)


def _page(said: str, status: int) -> Response[str]:
    notice = f'<p role="alert">{escape(said)}</p>' if said else ""
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>whisper_service</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        '<link rel="icon" href="static/icon.svg"><link rel="stylesheet" href="static/app.css">'
        f'<body><main><h1>whisper_service</h1>{notice}<form method="post" action="api/login">'
        '<label>Token / <span lang="zh">访问令牌</span> '
        '<input type="password" name="token" autocomplete="current-password" required maxlength="1024"></label> '
        '<button>Log in / <span lang="zh">登录</span></button></form></main></body></html>'
    )
    return Response(text, status_code=status, media_type="text/html")


router = Router("/", tags=["Access"], route_handlers=[access, login, logout, login_page])
