"""A recipient's own page: who a link stands for, what they may change, and the links themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from esp.app import App
from esp.errors import TokenError
from esp.flows.digest_mail import zone
from esp.flows.own_mail import LINK_HOURS, one_more, send_link, stamp, stamped
from esp.flows.signup import Spent
from esp.model.preference import Frequency
from esp.ports.preferences import Changes, Choices, Proof, Reader
from esp.wire.tokens import Claims, Purpose

LONGEST_PAUSE: Final = timedelta(days=366)
CHANGES_AN_HOUR: Final = 60  # of one person: more than anybody makes, and each leaves consent records
_WORDS: Final = {
    "en": {
        "subject": "Your link to your choices",
        "lead": "Somebody, hopefully you, asked {brand} for a new link to the choices of {address}.",
        "press": "This link opens them for 48 hours. Please do not pass it on:",
        "button": "Open my choices",
        "otherwise": "If it was not you, do nothing. Nothing changes.",
    },
    "id": {
        "subject": "Tautan ke pilihan Anda",
        "lead": "Seseorang, semoga Anda sendiri, meminta kepada {brand} tautan baru ke pilihan milik {address}.",
        "press": "Tautan ini membukanya selama 48 jam. Mohon jangan diteruskan kepada orang lain:",
        "button": "Buka pilihan saya",
        "otherwise": "Jika bukan Anda, abaikan saja. Tidak ada yang berubah.",
    },
}


class Standing(StrEnum):
    """What a link comes to besides a person."""

    INVALID = "invalid"  # we never made it, or somebody changed it
    GONE = "gone"  # nothing is kept any more about whom it was for
    TEST = "test"  # it stood in a test mail, which goes to nobody


@dataclass(frozen=True, slots=True)
class Opened:
    """A link that leads to a person; ``claims`` are those of a mail, None for a link that names the contact.

    With ``old`` it opens nothing any more, for mails are forwarded and archived: it is good for asking for a new one.
    """

    reader: Reader
    claims: Claims | None
    old: bool = False

    @property
    def source(self) -> str:
        """As consent records name it."""
        return f"preferences:{self.claims.delivery_id}" if self.claims else "preferences"


def contact_token(app: App, reader: Reader) -> str:
    """A preference link's token that is good for LINK_HOURS. It dies with the contact too: a later one that gets the
    same number has another public id."""
    return app.tokens.sign(
        Purpose.CONTACT, reader.workspace_id, reader.contact_id, stamp(app.clock.now(), reader.public_id))


async def open_link(app: App, token: str) -> Opened | Standing:
    """Whose page the link opens. Raises what the store raises."""
    store, now = app.store.preferences, app.clock.now()
    try:
        claims = app.tokens.verify(Purpose.PREFERENCES, token)
    except TokenError:
        pass
    else:
        to = await store.reader_of_delivery(claims.workspace_id, claims.campaign_id, claims.delivery_id)
        if to is not None and to.contact_id == 0:
            return Standing.TEST
        reader = None if to is None else await store.reader(claims.workspace_id, to.contact_id)
        if to is None or reader is None:
            return Standing.GONE
        return Opened(reader, claims, old=to.at + app.settings.retention.preference_links < now)
    try:
        named = app.tokens.verify(Purpose.CONTACT, token)
    except TokenError:
        return Standing.INVALID
    reader = await store.reader(named.workspace_id, named.campaign_id)
    if reader is None:
        return Standing.GONE
    made, its_own = stamped(named.delivery_id, reader.public_id)
    if reader.contact_id == named.campaign_id and not its_own:
        return Standing.GONE
    return Opened(reader, None, old=made + timedelta(hours=LINK_HOURS) < now)


async def renew(app: App, reader: Reader) -> bool:
    """Send the person a new link. False where the workspace has no domain to send from."""
    url = f"{app.settings.public_url}/p/{contact_token(app, reader)}"
    return await send_link(app, reader, "renew", _WORDS, url)


async def may_change(app: App, reader: Reader, spent: Spent) -> bool:
    """Whether the person's forms are within bounds, counting one more. Leaving is never asked about."""
    now, bound = app.clock.now(), one_more(app, reader, "changes", timedelta(hours=1), CHANGES_AN_HOUR)
    if spent.holds([bound], now):
        return False
    if await app.store.signups.count([bound], now):
        return True
    spent.add(bound, now)
    return False


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
