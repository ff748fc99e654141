"""Sending domains: keys made, the DNS records to publish, and whether the world sees them."""

import asyncio
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import dkim

from esp.app import App
from esp.errors import InputError
from esp.model.content import SigningKey
from esp.ports.domains import NewKey, SendingDomain
from esp.ports.network import DnsError, Resolver
from esp.settings import Settings
from esp.wire.addresses import AddressError, parse_domain
from esp.wire.dkim import ED25519, RSA, body_hash, dns_record, generate_key, signer_for


class RecordState(StrEnum):
    """What the check found at one name."""

    UNCHECKED = "unchecked"
    FOUND = "found"
    MISSING = "missing"
    DIFFERS = "differs"
    UNKNOWN = "unknown"  # DNS did not answer: neither good nor bad


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """One record to publish. ``required`` ones must be found before the domain counts as ready."""

    purpose: str
    type: str
    name: str
    value: str
    required: bool
    why: str


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """What stands at the record's name now; ``found`` are the values as published, ``advice`` is one sentence."""

    purpose: str
    state: RecordState
    found: tuple[str, ...] = ()
    advice: str = ""


async def add_domain(app: App, workspace_id: int, name: str) -> SendingDomain:
    """Add a sending domain with an RSA-2048 and an Ed25519 key. Raises InputError or ConflictError."""
    try:
        name = parse_domain(name.strip().rstrip("."))
    except AddressError:
        raise InputError("The domain cannot be used.", {
            "name": "Write the domain alone, such as example.com, without https:// and without @."}) from None
    # Selectors carry a random part, so that a key is never published at a name where resolvers remember another one.
    stamp = f"{app.clock.now():%y%m}{secrets.token_hex(2)}"
    keys = await asyncio.gather(
        asyncio.to_thread(_new_key, f"m{stamp}r", RSA), asyncio.to_thread(_new_key, f"m{stamp}e", ED25519))
    return await app.store.domains.add(workspace_id, name, keys, app.clock.now())


def _new_key(selector: str, algorithm: str) -> NewKey:
    pem, record = generate_key(algorithm)
    return NewKey(selector, algorithm, pem.decode(), record.partition("p=")[2])


def mail_host(settings: Settings, domain: SendingDomain) -> str:
    """The name this server goes by in mail: EHLO's, else the public URL's, else ``mail.`` under the domain."""
    for name in (settings.delivery.hello_name, urlsplit(settings.public_url).hostname or ""):
        if "." in name and not _is_address(name):
            return name.lower()
    return f"mail.{domain.name}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


async def records(app: App, workspace_id: int, domain: SendingDomain) -> tuple[DnsRecord, ...]:
    """Everything to publish for this domain, in the order in which it is best done."""
    keys = await app.store.domains.signing_keys(workspace_id, domain.id)
    return expected_records(domain, keys, mail_host(app.settings, domain))


def expected_records(domain: SendingDomain, keys: Sequence[SigningKey], host: str) -> tuple[DnsRecord, ...]:
    """The records of a domain that sends through ``host``. Pure."""
    found = []
    for key in keys:
        name, value = dns_record(key)
        rsa = key.algorithm == RSA
        found.append(DnsRecord(
            "DKIM" if rsa else "DKIM, second key", "TXT", name, value, rsa,
            "Proves that a mail is yours and arrived unchanged. Gmail, Yahoo and Outlook ask for it." if rsa
            else "A shorter, newer signature beside the first. Some providers check it already."))
    return (
        *found,
        DnsRecord("SPF", "TXT", domain.bounce_domain, f"v=spf1 a:{host} ~all", True,
                  "Names this server as one that may send with your return address."),
        DnsRecord("Return path", "MX", domain.bounce_domain, f"10 {host}", True,
                  "Brings bounces back here, so that dead addresses are found and left alone."),
        DnsRecord("DMARC", "TXT", f"_dmarc.{domain.name}", "v=DMARC1; p=none;", True,
                  "Tells receivers what to do with mail that only pretends to be yours. Start with none."),
        DnsRecord("Mail server", "A", host, "the public address of this server", False,
                  "The address behind the name above. Its reverse name (PTR) must lead back to it."),
        DnsRecord("Links", "CNAME", domain.tracking_host, host, False,
                  "Lets links in your mails carry your own name instead of the server's."),
    )


async def check_domain(app: App, workspace_id: int, public_id: str) -> SendingDomain:
    """Look every record up, judge it, and keep the result with the domain. Raises NotFoundError."""
    domain = await app.store.domains.get(workspace_id, public_id)
    keys = await app.store.domains.signing_keys(workspace_id, domain.id)
    expected = expected_records(domain, keys, mail_host(app.settings, domain))
    by_name = {dns_record(key)[0]: key for key in keys}
    now = app.clock.now()
    checks = await asyncio.gather(*(
        _check_record(app.resolver, record, by_name.get(record.name), now) for record in expected))
    ready = all(
        check.state is RecordState.FOUND for record, check in zip(expected, checks, strict=True) if record.required)
    result = {"records": [asdict(check) for check in checks]}
    await app.store.domains.record_check(workspace_id, domain.id, result, now, verified=ready)
    return await app.store.domains.get(workspace_id, public_id)


def checks_of(domain: SendingDomain) -> Mapping[str, RecordCheck]:
    """The last check's results by purpose; empty before the first."""
    rows: list[dict[str, Any]] = (domain.check_result or {}).get("records", [])
    return {
        row["purpose"]: RecordCheck(row["purpose"], RecordState(row["state"]), tuple(row["found"]), row["advice"])
        for row in rows
    }


async def _check_record(
    resolver: Resolver, record: DnsRecord, key: SigningKey | None, now: datetime
) -> RecordCheck:
    try:
        found = await _published(resolver, record)
    except DnsError as error:
        if not error.permanent:
            return _check(record, RecordState.UNKNOWN, (), "DNS did not answer, so nothing is known.")
        found = ()
    if key is not None:
        return _judge_dkim(record, key, found, now)
    return _JUDGES[record.purpose](record, found)


async def _published(resolver: Resolver, record: DnsRecord) -> tuple[str, ...]:
    match record.type:
        case "TXT":
            return await resolver.txt(record.name)
        case "MX":
            hosts = await resolver.mx(record.name)
            return tuple(f"{host.preference} {host.name.rstrip('.').lower()}" for host in hosts)
        case "CNAME":
            target = await resolver.cname(record.name)
            return (target.rstrip(".").lower(),) if target else ()
        case _:
            return await resolver.addresses(record.name)


def _check(record: DnsRecord, state: RecordState, found: tuple[str, ...], advice: str = "") -> RecordCheck:
    return RecordCheck(record.purpose, state, found, advice)


def _missing(record: DnsRecord) -> RecordCheck:
    return _check(record, RecordState.MISSING, ())


def _doubled(record: DnsRecord, found: tuple[str, ...]) -> RecordCheck:
    # RFC 6376 section 3.6.2.2, RFC 7208 section 4.5, RFC 9989: more than one record is an error or undefined.
    advice = "More than one such record stands here, and receivers then take none of them. Keep one."
    return _check(record, RecordState.DIFFERS, found, advice)


def _judge_dkim(record: DnsRecord, key: SigningKey, found: tuple[str, ...], now: datetime) -> RecordCheck:
    """Sign a probe with our key and let dkimpy verify it with what is published: the very thing a receiver does."""
    ours = tuple(text for text in found if "p=" in text.replace(" ", ""))
    if not ours:
        return _missing(record)
    if len(ours) > 1:
        return _doubled(record, ours)
    if _probe_verifies(key, ours[0], now):
        return _check(record, RecordState.FOUND, ours, "A test signature was verified with the published key.")
    return _check(record, RecordState.DIFFERS, ours, (
        "A test signature does not match this key. Compare the values; some panels cut them at 255 signs."))


def _probe_verifies(key: SigningKey, published: str, now: datetime) -> bool:
    body = b"A probe.\r\n"
    headers = [
        (b"From", f"probe@{key.domain}".encode()), (b"Subject", b"Probe"),
        (b"Date", f"{now:%a, %d %b %Y %H:%M:%S} +0000".encode()),
    ]
    signature = signer_for(key).sign(headers, body_hash(body), int(now.timestamp()))
    message = signature + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n" + body
    try:
        return bool(dkim.verify(message, dnsfunc=lambda _name, timeout=5: published.encode()))
    except dkim.DKIMException:
        return False


def _judge_spf(record: DnsRecord, found: tuple[str, ...]) -> RecordCheck:
    policies = tuple(text for text in found if text.lower().split(" ", 1)[0] == "v=spf1")
    if not policies:
        return _missing(record)
    if len(policies) > 1:
        return _doubled(record, policies)
    mechanism = record.value.split()[1]
    if {mechanism, f"+{mechanism}"} & set(policies[0].lower().split()):
        return _check(record, RecordState.FOUND, policies)
    return _check(
        record, RecordState.DIFFERS, policies, "Add the part that begins with a: to this record, before its all.")


def _judge_mx(record: DnsRecord, found: tuple[str, ...]) -> RecordCheck:
    wanted = record.value.split()[1]
    # A resolver answers with the domain itself where it has an address and no MX; that is no MX of ours.
    others = tuple(text for text in found if text.split()[1] != record.name)
    if any(text.split()[1] == wanted for text in others):
        return _check(record, RecordState.FOUND, others)
    if not others:
        return _missing(record)
    return _check(record, RecordState.DIFFERS, others, "Mail for this name goes elsewhere, so bounces get lost.")


def _judge_dmarc(record: DnsRecord, found: tuple[str, ...]) -> RecordCheck:
    policies = tuple(text for text in found if text.replace(" ", "").lower().startswith("v=dmarc1"))
    if not policies:
        return _missing(record)
    if len(policies) > 1:
        return _doubled(record, policies)
    return _check(record, RecordState.FOUND, policies)  # whatever its policy: that is the owner's decision


def _judge_address(record: DnsRecord, found: tuple[str, ...]) -> RecordCheck:
    return _check(record, RecordState.FOUND, found) if found else _missing(record)


def _judge_cname(record: DnsRecord, found: tuple[str, ...]) -> RecordCheck:
    if not found:
        return _missing(record)
    if found[0] == record.value:
        return _check(record, RecordState.FOUND, found)
    return _check(record, RecordState.DIFFERS, found, "This name leads elsewhere.")


_JUDGES: Final = {
    "SPF": _judge_spf, "Return path": _judge_mx, "DMARC": _judge_dmarc,
    "Mail server": _judge_address, "Links": _judge_cname,
}
