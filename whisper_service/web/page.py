"""The page and its parts: the built one from `static/dist`, or a plain one that says how to get it.

Every route of the page is the same file, so that a deep link loads like the front door. The names of the built assets carry
their content, so they may be kept for ever; the page itself is asked for again each time and answered by its ETag.
"""

from __future__ import annotations

import hashlib
import mimetypes
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

POLICY: Final = (
    "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
    "require-trusted-types-for 'script'; trusted-types vue hub"
)
"""Content-Security-Policy of the page: nothing from elsewhere, and no text becomes a script but through its two policies."""

ROUTES: Final = ("/", "/t/{job_id:str}", "/models", "/system", "/settings")
REMEDY: Final = (
    "The web page is not built, so / shows a plain one; everything else works. To get it, install a released wheel, which "
    "carries it, or install again where Node 20 or newer with npm and the npm registry (or a mirror, named by "
    "npm_config_registry) can be reached."
)
_PAGE_HEADERS: Final = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_FOR_NOW: Final = {"Cache-Control": "no-cache"}
_PLAIN: Final = frozenset({"app.css", "icon.svg"})
"""Parts of the plain page and of the documentation; beside them lie the sources of the built page, which are not handed out."""

mimetypes.add_type("text/javascript", ".js")  # a broken registry of Windows says text/plain, and no browser runs that


def remedy() -> str | None:
    """What to tell the operator at the start; None if the page is there."""
    return None if _built().is_file() else REMEDY


def ui_version() -> str | None:
    """Changes with every other build of the page, so that an open one can tell that it is out of date; None: not built."""
    return _version(_built().read_bytes()) if _built().is_file() else None


async def page(request: Incoming) -> ASGIApp:
    """The page, whatever its address. Behind a proxy that puts the service elsewhere, its parts are there too."""
    html = await to_thread.run_sync(_read)
    root = str(request.scope.get("root_path", "")).rstrip("/").encode()
    html = html.replace(b'="./assets/', b'="/static/dist/assets/').replace(b'="/', b'="%b/' % root)
    return FileResponse(html, "text/html; charset=utf-8", f'"{_version(html)}"', _PAGE_HEADERS)


async def part(file: FromPath[Path]) -> ASGIApp:
    """A stylesheet, a script or a picture. Raises `NotFound`."""
    name = file.as_posix().lstrip("/")
    root = resource("static")
    path = (root / name).resolve()
    built = path.is_relative_to((root / "dist").resolve()) and not path.name.startswith(".")
    if not (built or name in _PLAIN) or not path.is_file():
        raise NotFound(
            f"There is no part of the page at /static/{name[:200]}.",
            hint="Reload the page: it may be from before an update.",
        )
    stat = path.stat()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    media_type = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    hashed = path.parent.name == "assets"
    return FileResponse(path, media_type, f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"', _FOR_EVER if hashed else _FOR_NOW)


def _built() -> Path:
    return resource("static") / "dist" / "index.html"


def _read() -> bytes:
    built = _built()
    return (built if built.is_file() else resource("static") / "index.html").read_bytes()


def _version(html: bytes) -> str:
    return hashlib.sha256(html).hexdigest()[:16]


_BOTH: Final = ("GET", "HEAD")
router = Router(
    "/",
    include_in_schema=False,
    route_handlers=[
        HTTPRouteHandler(list(ROUTES), http_method=_BOTH)(page),
        HTTPRouteHandler("/static/{file:path}", http_method=_BOTH)(part),
    ],
)
