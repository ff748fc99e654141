"""Sending domains over HTTP: added, the records to publish, and whether the world sees them."""

from typing import Annotated, Final

from pydantic import Field

from esp.entry.api.call import Call
from esp.entry.api.operation import Operations
from esp.entry.api.shapes import Given, Moment, Told
from esp.flows.domains import RecordState, add_domain, check_domain, checks_of, records
from esp.model.relay import Scope
from esp.ports.domains import SendingDomain

operations: Final = Operations("Domains", "Domains that mail is sent from. A path takes a domain's id or name.")


class DomainIn(Given):
    name: Annotated[str, Field(min_length=3, max_length=253, examples=["example.com"])]


class RecordOut(Told):
    purpose: str
    type: str
    name: str
    value: str
    required: bool
    state: RecordState
    advice: str


class DomainOut(Told):
    id: str
    name: str
    verified: bool
    created_at: Moment
    checked_at: Moment | None
    verified_at: Moment | None


class DomainDetail(DomainOut):
    records: list[RecordOut]


class Domains(Told):
    data: list[DomainOut]


def _brief(it: SendingDomain) -> DomainOut:
    return DomainOut(id=it.public_id, name=it.name, verified=it.verified_at is not None, created_at=it.created_at,
                     checked_at=it.checked_at, verified_at=it.verified_at)


async def _detail(call: Call, it: SendingDomain) -> DomainDetail:
    checks = checks_of(it)
    found = await records(call.app, call.workspace_id, it)
    return DomainDetail(**_brief(it).model_dump(), records=[
        RecordOut(purpose=one.purpose, type=one.type, name=one.name, value=one.value, required=one.required,
                  state=checks[one.purpose].state if one.purpose in checks else RecordState.UNCHECKED,
                  advice=checks[one.purpose].advice if one.purpose in checks else "") for one in found])


async def _found(call: Call, name: str) -> SendingDomain:
    by_name = await call.app.store.domains.by_name(call.workspace_id, name.lower()) if "." in name else None
    return by_name or await call.app.store.domains.get(call.workspace_id, name.replace("\0", ""))


@operations.get("/domains", Scope.DOMAINS_READ)
async def list_domains(call: Call) -> Domains:
    """All sending domains, oldest first."""
    return Domains(data=[_brief(one) for one in await call.app.store.domains.all(call.workspace_id)])


@operations.post("/domains", Scope.DOMAINS_WRITE, status=201)
async def create_domain(call: Call, body: DomainIn) -> DomainDetail:
    """Add a domain, with keys of its own. The answer holds the DNS records to publish."""
    return await _detail(call, await add_domain(call.app, call.workspace_id, body.name))


@operations.get("/domains/{domain}", Scope.DOMAINS_READ)
async def get_domain(call: Call, domain: str) -> DomainDetail:
    """One domain with its records, as they were last found."""
    return await _detail(call, await _found(call, domain))


@operations.post("/domains/{domain}/check", Scope.DOMAINS_WRITE)
async def check_domain_now(call: Call, domain: str) -> DomainDetail:
    """Look the records up now."""
    it = await _found(call, domain)
    return await _detail(call, await check_domain(call.app, call.workspace_id, it.public_id))


@operations.delete("/domains/{domain}", Scope.DOMAINS_WRITE)
async def delete_domain(call: Call, domain: str) -> None:
    """Forget a domain that no campaign uses."""
    await call.app.store.domains.remove(call.workspace_id, (await _found(call, domain)).id)
