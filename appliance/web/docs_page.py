"""The document as JSON, and a page to read it that needs no network.

The page's program comes from the installed wheel `flask_openapi3_redoc`, which carries a copy of
Redoc. The wheel is only located, never imported: it would want Flask.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import falcon

_PAGE = Path(__file__).parent / "pages" / "docs.html"
_REDOC = Path("templates", "redoc", "js", "redoc.standalone.js")
# Redoc makes its styles at run time and its search index in a worker made from a blob.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def find_redoc() -> Path | None:
    """The file of the installed Redoc, None if it is not installed."""
    package = importlib.util.find_spec("flask_openapi3_redoc")
    if package is None or not package.submodule_search_locations:
        return None
    file = Path(package.submodule_search_locations[0]) / _REDOC
    return file if file.is_file() else None


def install(app: "falcon.App[Any, Any]", document: dict[str, Any]) -> None:
    """Add /openapi.json, and /docs if Redoc is installed; whoever comes to / is sent there."""
    content = json.dumps(document, separators=(",", ":")).encode("utf-8")
    app.add_route("/openapi.json", _Content(content, falcon.MEDIA_JSON))
    redoc = find_redoc()
    if redoc is not None:
        app.add_route("/", _Redirect("/docs"))
        app.add_route("/docs", _Content(_PAGE.read_bytes(), "text/html; charset=utf-8"))
        app.add_route("/docs/redoc.js", _File(redoc, "text/javascript; charset=utf-8"))


class _Content:
    def __init__(self, content: bytes, media_type: str) -> None:
        self._content = content
        self._media_type = media_type

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = self._media_type
        resp.data = self._content
        _harden(resp)

    on_head = on_get


class _Redirect:
    def __init__(self, target: str) -> None:
        self._target = target

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = 302
        resp.location = self._target

    on_head = on_get


class _File:
    def __init__(self, file: Path, media_type: str) -> None:
        self._file = file
        self._media_type = media_type

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = self._media_type
        resp.cache_control = ["public", "max-age=3600"]
        resp.set_stream(self._file.open("rb"), self._file.stat().st_size)
        _harden(resp)

    on_head = on_get


def _harden(resp: falcon.Response) -> None:
    resp.set_header("Content-Security-Policy", _POLICY)
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Referrer-Policy", "no-referrer")
