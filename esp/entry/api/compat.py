"""What the APIs of other providers have in common here: a key, a body, strict fields, and our own relay behind."""

import base64
import binascii
import mimetypes
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, RootModel

from esp.app import App
from esp.entry.api import idempotency
from esp.entry.api.door import REQUEST_ID, Door
from esp.entry.api.messages import LARGEST_BODY, problem_of
from esp.entry.api.problems import Problem
from esp.entry.api.shapes import read_json
from esp.errors import InputError
from esp.flows.app_mail import Description, submission_of
from esp.model.relay import Accepted, Credential, Refused, Scope
from esp.render.app_mail import Attachment

M = TypeVar("M", bound=BaseModel)

_UNKNOWN: Final = "There is no such field"
_SEPARATED: Final = re.compile(r'(?:[^,"<]|"(?:[^"\\]|\\.)*"|<[^>]*>)+')


class Foreign(BaseModel):
    """Base of other providers' requests: types are theirs to be lax with, fields that we do not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ManyForeign(RootModel[list[M]]):
    pass


@dataclass(slots=True)
class Visit:
    """One request of another provider's library. ``number`` of a batch makes idempotency keys of its messages."""

    door: Door
    credential: Credential
    request: web.Request
    octets: bytes
    idempotency_key: str = ""

    @property
    def app(self) -> App:
        return self.door.app

    @property
    def workspace_id(self) -> int:
        return self.credential.workspace_id

    def read(self, model: type[M]) -> M:
        """The JSON body; what we do not know is refused by name and never left out in silence."""
        try:
            return read_json(model, self.octets)
        except Problem as problem:
            raise said_plainly(problem) from None

    async def send(self, descriptions: Sequence[Description | Problem]) -> list[Accepted | Problem]:
        """Each message accepted, or why not; what is a Problem already stays one."""
        found: list[Accepted | Problem] = []
        ready, places = [], []
        for number, one in enumerate(descriptions):
            if isinstance(one, Problem):
                found.append(one)
                continue
            if self.idempotency_key:
                mark = f"{self.idempotency_key} {number} {len(descriptions)}"
                one = replace(one, idempotency_key=f"http:{sha256(mark.encode()).hexdigest()}",
                              fingerprint=idempotency.digest_of(self.request, self.octets))
            try:
                ready.append(submission_of(one))
                places.append(number)
                found.append(Problem("internal"))  # replaced below
            except InputError as error:
                found.append(Problem("invalid", str(error), tuple(error.problems.items())))
        done = await self.door.relay.accept(self.workspace_id, ready, self.credential) if ready else []
        for number, outcome in zip(places, done, strict=True):
            found[number] = problem_of(outcome) if isinstance(outcome, Refused) else outcome
        return found

    def check(self, descriptions: Sequence[Description | Problem]) -> None:
        """Raise Problem for the first that cannot be written, before any is sent."""
        for number, one in enumerate(descriptions):
            if isinstance(one, Problem):
                raise one
            try:
                submission_of(one)
            except InputError as error:
                found = tuple((f"{number}.{name}", words) for name, words in error.problems.items())
                raise Problem("invalid", f"{found[0][0]}: {found[0][1]}", found) from None

    async def send_one(self, description: Description) -> Accepted:
        """The message accepted; raises Problem."""
        (outcome,) = await self.send([description])
        if isinstance(outcome, Problem):
            raise outcome
        return outcome


def said_plainly(problem: Problem) -> Problem:
    """An unknown field as their users need to hear it: it is not supported here, and nothing was sent."""
    unknown = [name for name, words in problem.errors if words.startswith(_UNKNOWN)]
    if unknown:
        problem.detail = f"{', '.join(unknown)}: not supported here. Nothing was sent."
    return problem


Handler = Callable[[Visit], Awaitable[web.Response]]


def route(
    door: Door, secret_of: Callable[[web.Request], str], scope: Scope, handler: Handler, *, keyed: bool = False,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """``handler`` behind our own door: key, scope, rate, body; ``keyed`` looks at Idempotency-Key."""

    async def handle(request: web.Request) -> web.StreamResponse:
        credential, fields = await door.admit(request, secret_of(request))
        if not credential.may(scope):
            raise Problem("scope", f"This key lacks the scope {scope}.")
        async with door.bodies.read(request, LARGEST_BODY) as octets:
            visit = Visit(door, credential, request, octets)
            if keyed:
                visit.idempotency_key = idempotency.key_of(request)
            if not visit.idempotency_key:
                response = await handler(visit)
            else:
                digest = idempotency.digest_of(request, octets)
                response = await idempotency.once(
                    door.app, visit.workspace_id, visit.idempotency_key, digest, lambda: handler(visit))
        response.headers.update(fields)
        response.headers["X-Request-Id"] = request[REQUEST_ID]
        return response

    return handle


def json(value: Any, status: int = 200, **headers: str) -> web.Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers=named)


def unsupported(field: str, why: str) -> Problem:
    """Something that the other provider does and we do not, or not so."""
    return Problem("invalid", f"{field}: {why} Nothing was sent.", ((field, why),))


def split_mailboxes(text: str) -> list[str]:
    """``a@b.example, "C, D" <c@d.example>`` as single mailboxes; commas in quotation marks stay."""
    return [found for part in _SEPARATED.findall(text) if (found := part.strip())]


def decoded(field: str, content: str) -> bytes:
    """Base64, with or without line ends; Problem where it is none."""
    try:
        return base64.b64decode(re.sub(r"\s", "", content), validate=True)
    except (binascii.Error, ValueError):
        raise unsupported(field, "Expected base64.") from None


def attachment(field: str, name: str, content: bytes, kind: str = "", content_id: str = "") -> Attachment:
    """A file; its type by its name where none is given. Content ids may come in brackets."""
    guessed = kind or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Attachment(name, guessed, content, content_id.removeprefix("cid:").strip("<>"))
