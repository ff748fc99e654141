"""A mail with a link that acts for one person: written to nobody but them, seldom, and good for two days."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from html import escape
from typing import Final

from esp.app import App
from esp.flows.digest_mail import language_of
from esp.flows.providers import providers_of
from esp.model.ids import new_public_id
from esp.model.permission import MessageKind
from esp.ports.preferences import Reader
from esp.ports.signup import Count, NewMessage
from esp.render.single import write_message
from esp.wire.addresses import parse_address

LINK_HOURS: Final = 48
MAILS_A_DAY: Final = 3  # of one kind to one person: whoever holds a forwarded link could else fill their mailbox
_PRINT_BITS: Final = 32


def stamp(now: datetime, public_id: str) -> int:
    """When a link was made and whose it is, as one number of a token; the token itself cannot be forged."""
    return int(now.timestamp() // 60) << _PRINT_BITS | _print_of(public_id)


def stamped(number: int, public_id: str) -> tuple[datetime, bool]:
    """When the link was made (to the minute), and whether it was made for ``public_id``."""
    made = datetime.fromtimestamp((number >> _PRINT_BITS) * 60, UTC)
    return made, number & (1 << _PRINT_BITS) - 1 == _print_of(public_id)


def _print_of(public_id: str) -> int:
    return int.from_bytes(blake2b(public_id.encode(), digest_size=_PRINT_BITS // 8).digest(), "big")


def one_more(app: App, reader: Reader, kind: str, window: timedelta, most: int) -> Count:
    """The bound on what one person does of one kind."""
    key = app.tokens.fingerprint(kind, f"{reader.workspace_id}:{reader.contact_id}")
    return Count(key, app.clock.now() + window, most)


async def send_link(
    app: App, reader: Reader, kind: str, words: Mapping[str, Mapping[str, str]], url: str,
) -> bool:
    """Send ``url`` to the person, in their language; silently not where MAILS_A_DAY of this kind went out already.

    ``words`` is language -> subject, lead (with {brand} and {address}), press, button, otherwise. False where the
    workspace has no domain to send from.
    """
    domains = await app.store.domains.all(reader.workspace_id)
    domain = min(domains, key=lambda it: (it.verified_at is None, it.id), default=None)
    if domain is None:
        return False
    now = app.clock.now()
    if not await app.store.signups.count([one_more(app, reader, kind, timedelta(days=1), MAILS_A_DAY)], now):
        return True
    workspace = await app.store.accounts.workspace(reader.workspace_id)
    language = language_of({"language": reader.language}, workspace.language)
    said = words[language]
    to = parse_address(reader.email)
    lead = said["lead"].replace("{brand}", workspace.name).replace("{address}", to.text)
    text = f"{lead}\n\n{said['press']}\n{url}\n\n{said['otherwise']}\n\n{workspace.name}\n"
    html = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"></head>'
        '<body style="margin:0;padding:24px;font:16px/1.6 system-ui,sans-serif">'
        '<div style="max-width:520px;margin:0 auto">'
        f"<p>{escape(lead)}</p><p>{escape(said['press'])}</p>"
        f'<p><a href="{escape(url)}">{escape(said["button"])}</a></p><p>{escape(said["otherwise"])}</p>'
        f"<p>{escape(workspace.name)}</p></div></body></html>\n"
    )
    raw = write_message(
        from_name=workspace.name, from_address=f"privacy@{domain.name}", to=to.text, subject=said["subject"],
        text=text, html=html, reply_to="", now=now, message_id=f"{new_public_id()}@{domain.name}",
        extra=(("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")),
    )
    providers = await providers_of(app, [to.domain])
    await app.store.signups.send(NewMessage(
        reader.workspace_id, domain.id, MessageKind.CONFIRMATION.value, reader.contact_id, to.text, to.domain,
        providers[to.domain], said["subject"], raw), now)
    await app.coordination.wake("outbox")
    return True
