"""Operations: functions with typed parameters, from which requests are validated and the OpenAPI document is made."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, get_type_hints

from pydantic import BaseModel

from esp.entry.api.call import Call
from esp.model.relay import Scope

_PLACES: Final = re.compile(r"\{(\w+)[^}]*\}")
KIB: Final = 1024
SMALL: Final = 256 * KIB
LARGE: Final = 4 * 1024 * KIB

F = TypeVar("F", bound=Callable[..., Awaitable[BaseModel | None]])


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``body`` and ``query`` are the models of the parameters of these names; ``answer`` is the
    model of what is returned, None for an empty 204. ``largest`` bounds the body, in octets."""

    method: str
    path: str
    handler: Callable[..., Awaitable[BaseModel | None]]
    scope: Scope
    tag: str
    name: str
    summary: str
    description: str
    status: int
    largest: int
    places: tuple[str, ...]
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    answer: type[BaseModel] | None
    tagged: bool  # its answer has an ETag, and a change looks at If-Match


class Operations:
    """Collects a module's operations. A handler is ``async (call, <places of the path>, query=, body=) -> answer``."""

    def __init__(self, tag: str, about: str) -> None:
        self.tag = tag
        self.about = about
        self.all: list[Operation] = []

    def get(self, path: str, scope: Scope, *, tagged: bool = False) -> Callable[[F], F]:
        return self._add("GET", path, scope, 200, SMALL, tagged)

    def post(self, path: str, scope: Scope, *, status: int = 200, largest: int = SMALL) -> Callable[[F], F]:
        return self._add("POST", path, scope, status, largest, False)

    def put(self, path: str, scope: Scope, *, status: int = 200, largest: int = SMALL) -> Callable[[F], F]:
        return self._add("PUT", path, scope, status, largest, True)

    def patch(self, path: str, scope: Scope, *, largest: int = SMALL) -> Callable[[F], F]:
        return self._add("PATCH", path, scope, 200, largest, True)

    def delete(self, path: str, scope: Scope) -> Callable[[F], F]:
        return self._add("DELETE", path, scope, 204, SMALL, False)

    def _add(
        self, method: str, path: str, scope: Scope, status: int, largest: int, tagged: bool,
    ) -> Callable[[F], F]:
        def keep(handler: F) -> F:
            self.all.append(_described(self.tag, method, path, scope, status, largest, tagged, handler))
            return handler

        return keep


def _described(
    tag: str, method: str, path: str, scope: Scope, status: int, largest: int, tagged: bool,
    handler: Callable[..., Awaitable[BaseModel | None]],
) -> Operation:
    hints = get_type_hints(handler)
    summary, _, rest = inspect.cleandoc(handler.__doc__ or "").partition("\n\n")
    answer = hints.get("return")
    places = tuple(_PLACES.findall(path))
    assert list(inspect.signature(handler).parameters)[1:1 + len(places)] == list(places), (path, handler)
    assert hints.pop("call", Call) is Call
    return Operation(
        method, path, handler, scope, tag, handler.__name__, " ".join(summary.split()).rstrip("."), rest.strip(),
        status if answer not in (None, type(None)) else 204, largest, places, hints.get("body"), hints.get("query"),
        None if answer is type(None) else answer, tagged)


def arguments(operation: Operation, match: Mapping[str, str]) -> tuple[str, ...]:
    """The values of the path's places, in their order."""
    return tuple(match[name] for name in operation.places)
