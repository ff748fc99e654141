"""The API's door: who calls, may they, how often; then the operation; and every fault as problem details."""

import asyncio
import errno
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from esp.app import App
from esp.entry.api import docs, idempotency
from esp.entry.api.body import Bodies
from esp.entry.api.call import Call, etag_of
from esp.entry.api.openapi import document
from esp.entry.api.operation import Operation, Operations, arguments
from esp.entry.api.problems import Problem
from esp.entry.api.rates import KeyRates
from esp.entry.api.shapes import read_json, read_query
from esp.entry.api.visitor import address_of
from esp.errors import (
    ConflictError,
    ContentError,
    DependencyError,
    InputError,
    MerpatiError,
    NotFoundError,
    TookTooLongError,
)
from esp.flows.credentials import Keyring
from esp.flows.relay import Relay
from esp.model.ids import new_public_id
from esp.model.relay import Credential

log = structlog.get_logger()

PREFIX: Final = "/api"
VERSION: Final = "/v1"
REQUEST_ID: Final = web.RequestKey("request_id", str)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
    # Whatever a browser is made to show of an answer, nothing in it runs.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Door:
    """Everything requests have in common. One a process."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.keys = Keyring(app)
        self.relay = Relay(app)
        self.rates = KeyRates()
        self.bodies = Bodies()

    async def admit(self, request: web.Request, secret: str) -> tuple[Credential, dict[str, str]]:
        """Whose key ``secret`` is, and the rate's header fields. Raises Problem: unauthenticated, or rate."""
        credential = await self.keys.key(secret, address_of(request)) if secret.isascii() else None
        if credential is None:
            raise Problem("unauthenticated", headers={"WWW-Authenticate": 'Bearer realm="merpati"'})
        wait, fields = self.rates.take(credential.id, self.app.clock.monotonic())
        if wait:
            raise Problem("rate", headers={"Retry-After": str(math.ceil(wait)), **fields})
        return credential, fields

    def handler(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The operation as aiohttp calls it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            credential, fields = await self.admit(request, bearer_of(request))
            if not credential.may(operation.scope):
                raise Problem("scope", f"This key lacks the scope {operation.scope}.", headers=fields)
            async with self.bodies.read(request, operation.largest) as octets:
                call = Call(self.app, self.relay, credential, request, request[REQUEST_ID], headers=dict(fields))
                response = await self._once(operation, call, octets)
            for name, value in call.headers.items():
                response.headers[name] = value
            return response

        return handle

    async def _once(self, operation: Operation, call: Call, octets: bytes) -> web.Response:
        call.idempotency_key = idempotency.key_of(call.request) if operation.method == "POST" else ""
        if not call.idempotency_key:
            return await _run(operation, call, octets)
        digest = idempotency.digest_of(call.request, octets)
        return await idempotency.once(
            self.app, call.workspace_id, call.idempotency_key, digest, lambda: _run(operation, call, octets))


async def _run(operation: Operation, call: Call, octets: bytes) -> web.Response:
    """Validate, do, and put the answer into words."""
    request = call.request
    given: dict[str, Any] = {}
    if operation.query:
        given["query"] = read_query(operation.query, _query(request))
    elif request.query_string:
        _refuse_query(request)
    if operation.body:
        if request.content_type != "application/json":
            raise Problem("media-type")
        given["body"] = read_json(operation.body, octets)
    elif octets.strip() not in (b"", b"{}"):
        raise Problem("invalid", "This takes no body.")
    answer = await operation.handler(call, *arguments(operation, request.match_info), **given)
    return _response(operation, call, answer)


def _response(operation: Operation, call: Call, answer: BaseModel | None) -> web.Response:
    if answer is None:
        return web.Response(status=operation.status)
    body = answer.model_dump_json(by_alias=True).encode()
    response = web.Response(body=body, status=operation.status, content_type="application/json")
    if operation.tagged:
        tag = etag_of(body)
        response.headers["ETag"] = tag
        if operation.method == "GET" and tag in call.request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers={"ETag": tag})
    return response


def _query(request: web.Request) -> dict[str, Any]:
    """The query by name. What is given twice becomes a list, which only a list's field takes."""
    found: dict[str, Any] = {}
    for name in request.query:
        values = request.query.getall(name)
        if any("\0" in value for value in values):
            raise Problem("invalid", f"{name}: NUL is not allowed.", ((name, "NUL is not allowed."),))
        found[name] = values if len(values) > 1 else values[0]
    return found


def _refuse_query(request: web.Request) -> None:
    name = next(iter(request.query), "")
    if name:
        raise Problem("invalid", f"{name}: There is no such parameter.", ((name, "There is no such parameter."),))


def bearer_of(request: web.Request) -> str:
    """The token of Authorization: Bearer (RFC 6750 section 2.1), or ''."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


# ---- faults ----------------------------------------------------------------------------------------------------------


async def problem_of(app: App, error: BaseException) -> Problem:
    """Any exception as what a client should read; what is ours to mend is logged, and its text stays here."""
    match error:
        case Problem():
            return error
        case web.HTTPException():
            return _of_http(error)
        case NotFoundError():
            return Problem("not-found", str(error))
        case ConflictError():
            return Problem("conflict", str(error))
        case InputError():
            return Problem("invalid", str(error), tuple(error.problems.items()))
        case ContentError():
            return Problem("invalid", str(error))
        case TookTooLongError() | DependencyError():
            log.warning("the api cannot answer", reason=str(error))
            return Problem("unavailable", str(error) if isinstance(error, TookTooLongError) else "",
                           headers={"Retry-After": "5"})
        case MerpatiError():
            return Problem("conflict", str(error))
    log.error("an api request failed", exc_info=error)
    if getattr(error, "errno", None) == errno.ENOSPC or "disk is full" in str(error):
        return Problem("full", headers={"Retry-After": "60"})
    try:
        await asyncio.wait_for(app.store.check(), 5)
    except (MerpatiError, TimeoutError):
        return Problem("unavailable", headers={"Retry-After": "5"})
    return Problem("internal")


def _of_http(error: web.HTTPException) -> Problem:
    if error.status == 404:
        return Problem("not-found", "There is nothing at this address.")
    if isinstance(error, web.HTTPMethodNotAllowed):
        return Problem("method", headers={"Allow": ", ".join(sorted(error.allowed_methods))})
    if error.status == 413:
        return Problem("too-large")
    return Problem("malformed", error.reason)


Words = Callable[[Problem, str], web.StreamResponse]


def _guard(app: App, foreign: Sequence[tuple[str, Words]]) -> Any:
    """Every answer has the same headers, and every fault the shape of its API (``foreign``: prefix, how it speaks)."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = new_public_id()
        try:
            response = await handler(request)
        except (asyncio.CancelledError, ConnectionResetError):
            raise
        except Exception as error:
            problem = await problem_of(app, error)
            response = _spoken(problem, request, request_id, foreign)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = request_id
        return response

    return guard


def _spoken(
    problem: Problem, request: web.Request, request_id: str, foreign: Sequence[tuple[str, Words]],
) -> web.StreamResponse:
    for prefix, words in foreign:
        if request.path.startswith(PREFIX + prefix):
            response = words(problem, request_id)
            response.headers.update(problem.headers)
            return response
    return problem.response(request_id)


def build(app: App, groups: Sequence[Operations], foreign: Sequence["ForeignApi"] = ()) -> web.Application:
    """The API as an application to be mounted at ``PREFIX``."""
    door = Door(app)
    api = web.Application(middlewares=[_guard(app, [(one.prefix, one.words) for one in foreign])])
    for group in groups:
        for operation in group.all:
            handler = door.handler(operation)
            if operation.method == "GET":
                api.router.add_get(VERSION + operation.path, handler)  # HEAD too
            else:
                api.router.add_route(operation.method, VERSION + operation.path, handler)
    spec = document(groups, app.settings.public_url + PREFIX + VERSION)
    octets, page = orjson.dumps(spec), docs.page(spec).encode()

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=octets, content_type="application/json", headers={"Access-Control-Allow-Origin": "*"})

    async def read(_request: web.Request) -> web.Response:
        return web.Response(body=page, content_type="text/html", charset="utf-8",
                            headers={"Content-Security-Policy": docs.POLICY})

    async def style(_request: web.Request) -> web.Response:
        return web.Response(text=docs.STYLE, content_type="text/css")

    api.router.add_get(f"{VERSION}/openapi.json", openapi)
    api.router.add_get(f"{VERSION}/docs", read)
    api.router.add_get(f"{VERSION}/docs.css", style)
    for one in foreign:
        one.mount(api.router, door)

    async def close(_api: web.Application) -> None:
        await door.relay.close()

    api.on_cleanup.append(close)
    return api


class ForeignApi:
    """Another provider's API, as its libraries speak it: where it lies, how it says what is wrong, and its paths."""

    prefix: str = ""

    def words(self, problem: Problem, request_id: str) -> web.StreamResponse:
        raise NotImplementedError

    def mount(self, router: web.UrlDispatcher, door: Door) -> None:
        raise NotImplementedError
