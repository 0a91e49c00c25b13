"""Log in with a browser: it sends the token once, then a cookie that scripts cannot read and other sites do not send.

`/login` is a page without scripts, for when the service's own page is missing.
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
from whisper_service.web.http.parameters import Served
from whisper_service.web.security.auth import COOKIE, SESSION_S, Access

MAX_BODY: Final = 4096
"""Bytes of a login."""
MAX_TOKEN: Final = 1024
FORM: Final = "application/x-www-form-urlencoded"
TEXTS: Final = {"en": ("Token", "Log in"), "zh": ("访问令牌", "登录")}
"""The words of the page by language: the label of the field, and the button. The page shows all languages."""
AccessControl = NamedDependency[SkipValidation[Access]]


class Login(Value, frozen=True):
    """What a browser sends."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TOKEN)]


class AccessInfo(Value, frozen=True):
    """Whether the client may use the service."""

    token_required: bool  # false: every client may
    logged_in: bool  # the cookie of this request is a session


@get("/api/login", operation_id="getLogin", summary="Is a token required, and am I logged in?", responses=problems())
async def login_state(request: Incoming, access: AccessControl) -> AccessInfo:
    return AccessInfo(bool(access.tokens), access.has_session(request.headers.getall("cookie", [])))


@post(
    "/api/login",
    operation_id="login",
    summary="Exchange the token for a cookie",
    description=(
        "For browsers. The cookie is HttpOnly and SameSite=Strict. Programs send `Authorization: Bearer TOKEN` instead."
    ),
    status_code=204,
    request_max_body_size=MAX_BODY,
    responses=problems(403, 413, 422),
)
async def login(request: Incoming, access: AccessControl, service: Served) -> Response[None]:
    body = await request.body()
    is_form = request.content_type[0] == FORM
    try:
        token = _token(body, is_form=is_form)
        if access.tokens:
            access.check_token(request.client.host if request.client else "", token)
    except ServiceError as error:
        if not is_form:
            raise
        page: Response[str] = _page(service.config.page.title, error.message, status_of(error))
        return page  # type: ignore[return-value]
    answer: Response[Any] = Response(None, status_code=204)
    if is_form:
        answer = Response("", status_code=303, headers={"Location": "/"}, media_type="text/plain")
    if access.tokens:
        answer.set_cookie(_cookie(request, access, access.tokens.new_session(token), SESSION_S))
    return answer


@post("/api/logout", operation_id="logout", summary="Delete the cookie", status_code=204, responses=problems(403))
async def logout(request: Incoming, access: AccessControl) -> Response[None]:
    answer: Response[None] = Response(None, status_code=204)
    answer.set_cookie(_cookie(request, access, "", 0))
    return answer


@get("/login", include_in_schema=False)
async def login_page(service: Served) -> Response[str]:
    return _page(service.config.page.title, "", 200)


def _token(body: bytes, *, is_form: bool) -> str:
    """Return the token of a login. Raises `InvalidRequest`, which does not quote it."""
    if is_form:
        given = parse_qs(body.decode("latin-1"), max_num_fields=8).get("token", [""])[0].strip()
        if not given:
            raise InvalidRequest("The token is missing.", field="token")
        return given
    try:
        return msgspec.json.decode(body, type=Login).token.strip()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest('Send {"token": "..."} as JSON.', field="token") from error


def _cookie(request: Incoming, access: Access, value: str, seconds: int) -> Cookie:
    secure = request.scope["scheme"] == "https"
    return Cookie(COOKIE, access.path, value, max_age=seconds, httponly=True, samesite="strict", secure=secure)


def _page(title: str, error: str, status: int) -> Response[str]:
    notice = f'<p role="alert">{escape(error)}</p>' if error else ""
    label, button = (
        " / ".join(f'<span lang="{language}">{texts[place]}</span>' for language, texts in TEXTS.items())
        for place in (0, 1)
    )
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<title>{escape(title)}</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<link rel="icon" href="static/icon.svg"><link rel="stylesheet" href="static/app.css">'
        f'<body><main><h1>{escape(title)}</h1>{notice}<form method="post" action="api/login"><label>{label} '
        '<input type="password" name="token" autocomplete="current-password" required '
        f'maxlength="{MAX_TOKEN}"></label> <button>{button}</button></form></main></body></html>'
    )
    return Response(text, status_code=status, media_type="text/html")


router = Router("/", tags=["Access"], route_handlers=[login_state, login, logout, login_page])
