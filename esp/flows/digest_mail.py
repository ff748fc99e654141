"""What a digest says: a frozen mail of ours in both languages, and for each reader the mails that wait for them."""

from typing import Any, Final
from zoneinfo import ZoneInfo

from esp.flows.plan import SendingPlan
from esp.merge.evaluate import plain_text
from esp.merge.frozen import OPEN_SLOT, Frozen
from esp.merge.parse import VERBATIM, parse
from esp.merge.scope import contact_scope
from esp.model.content import CompiledVariant
from esp.model.preference import Cadence
from esp.ports.outbox import OutboxRow
from esp.wire import headers as wire
from esp.wire.tokens import Purpose, TokenSigner

_LANGUAGES: Final = ("en", "id")
_WORDS: Final = {
    "subject": {
        Cadence.DAILY: ("Today from {{ workspace.name }}: {{ contact.digest[0].subject }}",
                        "Hari ini dari {{ workspace.name }}: {{ contact.digest[0].subject }}"),
        Cadence.WEEKLY: ("This week from {{ workspace.name }}: {{ contact.digest[0].subject }}",
                         "Minggu ini dari {{ workspace.name }}: {{ contact.digest[0].subject }}"),
    },
    "title": {Cadence.DAILY: ("Your daily mail", "Email harian Anda"),
              Cadence.WEEKLY: ("Your weekly mail", "Email mingguan Anda")},
}
_LEAD: Final = ("You asked to get these mails together.", "Anda meminta email-email ini dikirim bersama.")
_READ: Final = ("Read", "Baca")
_CHANGE: Final = ("Change how often", "Ubah seberapa sering")
_LEAVE: Final = ("Unsubscribe", "Berhenti berlangganan")


def _both(words: tuple[str, str]) -> str:
    return "{% if contact.digest_language == 'id' %}" + words[1] + "{% else %}" + words[0] + "{% endif %}"


def freeze_digest(cadence: Cadence, workspace_name: str, postal_address: str, name: str) -> CompiledVariant:
    """The variant of a digest: nothing in it is an author's, so it is frozen as it stands and has no counted links."""
    title = _both(_WORDS["title"][cadence])
    html = (
        '<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '</head><body style="margin:0;padding:24px;background:#f1f5f9;color:#0f172a;'
        'font-family:Helvetica,Arial,sans-serif;font-size:16px;line-height:1.5">'
        '<div style="max-width:560px;margin:0 auto;background:#ffffff;padding:32px">'
        f'<h1 style="font-size:22px;margin:0 0 8px">{title}</h1><p style="color:#475569">{_both(_LEAD)}</p>'
        "{% for mail in contact.digest %}"
        '<p style="margin:24px 0 0;padding-top:16px;border-top:1px solid #cbd5e1">'
        '{% if mail.list %}<span style="color:#475569;font-size:14px">{{ mail.list }}</span><br>{% endif %}'
        '<a href="{{ mail.url }}" style="color:#0f766e;font-weight:bold">{{ mail.subject }}</a></p>'
        "{% endfor %}"
        '<p style="margin-top:32px;color:#475569;font-size:12px">'
        "{% if workspace.postal_address %}{{ workspace.name }}, {{ workspace.postal_address }}<br>{% endif %}"
        f'<a href="{{{{ preferences_url }}}}" style="color:#475569">{_both(_CHANGE)}</a> &middot; '
        f'<a href="{{{{ unsubscribe_url }}}}" style="color:#475569">{_both(_LEAVE)}</a></p></div>'
        f"{OPEN_SLOT}</body></html>\n"
    )
    text = (
        f"{title}\n{_both(_LEAD)}\n\n{{% for mail in contact.digest %}}* {{{{ mail.subject }}}}\n"
        "  <{{ mail.url }}>\n{% endfor %}\n-- \n"
        "{% if workspace.postal_address %}{{ workspace.name }}, {{ workspace.postal_address }}\n{% endif %}"
        f"{_both(_CHANGE)}: <{{{{ preferences_url }}}}>\n{_both(_LEAVE)}: <{{{{ unsubscribe_url }}}}>\n"
    )
    facts = {"workspace": {"name": workspace_name, "postal_address": postal_address}, "campaign": {"name": name}}
    frozen = Frozen(
        parse(_both(_WORDS["subject"][cadence]), VERBATIM), [], parse(text, VERBATIM), parse(html, VERBATIM), {}, facts
    )
    return CompiledVariant("A", (), frozen.dump())


def digest_fields(plan: SendingPlan, row: OutboxRow, tokens: TokenSigner) -> dict[str, Any]:
    """The reader's merge fields with ``digest`` (subject, list, url of each mail) and ``digest_language``."""
    envelope = plan.envelope
    mails: list[dict[str, str]] = []
    for item in row.digest:
        heading = plan.headings.get(item.variant_id)
        if heading is None:
            continue
        scope = contact_scope(row.address, row.fields) | heading.frozen.facts | {"list": {"name": heading.list_name}}
        token = tokens.sign(Purpose.VIEW, envelope.workspace_id, item.campaign_id, item.delivery_id)
        mails.append({
            "subject": wire.clean(plain_text(heading.frozen.subject, scope)), "list": heading.list_name,
            "url": f"{envelope.tracking_url}/v/{token}",
        })
    return {**row.fields, "digest": mails, "digest_language": language_of(row.fields, plan.language)}


def language_of(fields: Any, otherwise: str) -> str:
    """The one of our languages that a person reads."""
    own = str(fields.get("language") or otherwise).strip().lower().replace("_", "-").split("-")[0]
    return own if own in _LANGUAGES else "en"


def zone(name: str) -> ZoneInfo:
    """The time zone of that name; UTC where there is none."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # what the tz database does not know is a KeyError
        return ZoneInfo("UTC")
