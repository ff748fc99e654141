"""How people come onto a list and off it again: asked at a door, answered by a mail, done once it is confirmed.

A door only records what was asked, in one transaction that looks nobody up: so it takes as long and says the same for
those who are known and those who are not. ``answer_new`` decides afterwards.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import structlog

from esp.app import App
from esp.audience.permission import fold_address, network_of
from esp.flows.erasure import forgive
from esp.flows.providers import providers_of
from esp.flows.signup_letters import Letterhead, answer, confirmation, consent_wording, welcome
from esp.model.contact import SubscriptionState
from esp.model.permission import OptIn, SignupAction, SignupChannel, SignupOutcome, SignupState
from esp.ports.contacts import STANDARD_FIELDS, NewContact
from esp.ports.domains import SendingDomain
from esp.ports.signup import Count, NewMessage, PublicList, Signup, SignupRequest, Standing, Witness
from esp.wire.addresses import Address, parse_address
from esp.wire.tokens import Claims, Purpose

log = structlog.get_logger()

WAKES: Final = "signups"  # coordination topic: a request was recorded
OUTBOX: Final = "outbox"
BATCH: Final = 50
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_MESSAGES_KEPT: Final = timedelta(days=30)
_REMEMBERED: Final = timedelta(minutes=1)
_MOST_REMEMBERED: Final = 10_000
_ON: Final = SubscriptionState.SUBSCRIBED.value
_OFF: Final = SubscriptionState.UNSUBSCRIBED.value


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for at a door: for which lists, in which language, from where, and whether work proves it."""

    action: SignupAction
    address: Address
    lists: tuple[PublicList, ...]
    fields: Mapping[str, Any]
    language: str
    brand: str
    channel: SignupChannel
    source: str
    ip: str
    user_agent: str
    proven: bool


class Confirmed(StrEnum):
    """What came of a confirmation."""

    DONE = "done"
    AGAIN = "again"  # it was confirmed before
    OVER = "over"  # too late, or nothing of it is left


# ---- the door --------------------------------------------------------------------------------------------------------


class Spent:
    """Bounds that were reached a moment ago: a flood is turned away from memory and costs the database nothing."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, datetime] = OrderedDict()
        self._missed: Counter[tuple[int, int]] = Counter()

    def holds(self, bounds: Sequence[Count], now: datetime) -> bool:
        """Whether one of ``bounds`` is known to be reached."""
        return any(self._until.get(bound.key, now) > now for bound in bounds)

    def add(self, bound: Count, now: datetime) -> None:
        """Remember it for a while; its window may be over sooner than it says."""
        self._until[bound.key] = min(bound.until, now + _REMEMBERED)
        self._until.move_to_end(bound.key)
        while len(self._until) > _MOST_REMEMBERED:
            self._until.popitem(last=False)

    def miss(self, workspace_id: int, list_ids: Iterable[int]) -> None:
        """Note that a request to join was turned away from memory; the next one that is looked at tallies it."""
        self._missed.update((workspace_id, list_id) for list_id in list_ids)

    def missed(self) -> Counter[tuple[int, int]]:
        """What was noted since this was asked last, by workspace and list."""
        noted, self._missed = self._missed, Counter()
        return noted


async def request(app: App, asked: Asked, spent: Spent | None = None) -> bool:
    """Record what was asked, within every bound. False where one is reached; nobody outside may see the difference."""
    now = app.clock.now()
    workspace_id = asked.lists[0].workspace_id
    bounds = _bounds(app, workspace_id, asked, now)
    if spent is not None and spent.holds(bounds, now):
        if asked.action is SignupAction.SUBSCRIBE:
            spent.miss(workspace_id, [one.id for one in asked.lists])
        return False
    over = await app.store.signups.record(
        SignupRequest(
            workspace_id, asked.action, asked.address.text, asked.address.key, asked.address.domain, asked.language,
            {one.id: consent_wording(one, asked.brand, asked.language) for one in asked.lists}, asked.fields,
            asked.channel, asked.source, asked.ip, asked.user_agent, asked.proven, now,
            now + app.settings.signup.keep_unconfirmed,
        ),
        bounds, spent.missed() if spent is not None else None,
    )
    if over is None:
        await app.coordination.wake(WAKES)
        return True
    log.warning("sign-up over its bounds", workspace=workspace_id, network=network_of(asked.ip))
    if spent is not None:
        spent.add(over, now)
    return False


def _bounds(app: App, workspace_id: int, asked: Asked, now: datetime) -> tuple[Count, ...]:
    """The narrow ones first: a robot that has used up its address adds to nobody else's count."""
    bounds, tokens = app.settings.signup, app.tokens
    found = []
    if asked.ip:
        found += [
            Count(tokens.fingerprint("ip", asked.ip), now + _HOUR, bounds.per_ip_an_hour),
            Count(tokens.fingerprint("network", network_of(asked.ip)), now + _HOUR, bounds.per_network_an_hour),
        ]
    place = f"{workspace_id}:{asked.address.domain}"
    return (
        *found,
        Count(tokens.fingerprint("address", fold_address(asked.address.key)), now + _DAY, bounds.per_address_a_day),
        Count(tokens.fingerprint("domain", place), now + _HOUR, bounds.per_domain_an_hour),
        Count(tokens.fingerprint("workspace", str(workspace_id)), now + _HOUR, bounds.per_workspace_an_hour),
    )


def one_mail_a_day(app: App, email_key: str, now: datetime) -> Count:
    """The bound that ends list bombing: one confirmation for a mailbox in a day, whatever lists and workspaces ask."""
    return Count(app.tokens.fingerprint("confirmation", fold_address(email_key)), now + _DAY, 1)


# ---- the answer ------------------------------------------------------------------------------------------------------


async def answer_new(app: App) -> bool:
    """Look at what the doors recorded; True where more waits. A crash in between loses and repeats nothing."""
    waiting = await app.store.signups.new(BATCH)
    if not waiting:
        return False
    providers = await providers_of(app, {signup.domain for signup in waiting})
    failed = [signup for signup in waiting if not await _answered(app, signup, providers[signup.domain])]
    for signup in failed:
        if not await _answered(app, signup, providers[signup.domain]):
            # It must not stand in front of everybody else's for ever; a store that is away raises here too.
            await app.store.signups.settle(
                signup, SignupState.HELD, "failed", app.clock.now(), SignupOutcome.FAILED)
    await app.coordination.wake(OUTBOX)
    return len(waiting) == BATCH


async def _answered(app: App, signup: Signup, provider: str) -> bool:
    try:
        await _answer(app, signup, provider)
    except Exception as problem:  # its kind only: what a database says of an error quotes the request
        log.error("signup not answered", signup=signup.id, error=type(problem).__name__)
        return False
    return True


async def _answer(app: App, signup: Signup, provider: str) -> None:
    now = app.clock.now()
    store = app.store.signups
    lists = await _lists(app, signup.workspace_id, signup.list_ids)
    standing = await store.standing(signup, now)
    domain = await _domain(app, signup.workspace_id, lists)
    if not lists or domain is None or standing.suppressed:
        outcome = SignupOutcome.SUPPRESSED if standing.suppressed else SignupOutcome.NO_SENDER
        await store.settle(
            signup, SignupState.HELD, standing.suppressed or "nothing to send from", now, outcome)
        return
    head = await _letterhead(app, signup, lists[0], domain, provider, standing)
    if signup.action is SignupAction.UNSUBSCRIBE:
        if not any(standing.subscriptions.get(one.id, _OFF) != _OFF for one in lists):
            await store.settle(signup, SignupState.DONE, "not subscribed", now)
            if await store.count([one_mail_a_day(app, signup.email_key, now)], now):
                await store.send(answer(head, "not_on", ""), now)
            return
        await store.ask(signup, None, _please_confirm(app, signup, head, lists), Witness(""), now,
                        [one_mail_a_day(app, signup.email_key, now)])
        return
    if not _must_confirm(signup, lists, standing):
        row = _contact(signup, standing, signup.fields)
        await store.apply(signup, row, signup.list_ids, _witness(signup), SignupState.DONE,
                          _welcomes(head, lists, standing), now)
        return
    # Until it is confirmed, nothing of what a stranger typed gets near the contact but the address itself.
    await store.ask(signup, _contact(signup, standing, {}), _please_confirm(app, signup, head, lists),
                    _witness(signup), now, [one_mail_a_day(app, signup.email_key, now)])


def _must_confirm(signup: Signup, lists: Sequence[PublicList], standing: Standing) -> bool:
    """Whether a mail must ask first: always where opt-in is double, and whenever there is more doubt than usual.

    More doubt: the sender of a mail can be forged, a form sent without the proof of work may be a robot's, and who has
    left once comes back by their own confirmed will only.
    """
    return (
        signup.channel is SignupChannel.MAIL or not signup.proven
        or any(one.signup.opt_in is OptIn.DOUBLE or standing.subscriptions.get(one.id) == _OFF for one in lists)
    )


def _please_confirm(app: App, signup: Signup, head: Letterhead, lists: Sequence[PublicList]) -> NewMessage:
    until = int(signup.expires_at.timestamp())
    token = app.tokens.sign(Purpose.CONFIRM, signup.workspace_id, signup.id, until)
    mailbox = app.tokens.confirm_mailbox(signup.workspace_id, signup.id, until)
    return confirmation(
        head, signup.action.value, lists, f"{app.settings.public_url}/s/-/confirm/{token}",
        f"{mailbox}@{head.domain.bounce_domain}", max(1, app.settings.signup.keep_unconfirmed.days))


async def _lists(app: App, workspace_id: int, list_ids: Collection[int]) -> list[PublicList]:
    known = {one.id: one for one in await app.store.signups.list_signups(workspace_id)}
    return [known[list_id] for list_id in list_ids if list_id in known]


async def _domain(app: App, workspace_id: int, lists: Sequence[PublicList]) -> SendingDomain | None:
    """The domain that the lists' mails come from: theirs, else a verified one, else any."""
    domains = await app.store.domains.all(workspace_id)
    chosen = next((one.signup.domain_id for one in lists if one.signup.domain_id is not None), None)
    return min(domains, key=lambda it: (it.id != chosen, it.verified_at is None, it.id), default=None)


async def _letterhead(
    app: App, signup: Signup, first: PublicList, domain: SendingDomain, provider: str, standing: Standing,
) -> Letterhead:
    pages = await app.store.signups.public_pages(signup.workspace_id)
    return Letterhead(pages, domain, first, parse_address(signup.email), provider, standing.contact_id,
                      first.signup.language or signup.language, app.clock.now())


def _contact(signup: Signup, standing: Standing, fields: Mapping[str, Any]) -> NewContact:
    standard = {name: str(value) for name, value in fields.items() if name in STANDARD_FIELDS}
    if not standing.language:
        standard.setdefault("language", signup.language)
    own = {name: value for name, value in fields.items() if name not in STANDARD_FIELDS}
    return NewContact(signup.email, signup.email_key, signup.domain, standard, own)


def _witness(signup: Signup) -> Witness:
    return Witness(f"{signup.channel}: {signup.source}" if signup.source else signup.channel.value, signup.ip,
                   signup.user_agent)


def _welcomes(head: Letterhead, lists: Sequence[PublicList], standing: Standing) -> list[NewMessage]:
    return [
        welcome(Letterhead(head.pages, head.domain, one, head.address, head.provider, head.contact_id,
                           one.signup.language or head.language, head.now))
        for one in lists if one.signup.welcome and standing.subscriptions.get(one.id) != _ON
    ]


# ---- the confirmation ------------------------------------------------------------------------------------------------


async def waiting(app: App, claims: Claims) -> tuple[Signup, list[PublicList]] | None:
    """The request that a valid confirmation token names, with its lists; None where it is over."""
    if claims.delivery_id < app.clock.now().timestamp():
        return None
    signup = await app.store.signups.signup(claims.workspace_id, claims.campaign_id)
    if signup is None or signup.state not in (SignupState.ASKED, SignupState.NEW, SignupState.CONFIRMED):
        return None
    return signup, await _lists(app, signup.workspace_id, signup.list_ids)


async def confirm(app: App, claims: Claims, list_ids: Collection[int] | None, witness: Witness) -> Confirmed:
    """Do what was asked. ``list_ids`` are those that stayed ticked, None for all; ``claims`` of a valid token."""
    found = await waiting(app, claims)
    if found is None:
        return Confirmed.OVER
    signup, lists = found
    if signup.state is SignupState.CONFIRMED:
        return Confirmed.AGAIN
    now = app.clock.now()
    chosen = [one for one in lists if list_ids is None or one.id in list_ids]
    standing = await app.store.signups.standing(signup, now)
    if not chosen or (signup.action is SignupAction.UNSUBSCRIBE and standing.contact_id is None):
        return Confirmed.OVER
    mails: list[NewMessage] = []
    if signup.action is SignupAction.SUBSCRIBE and any(one.signup.welcome for one in chosen):
        domain = await _domain(app, signup.workspace_id, chosen)
        if domain is not None and not standing.suppressed:
            providers = await providers_of(app, [signup.domain])
            head = await _letterhead(app, signup, chosen[0], domain, providers[signup.domain], standing)
            mails = _welcomes(head, chosen, standing)
    fields = signup.fields if signup.action is SignupAction.SUBSCRIBE else {}
    done = await app.store.signups.apply(
        signup, _contact(signup, standing, fields), [one.id for one in chosen], witness, SignupState.CONFIRMED, mails,
        now)
    if done and signup.action is SignupAction.SUBSCRIBE:
        await forgive(app, signup.workspace_id, signup.email_key)
    if not done:  # somebody pressed twice, or added a list at this very moment
        again = await app.store.signups.signup(signup.workspace_id, signup.id)
        return Confirmed.AGAIN if again and again.state is SignupState.CONFIRMED else Confirmed.OVER
    if mails:
        await app.coordination.wake(OUTBOX)
    return Confirmed.DONE


# ---- upkeep ----------------------------------------------------------------------------------------------------------


async def expire_old(app: App) -> bool:
    """Requests that nobody confirmed in time leave nothing behind; True where more waits."""
    return await app.store.signups.expire(app.clock.now(), BATCH) == BATCH


async def forget_old(app: App) -> bool:
    """What is over, counted out or long sent goes; the consents keep the facts. True where more waits."""
    now = app.clock.now()
    return await app.store.signups.forget(now - _DAY, now - _MESSAGES_KEPT, now, 1000) > 0

