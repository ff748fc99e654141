"""The fields of a small form or of a small JSON object, read within bounds; none of anything else."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
from aiohttp import web

_LONGEST: Final = 131_072  # some long texts in a script that takes nine octets a letter when it is posted
_PATIENCE: Final = 15.0
_MOST_FIELDS: Final = 1000  # a field may have 200 choices


@dataclass(frozen=True, slots=True)
class Fields:
    """Texts by name, as sent, without NUL; ``readable`` is False where what was sent is nothing that a form sends."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    readable: bool = True

    def one(self, name: str) -> str:
        """The first of this name, or empty."""
        found = self.values.get(name)
        return found[0] if found else ""

    def all(self, name: str) -> list[str]:
        return list(self.values.get(name, ()))


_UNREADABLE: Final = Fields(readable=False)


async def read_fields(request: web.Request) -> Fields:
    """What was posted; nothing where it is too much, too slow, or neither a form nor a JSON object."""
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for piece in request.content.iter_chunked(4096):
                body += piece
                if len(body) > _LONGEST:
                    return _UNREADABLE
    except TimeoutError:
        return _UNREADABLE
    if request.content_type == "application/json":
        return _from_json(bytes(body))
    if request.content_type != "application/x-www-form-urlencoded" or body.count(b"&") >= _MOST_FIELDS:
        return _UNREADABLE
    found = parse_qs(body.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)
    return Fields({name: [_plain(text) for text in texts] for name, texts in found.items()})


def _from_json(body: bytes) -> Fields:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _UNREADABLE
    if not isinstance(found, dict) or len(found) > _MOST_FIELDS:
        return _UNREADABLE
    return Fields({
        name: [_text(one) for one in (value if isinstance(value, list) else [value])] for name, value in found.items()
    })


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _plain(str(value)) if isinstance(value, str | int | float) else ""


def _plain(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()
