"""Forms as libraries post them: urlencoded, or multipart with files (RFC 7578), read from a body that is bounded."""

import re
from dataclasses import dataclass, field
from email.message import Message
from typing import Final
from urllib.parse import parse_qsl

from esp.entry.api.problems import Problem

_MOST: Final = 2500
_BOUNDARY: Final = re.compile(r'boundary="?([^";]{1,70})"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    name: str
    media_type: str
    octets: bytes = field(repr=False)


@dataclass(slots=True)
class Fields:
    """Values and files by name, in their order."""

    values: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[File]] = field(default_factory=dict)


def read_form(content_type: str, body: bytes) -> Fields:
    """Raises Problem where it is neither kind of form, or not readable."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(body)
    boundary = _BOUNDARY.search(content_type)
    if kind != "multipart/form-data" or boundary is None:
        raise Problem("media-type", "Send multipart/form-data or application/x-www-form-urlencoded.")
    return _multipart(body, boundary[1].encode("latin-1", "replace"))


def _urlencoded(body: bytes) -> Fields:
    found = Fields()
    try:
        for name, value in parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST, errors="strict"):
            found.values.setdefault(name, []).append(value)
    except ValueError:
        raise Problem("malformed", "The form is not UTF-8, or has too many fields.") from None
    return found


def _multipart(body: bytes, boundary: bytes) -> Fields:
    found = Fields()
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(parts) < 2 or not parts[-1].startswith(b"--") or len(parts) > _MOST:
        raise Problem("malformed", "The multipart form has no end, or too many parts.")
    for part in parts[1:-1]:
        head, separator, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not separator:
            raise Problem("malformed", "A part of the multipart form has no header.")
        headers = Message()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            headers[name.strip()] = value.strip()
        named = headers.get_param("name", header="content-disposition")
        file_name = headers.get_filename()
        if not isinstance(named, str):
            raise Problem("malformed", "A part of the multipart form has no name.")
        if file_name is not None:
            found.files.setdefault(named, []).append(
                File(file_name, headers.get("content-type", ""), content))
        else:
            try:
                found.values.setdefault(named, []).append(content.decode())
            except UnicodeDecodeError:
                raise Problem("malformed", f"{named[:60]}: Expected UTF-8.") from None
    return found
