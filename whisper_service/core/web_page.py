"""Tell from a recording what only leads to one: a web page, a feed, a list of pieces."""

from __future__ import annotations

import re
from typing import Final

HEAD_BYTES: Final = 4096
"""So many bytes are enough for `is_web_page`, unless a page begins with a long comment."""
_HTML: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*|<\?xml.*?\?>\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_LIST: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:#EXTM3U\b|(?:<!--.*?-->\s*|<\?.*?\?>\s*)*<(?:rss|feed|MPD)\b)", re.S
)


def is_web_page(head: bytes) -> bool:
    """Return whether a file with these first bytes is a web page, whatever its name and its server call it."""
    return _HTML.match(head) is not None


def is_list(head: bytes) -> bool:
    """Return whether a file with these first bytes is a feed, or a list of the pieces of a recording."""
    return _LIST.match(head) is not None
