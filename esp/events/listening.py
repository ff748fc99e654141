"""What events say of one contact as a listener: opportunities, responses, score and hours; a fold without a database.

An opportunity is a mail that was delivered, numbered in the order in which the deliveries were recorded; a response is
one that a person opened or clicked, once a mail. A mail reported undeliverable after all was no opportunity.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final

from esp.events.score import Score
from esp.model.delivery import EventType
from esp.model.listening import CLICK_WEIGHT, HALF_LIFE, OPEN_WEIGHT

HOURS: Final = 24
WEEKDAYS: Final = 7
_SLOTS: Final = HOURS + WEEKDAYS
_FULL: Final = 255


@dataclass(frozen=True, slots=True)
class Fact:
    """An event as far as it matters here; ``human``: not by a proxy or a scanner; ``tracked``: of a mail that can tell
    of a response."""

    id: int
    type: EventType
    at: datetime
    delivery_id: int
    human: bool = True
    tracked: bool = True


@dataclass(slots=True)
class Heard:
    """What is kept of one contact. ``recency`` is the number of the last opportunity responded to, 0 where none;
    ``times`` counts responses by hour of the day and weekday (Monday first) of theirs."""

    opportunities: int = 0
    responses: int = 0
    recency: int = 0
    opens: int = 0
    clicks: int = 0
    complaints: int = 0
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    last_opened_at: datetime | None = None
    last_clicked_at: datetime | None = None
    score: Score = field(default_factory=Score)
    times: bytes | None = None
    waiting: bool = False


@dataclass(slots=True)
class MailFacts:
    """What is known of one mail: the ids of the events that say so, None where none does."""

    delivered: int | None = None
    bounced: int | None = None
    opened: Fact | None = None
    clicked: Fact | None = None
    tracked: bool = True

    @property
    def response(self) -> Fact | None:
        """The first by a person, of whatever kind."""
        firsts = [one for one in (self.opened, self.clicked) if one is not None]
        return min(firsts, key=lambda one: one.id, default=None)

    @property
    def opportunity(self) -> int | None:
        """The event that made it one; None where it was none."""
        return self.delivered if self.bounced is None and self.tracked else None


def by_mail(facts: Iterable[Fact]) -> dict[int, MailFacts]:
    """Facts in the order of their ids, gathered by delivery."""
    mails: dict[int, MailFacts] = {}
    for fact in facts:
        mail = mails.setdefault(fact.delivery_id, MailFacts())
        if fact.type is EventType.DELIVERED:
            mail.delivered, mail.tracked = mail.delivered or fact.id, fact.tracked
        elif fact.type is EventType.BOUNCED:
            mail.bounced = fact.id
        elif fact.type is EventType.OPENED and fact.human:
            mail.opened = mail.opened or fact
        elif fact.type is EventType.CLICKED and fact.human:
            mail.clicked = mail.clicked or fact
    return mails


def hear(facts: Sequence[Fact], zone: tzinfo) -> Heard:
    """Everything about one contact from all of its events, in the order of their ids."""
    mails = by_mail(facts)
    heard = Heard()
    offered = sorted((mail.opportunity, key) for key, mail in mails.items() if mail.opportunity is not None)
    place = {key: number for number, (_, key) in enumerate(offered, 1)}
    sent = {opportunity for opportunity, _ in offered}
    heard.opportunities = len(offered)
    for fact in facts:
        if fact.type is EventType.DELIVERED and fact.id in sent:
            saw(heard, "sent", fact.at)
        elif fact.type is EventType.OPENED and fact.human:
            saw(heard, "opened", fact.at)
        elif fact.type is EventType.CLICKED and fact.human:
            saw(heard, "clicked", fact.at)
        elif fact.type is EventType.COMPLAINED:
            heard.complaints += 1
    answered = [(mail.response, key, mail) for key, mail in mails.items()]
    for response, key, mail in sorted(answered, key=lambda one: one[0].id if one[0] else 0):
        count(heard, mail.opened, mail.clicked)
        if response and key in place:
            respond(heard, place[key], response.at, zone)
        elif response and mail.delivered is None:
            heard.waiting = True
    return heard


def saw(heard: Heard, what: str, at: datetime) -> None:
    """Move the last time of ``what`` (sent, opened, clicked) on, and the first time of sent back."""
    before = getattr(heard, f"last_{what}_at")
    if before is None or at > before:
        setattr(heard, f"last_{what}_at", at)
    if what == "sent" and (heard.first_sent_at is None or at < heard.first_sent_at):
        heard.first_sent_at = at


def count(heard: Heard, opened: Fact | None, clicked: Fact | None) -> None:
    """A mail's first open and first click, either of which may be None."""
    if opened:
        heard.opens += 1
        heard.score = heard.score.add(OPEN_WEIGHT, opened.at.timestamp(), HALF_LIFE)
    if clicked:
        heard.clicks += 1
        heard.score = heard.score.add(CLICK_WEIGHT, clicked.at.timestamp(), HALF_LIFE)


def respond(heard: Heard, opportunity: int, at: datetime, zone: tzinfo) -> None:
    """The first response to the ``opportunity``-th mail, where the person's clock shows ``zone``."""
    heard.responses += 1
    heard.recency = max(heard.recency, opportunity)
    local = at.astimezone(zone)
    times = bytearray(heard.times or bytes(_SLOTS))
    if times[local.hour] == _FULL or times[HOURS + local.weekday()] == _FULL:
        times = bytearray(value // 2 for value in times)  # proportions stay, and lately counts more
    times[local.hour] += 1
    times[HOURS + local.weekday()] += 1
    heard.times = bytes(times)
