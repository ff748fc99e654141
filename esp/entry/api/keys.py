"""API keys over HTTP: made, listed, revoked. A key makes no key that may do more than itself."""

from typing import Annotated, Final

from pydantic import Field

from esp.entry.api.call import Call
from esp.entry.api.operation import Operations
from esp.entry.api.problems import Problem
from esp.entry.api.shapes import Given, Line, Moment, Told
from esp.errors import NotFoundError
from esp.flows.accounts import Passwords
from esp.flows.credentials import create_credential
from esp.model.relay import Credential, CredentialKind, Scope

operations: Final = Operations("Keys", "Keys that apps call with. Each belongs to one workspace.")


class KeyIn(Given):
    name: Annotated[Line, Field(min_length=1, max_length=100, examples=["Web shop"])]
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=20)]
    stream: Annotated[str, Field(max_length=60)] = ""
    domains: Annotated[list[str], Field(max_length=50)] = Field(default_factory=list)
    networks: Annotated[list[str], Field(max_length=50)] = Field(default_factory=list)
    rate: Annotated[str, Field(max_length=40, description="Messages at most, such as 100/min.")] = ""
    sandbox: Annotated[bool, Field(description="Accepts everything and delivers nothing.")] = False


class KeyOut(Told):
    id: str
    name: str
    prefix: str = Field(description="How the key begins.")
    scopes: list[Scope]
    stream: str
    domains: list[str]
    networks: list[str]
    rate: str
    sandbox: bool
    created_at: Moment
    last_used_at: Moment | None
    revoked_at: Moment | None


class NewKeyOut(KeyOut):
    key: str = Field(description="The key itself. It is shown this once and kept nowhere.")


class Keys(Told):
    data: list[KeyOut]


def _members(it: Credential) -> dict[str, object]:
    return {"id": it.public_id, "name": it.name, "prefix": it.login, "scopes": sorted(it.scopes), "stream": it.stream,
            "domains": list(it.domains), "networks": list(it.networks), "rate": it.rate, "sandbox": it.sandbox,
            "created_at": it.created_at, "last_used_at": it.last_used_at, "revoked_at": it.revoked_at}


@operations.get("/keys", Scope.KEYS_WRITE)
async def list_keys(call: Call) -> Keys:
    """All keys, revoked ones too, newest first."""
    return Keys(data=[KeyOut.model_validate(_members(one)) for one in
                      await call.app.store.relay.credentials(call.workspace_id, CredentialKind.API)])


@operations.post("/keys", Scope.KEYS_WRITE, status=201)
async def create_key(call: Call, body: KeyIn) -> NewKeyOut:
    """Make a key. It is shown this once."""
    own = call.credential
    beyond = [scope for scope in body.scopes if not own.may(scope)]
    if beyond:
        raise Problem("scope", f"This key lacks {beyond[0]}, so it cannot give it to another.")
    narrower = (not own.sandbox or body.sandbox) and (not own.stream or body.stream == own.stream) and (
        not own.domains or (body.domains and set(body.domains) <= set(own.domains))) and not own.networks
    if not narrower:
        raise Problem("scope", "This key is restricted, and would make one that is less so.")
    if call.idempotency_key:
        # The answer would have to be kept for a day, and with it the key.
        raise Problem("invalid", "Idempotency-Key: Not here: a key is shown once and kept nowhere.",
                      (("Idempotency-Key", "Not here: a key is shown once and kept nowhere."),))
    made, secret = await create_credential(
        call.app, Passwords(), call.workspace_id, CredentialKind.API, body.name, scopes=body.scopes,
        stream=body.stream, domains=body.domains, networks=body.networks, rate=body.rate, sandbox=body.sandbox,
        created_by=call.actor)
    return NewKeyOut.model_validate({**_members(made), "key": secret})


@operations.delete("/keys/{key}", Scope.KEYS_WRITE)
async def revoke_key(call: Call, key: str) -> None:
    """Revoke a key. Doors notice within seconds."""
    known = {one.public_id for one in await call.app.store.relay.credentials(call.workspace_id, CredentialKind.API)}
    if key not in known:
        raise NotFoundError("There is no such key.")
    await call.app.store.relay.revoke_credential(call.workspace_id, key, call.app.clock.now())
