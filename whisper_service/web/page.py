"""Serve the web page: the built one from `static/dist`, or a plain one that says how to get it.

Every address of the page answers with the same file, so that a link into the page works like "/". The name of a built
asset contains a hash of its content, so browsers may keep an asset forever. They ask for the page again each time; an
ETag answers if nothing changed.
"""

from __future__ import annotations

import hashlib
import mimetypes
from html import escape
from pathlib import Path
from typing import Final

from anyio import to_thread
from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from whisper_service.config.load import resource
from whisper_service.core.errors import NotFound
from whisper_service.web.http.errors import Incoming
from whisper_service.web.http.file_response import FileResponse
from whisper_service.web.http.parameters import Served
from whisper_service.web.security.guard import ASSET_ROUTE, PAGE_ROUTES

POLICY: Final = (
    "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'; require-trusted-types-for 'script'; trusted-types vue hub"
)
"""Content-Security-Policy of the page: nothing from other sites. Only two policies may make a script of text."""

ROUTES: Final = ("/", *PAGE_ROUTES)
NOT_BUILT: Final = (
    "The web page is not built, so / shows a plain one. Everything else works. To get the page, install a released"
    " wheel, which contains it. Or install again where Node 20 or newer with npm and the npm registry can be reached"
    " (or a mirror, named by npm_config_registry)."
)
_PAGE_HEADERS: Final = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_CHECK_EACH_TIME: Final = {"Cache-Control": "no-cache"}
_PLAIN: Final = frozenset({"app.css", "icon.svg"})
"""Assets of the plain page and of the documentation. The sources beside them are not served."""

mimetypes.add_type("text/javascript", ".js")  # the registry of Windows may say text/plain, which no browser runs


def missing_page() -> str | None:
    """Return what to tell the operator if the page is not built. None: it is."""
    return None if _built().is_file() else NOT_BUILT


def ui_version() -> str | None:
    """Return an identifier of the build, so that an open page notices that it is out of date. None: not built."""
    return _version(_built().read_bytes()) if _built().is_file() else None


async def show_page(request: Incoming, service: Served) -> ASGIApp:
    """Return the page with its title. Links to its assets get the path below which a proxy shows the service."""
    html = await to_thread.run_sync(_read)
    html = html.replace(b"<title>whisper_service</title>", _title(service.config.page.title))
    root = str(request.scope.get("root_path", "")).rstrip("/").encode()
    html = html.replace(b'="./assets/', b'="/static/dist/assets/').replace(b'="/', b'="%b/' % root)
    return FileResponse(html, "text/html; charset=utf-8", f'"{_version(html)}"', _PAGE_HEADERS)


async def show_asset(file: FromPath[Path]) -> ASGIApp:
    """Return a stylesheet, a script or a picture. Raises `NotFound`."""
    name = file.as_posix().lstrip("/")
    root = resource("static")
    path = (root / name).resolve()
    built = path.is_relative_to((root / "dist").resolve()) and not path.name.startswith(".")
    if not (built or name in _PLAIN) or not path.is_file():
        message = f"There is no part of the page at /static/{name[:200]}."
        raise NotFound(message, hint="Reload the page: it may be older than the service.")
    stat = path.stat()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    media_type = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    headers = _FOREVER if path.parent.name == "assets" else _CHECK_EACH_TIME
    return FileResponse(path, media_type, f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"', headers)


def _built() -> Path:
    return resource("static") / "dist" / "index.html"


def _title(text: str) -> bytes:
    return f"<title>{escape(text)}</title>".encode()


def _read() -> bytes:
    built = _built()
    return (built if built.is_file() else resource("static") / "index.html").read_bytes()


def _version(html: bytes) -> str:
    return hashlib.sha256(html).hexdigest()[:16]


router = Router(
    "/",
    include_in_schema=False,
    route_handlers=[
        HTTPRouteHandler(list(ROUTES), http_method=("GET", "HEAD"))(show_page),
        HTTPRouteHandler(ASSET_ROUTE, http_method=("GET", "HEAD"))(show_asset),
    ],
)
