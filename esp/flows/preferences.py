"""A recipient's own page: who a link stands for, what they may change, and the links themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from esp.app import App
from esp.errors import TokenError
from esp.flows.digest_mail import zone
from esp.model.preference import Frequency
from esp.ports.preferences import Changes, Choices, Proof, Reader
from esp.wire.tokens import Claims, Purpose

LONGEST_PAUSE: Final = timedelta(days=366)
_PRINT_OCTETS: Final = 7  # fits a token's number; the token itself cannot be forged


class Standing(StrEnum):
    """What a link comes to besides a person."""

    INVALID = "invalid"  # we never made it, or somebody changed it
    GONE = "gone"  # nothing is kept any more about whom it was for
    TEST = "test"  # it stood in a test mail, which goes to nobody


@dataclass(frozen=True, slots=True)
class Opened:
    """A link that leads to a person; ``claims`` are those of a mail, None for a link that names the contact."""

    reader: Reader
    claims: Claims | None

    @property
    def source(self) -> str:
        """As consent records name it."""
        return f"preferences:{self.claims.delivery_id}" if self.claims else "preferences"


def contact_token(app: App, workspace_id: int, contact_id: int, public_id: str) -> str:
    """A preference link's token for a contact of whom no mail is at hand. It dies with the contact: a later one that
    gets the same number has another public id."""
    return app.tokens.sign(Purpose.CONTACT, workspace_id, contact_id, print_of(public_id))


def print_of(public_id: str) -> int:
    """A number that stands for a public id in tokens."""
    return int.from_bytes(blake2b(public_id.encode(), digest_size=_PRINT_OCTETS).digest(), "big")


async def open_link(app: App, token: str) -> Opened | Standing:
    """Whose page the link opens. Raises what the store raises."""
    store = app.store.preferences
    try:
        claims = app.tokens.verify(Purpose.PREFERENCES, token)
    except TokenError:
        pass
    else:
        contact_id = await store.reader_of_delivery(claims.workspace_id, claims.campaign_id, claims.delivery_id)
        if contact_id == 0:
            return Standing.TEST
        reader = None if contact_id is None else await store.reader(claims.workspace_id, contact_id)
        return Opened(reader, claims) if reader else Standing.GONE
    try:
        named = app.tokens.verify(Purpose.CONTACT, token)
    except TokenError:
        return Standing.INVALID
    reader = await store.reader(named.workspace_id, named.campaign_id)
    if reader is None or (reader.contact_id == named.campaign_id and print_of(reader.public_id) != named.delivery_id):
        return Standing.GONE
    return Opened(reader, None)


def pause_until(reader: Reader, day: str, now: datetime) -> datetime | None:
    """The start of ``day`` (YYYY-MM-DD) where the person lives; None for no pause, or one that is over.

    Raises ValueError where it is no date, or further ahead than a year, which would be a way of leaving unnoticed.
    """
    if not day.strip():
        return None
    try:
        wanted = datetime.combine(date.fromisoformat(day.strip()), time(), zone(reader.time_zone))
    except (ValueError, OverflowError):
        raise ValueError("pause_problem") from None
    if wanted > now + LONGEST_PAUSE:
        raise ValueError("pause_problem")
    return wanted if wanted > now else None


async def leave_all(app: App, reader: Reader, proof: Proof) -> bool:
    """Take the person off every list."""
    return await app.store.preferences.change(
        reader, Changes(lists={one.list_id: False for one in reader.lists}), proof)


async def set_frequency(
    app: App, reader: Reader, frequency: Frequency, topics: Mapping[int, Frequency], proof: Proof
) -> bool:
    """How often in general, and by topic; pause and tracking stay as they are."""
    choices = Choices(frequency, topics, reader.choices.paused_until, reader.choices.tracking_off)
    return await app.store.preferences.change(reader, Changes(choices), proof)
