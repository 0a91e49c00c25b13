"""Write the header Content-Disposition (RFC 6266)."""

from __future__ import annotations

from urllib.parse import quote

from whisper_service.core.file_names import portable_name, portable_recording, stem_of


def content_disposition(kind: str, name: str) -> str:
    """Return the header for a file: its name in ASCII for old clients, and in full for all others."""
    name = portable_recording(name)
    ascii_name = "".join(c if " " <= c <= "~" and c not in '"\\%;' else "_" for c in name)
    return f"{kind}; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"


def transcript_disposition(recording: str, extension: str) -> str:
    """Return the header for the transcript of a recording with this name."""
    return content_disposition("attachment", portable_name(stem_of(recording), extension))


def without_charset(media_type: str) -> str:
    """Return a media type for the framework, which adds the character set to types of text itself."""
    return media_type.partition(";")[0] if media_type.startswith("text/") else media_type
