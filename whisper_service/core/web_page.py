"""Tell a web page from a recording."""

from __future__ import annotations

import re
from typing import Final

HEAD_BYTES: Final = 4096
"""So many bytes are enough for `is_web_page`, unless a page begins with a long comment."""
_HTML: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*|<\?xml.*?\?>\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)


def is_web_page(head: bytes) -> bool:
    """Return whether a file with these first bytes is a web page, whatever its name and its server call it."""
    return _HTML.match(head) is not None
