"""The hygiene report: domains asked of DNS, people gone over in chunks, duplicates gathered; then stored to be read."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Final

import structlog

from esp.app import App
from esp.audience.hygiene import folded, is_disposable, is_role, suggestions
from esp.errors import InputError, LeaseLostError, MerpatiError
from esp.model.shipped import shipped
from esp.ports.network import DnsError
from esp.ports.people_hygiene import Address, Finding, HygieneReport, NewFinding

WAKES: Final = "hygiene"
_STALE: Final = timedelta(seconds=60)
_FRESH: Final = timedelta(days=7)
_CHUNK: Final = 5000
_PAGE: Final = 20_000
_DOMAINS: Final = 20_000  # asked at most for one report, those with the most people first; the rest in the next one
_AT_ONCE: Final = 50
_PATIENCE: Final = 3.0  # seconds a name
_PHASES: Final = ("", "domains", "people", "duplicates")
# A name server that knows none of these (one of a closed network, a captive portal) is believed about no other either:
# else everybody would be found at a dead domain, and one press would suppress them all.
_SURELY_ALIVE: Final = ("gmail.com", "outlook.com", "yahoo.com")
DEFAULTS: Final[Mapping[str, int]] = {"silent_months": 6, "silent_mails": 5}

_log = structlog.get_logger()


@cache
def disposable_domains() -> frozenset[str]:
    """``config/disposable.txt``."""
    lines = (line.strip().lower() for line in shipped("disposable.txt").splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


async def begin(
    app: App, workspace_id: int, silent_months: int = DEFAULTS["silent_months"],
    silent_mails: int = DEFAULTS["silent_mails"],
) -> HygieneReport:
    """Queue a report; silent is who got ``silent_mails`` in so many months and opened none. Raises InputError."""
    if not 1 <= silent_months <= 120 or not 1 <= silent_mails <= 1000:
        raise InputError("The report was not started.", {
            "silent_months": "Between 1 and 120 months, and between 1 and 1,000 mails."})
    made = await app.store.hygiene.create(
        workspace_id, {"silent_months": silent_months, "silent_mails": silent_mails}, app.clock.now())
    await app.coordination.wake(WAKES)
    return made


async def run_hygiene(app: App) -> bool:
    """Make one report to its end, new or left behind by a process that died; True where there was one."""
    now = app.clock.now()
    it = await app.store.hygiene.claim(now, now - _STALE)
    if it is None:
        return False
    try:
        await _run(app, it)
    except LeaseLostError:
        pass  # somebody took us for dead and goes on with it
    except asyncio.CancelledError:
        await asyncio.shield(app.store.hygiene.release(it))
        raise
    except MerpatiError as error:
        await app.store.hygiene.fail(it, str(error), app.clock.now())
    except Exception:
        _log.exception("hygiene report stumbled", report_id=it.id)
        await app.store.hygiene.stumble(
            it, "Something unexpected happened; the server's log says what.", app.clock.now())
    return True


async def _run(app: App, it: HygieneReport) -> None:
    store = app.store.hygiene
    domains = await store.domains(it.workspace_id)
    if it.phase in ("", "domains"):
        it = await _ask_dns(app, await store.keep(it, (), 0, 0, app.clock.now(), phase="domains"), domains)
        it = await store.keep(it, (), 0, 0, app.clock.now(), phase="people")
    if it.phase == "people":
        it = await _look_at_people(app, it, await _judges(app, domains))
        it = await store.keep(it, (), 0, it.seen, app.clock.now(), phase="duplicates")
    for kind in (Finding.SAME_ADDRESS, Finding.SAME_PERSON):
        it = await _gather(app, it, kind)
    await store.keep(it, (), it.cursor, it.seen, app.clock.now(), finished=True)


# ---- domains


async def _ask_dns(app: App, it: HygieneReport, domains: Mapping[str, int]) -> HygieneReport:
    """Ask for those that nobody asked for lately; a resolver that answers nothing is not asked on."""
    if app.settings.delivery.smart_host:
        return it  # the mail goes there; names may mean nothing here
    gate = asyncio.Semaphore(_AT_ONCE)
    if not await _is_trusted(app, gate):
        return it
    busiest = sorted(domains, key=lambda domain: -domains[domain])
    known = await app.store.hygiene.checked(busiest)
    stale = app.clock.now() - _FRESH
    asked = [one for one in busiest if one not in known or known[one].checked_at < stale][:_DOMAINS]
    for start in range(0, len(asked), 500):
        some = asked[start:start + 500]
        answers = await asyncio.gather(*(_is_dead(app, domain, gate) for domain in some))
        found = {domain: dead for domain, dead in zip(some, answers, strict=True) if dead is not None}
        await app.store.hygiene.remember_checked(found, app.clock.now())
        it = await app.store.hygiene.keep(it, (), start + len(some), 0, app.clock.now())
        if not found:
            break
    return it


async def _is_trusted(app: App, gate: asyncio.Semaphore) -> bool:
    answers = await asyncio.gather(*(_is_dead(app, domain, gate) for domain in _SURELY_ALIVE))
    found = {domain: dead for domain, dead in zip(_SURELY_ALIVE, answers, strict=True) if dead is not None}
    await app.store.hygiene.remember_checked(found, app.clock.now())
    return not all(found.values()) or not found


async def knows_the_world(app: App) -> bool:
    """Whether the name server knew one of the largest mail domains when it was asked last, or was not asked."""
    known = await app.store.hygiene.checked(_SURELY_ALIVE)
    return not known or any(it.dead_since is None for it in known.values())


async def _is_dead(app: App, domain: str, gate: asyncio.Semaphore) -> bool | None:
    """Whether DNS says for good that nobody takes mail there; None where it says nothing."""
    async with gate:
        try:
            async with asyncio.timeout(_PATIENCE):
                await app.resolver.mx(domain)
        except DnsError as error:
            return True if error.permanent else None
        except TimeoutError:
            return None
    return False


# ---- people


@dataclass(frozen=True, slots=True)
class _Judges:
    """Everything a single address is judged by."""

    meant: Mapping[str, str]
    dead: frozenset[str]
    disposable: Callable[[str], bool]

    def findings(self, address: Address) -> list[NewFinding]:
        found = []
        if address.domain in self.meant:
            found.append(NewFinding(Finding.MISTYPED, address.id, address.domain, self.meant[address.domain]))
        if address.domain in self.dead:
            found.append(NewFinding(Finding.DEAD_DOMAIN, address.id, address.domain))
        if self.disposable(address.domain):
            found.append(NewFinding(Finding.DISPOSABLE, address.id, address.domain))
        if is_role(address.email_key):
            found.append(NewFinding(Finding.ROLE, address.id))
        return found


async def _judges(app: App, domains: Mapping[str, int]) -> _Judges:
    meant = await asyncio.to_thread(suggestions, domains)
    checked = await app.store.hygiene.checked(list(domains))
    dead = frozenset(domain for domain, it in checked.items() if it.dead_since is not None)
    if not await knows_the_world(app):
        dead = frozenset()
    throw_away = disposable_domains()
    listed = frozenset(domain for domain in domains if is_disposable(domain, throw_away))
    return _Judges(meant, dead, listed.__contains__)


async def _look_at_people(app: App, it: HygieneReport, judges: _Judges) -> HygieneReport:
    store = app.store.hygiene
    since = app.clock.now() - timedelta(days=30 * int(it.options["silent_months"]))
    while addresses := await store.addresses(it.workspace_id, it.cursor, it.until, _CHUNK):
        first, last = addresses[0].id, addresses[-1].id
        quiet = await store.silent(it.workspace_id, first, last, since, int(it.options["silent_mails"]))
        findings = _judge(judges, addresses) + [NewFinding(Finding.SILENT, one) for one in quiet]
        it = await store.keep(it, findings, last, it.seen + len(addresses), app.clock.now())
    return it


def _judge(judges: _Judges, addresses: Sequence[Address]) -> list[NewFinding]:
    return [finding for address in addresses for finding in judges.findings(address)]


async def _gather(app: App, it: HygieneReport, kind: Finding) -> HygieneReport:
    after = ("", 0)
    while alike := await app.store.hygiene.duplicates(it.workspace_id, kind, after, _PAGE):
        for start in range(0, len(alike), _CHUNK):
            findings = [NewFinding(kind, contact_id, shared) for shared, contact_id in alike[start:start + _CHUNK]]
            it = await app.store.hygiene.keep(it, findings, it.cursor + len(findings), it.seen, app.clock.now())
        after = alike[-1]
    return it


def same_mailbox(one: str, other: str) -> bool:
    """Whether two addresses' keys name one Gmail mailbox."""
    return folded(one) == folded(other)
