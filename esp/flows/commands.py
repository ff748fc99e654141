"""Commands by mail to a list's addresses: each is a request like a form's, and answered by one mail a day at most.

Whoever forges a sender causes a mail that asks the forged person to confirm, and nothing else (RFC 3834 section 2 for
what is never answered; that is decided where the mail is recognised).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from esp.app import App
from esp.errors import TokenError
from esp.flows import signup as flow
from esp.flows.providers import providers_of
from esp.flows.signup_letters import Letterhead, answer
from esp.inbound.commands import Command, CommandAddress, command_addresses, command_of
from esp.inbound.recognise import Recognition
from esp.model.permission import SignupAction, SignupChannel
from esp.ports.mailroom import InboundKind, Outcome
from esp.ports.signup import Count, PublicList, Witness
from esp.wire.addresses import Address, AddressError, parse_address
from esp.wire.tokens import Claims, Purpose

_DAY: Final = timedelta(days=1)
_PEOPLE: Final = (InboundKind.CONFIRM, InboundKind.COMMAND)


@dataclass(frozen=True, slots=True)
class Commanded:
    """The list that a mail was sent to, and by which of its addresses."""

    one: PublicList
    address: CommandAddress
    to: str
    domain: str


async def find_list(app: App, local: str, domain: str) -> tuple[PublicList, CommandAddress] | None:
    """The list that ``local@domain`` is a command address of, in lower case; None where it is none."""
    for address in command_addresses(local):
        one = await app.store.signups.command_list(domain, address.name)
        if one is not None:
            return one, address
    return None


async def addressed_list(app: App, recipients: Iterable[str]) -> Commanded | None:
    """The first recipient that is a command address."""
    for recipient in recipients:
        local, _, domain = recipient.lower().rpartition("@")
        found = await find_list(app, local, domain) if local and local not in ("postmaster", "abuse") else None
        if found is not None:
            return Commanded(found[0], found[1], recipient, domain)
    return None


async def command(app: App, commanded: Commanded, found: Recognition) -> Outcome:
    """Do what the mail asks for as far as a mail may: record a request, or answer with help."""
    sender = _sender(found)
    if sender is None:
        return Outcome.FILED
    asks, token = command_of(commanded.address, found.subject)
    match asks:
        case Command.CONFIRM:
            try:
                claims = app.tokens.verify(Purpose.CONFIRM, token)
            except TokenError:
                return Outcome.UNTRUSTED
            return await confirm(app, claims, found)
        case Command.SUBSCRIBE | Command.UNSUBSCRIBE if asks is Command.UNSUBSCRIBE or commanded.one.signup.public:
            pages = await app.store.signups.public_pages(commanded.one.workspace_id)
            recorded = await flow.request(app, flow.Asked(
                SignupAction(asks.value), sender, (commanded.one,), {}, await _language(app, commanded.one),
                pages.brand, SignupChannel.MAIL, commanded.to[:200], "", "", proven=False))
            return Outcome.APPLIED if recorded else Outcome.UNCHANGED
        case _:
            return await _help(app, commanded, sender, found.message_id)


async def confirm(app: App, claims: Claims, found: Recognition) -> Outcome:
    """An answer to a confirmation confirms, where it comes from the very address that was asked."""
    sender = _sender(found)
    waiting = await flow.waiting(app, claims) if found.kind in _PEOPLE and sender is not None else None
    if waiting is None or sender is None:
        return Outcome.FILED
    if sender.key != waiting[0].email_key:
        return Outcome.UNTRUSTED
    result = await flow.confirm(app, claims, None, Witness("confirmed: mail"))
    return Outcome.APPLIED if result is flow.Confirmed.DONE else Outcome.UNCHANGED


async def _help(app: App, commanded: Commanded, sender: Address, message_id: str) -> Outcome:
    now = app.clock.now()
    key = app.tokens.fingerprint("answer", f"{commanded.one.id}:{sender.key}")
    bound = Count(key, now + _DAY, app.settings.signup.answers_a_day)
    domains = await app.store.domains.all(commanded.one.workspace_id)
    domain = next((it for it in domains if f".{commanded.domain}".endswith(f".{it.name}")), None)
    if domain is None or not await app.store.signups.count([bound], now):
        return Outcome.UNCHANGED
    workspace_id = commanded.one.workspace_id
    pages = await app.store.signups.public_pages(workspace_id)
    contact = await app.store.contacts.find(workspace_id, sender.key)
    providers = await providers_of(app, [sender.domain])
    head = Letterhead(pages, domain, commanded.one, sender, providers[sender.domain],
                      contact.id if contact else None, await _language(app, commanded.one), now)
    await app.store.signups.send(answer(head, "help", message_id), now)
    await app.coordination.wake(flow.OUTBOX)
    return Outcome.APPLIED


async def _language(app: App, one: PublicList) -> str:
    if one.signup.language:
        return one.signup.language
    return (await app.store.accounts.workspace(one.workspace_id)).language


def _sender(found: Recognition) -> Address | None:
    try:
        return parse_address(found.sender)
    except AddressError:
        return None
