"""The mails that a sign-up causes: please confirm, welcome, and answers to commands; in English and Indonesian."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from typing import Final

from esp.model.colour import ink_on
from esp.model.ids import new_public_id
from esp.model.permission import MessageKind
from esp.ports.domains import SendingDomain
from esp.ports.signup import NewMessage, PublicList, PublicPages
from esp.render.single import write_message
from esp.wire.addresses import Address

DEFAULT_ACCENT: Final = "#0f766e"

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "consent": "I want “{list}” from {brand} by e-mail. I can leave at any time.",
        "subscribe_subject": "Please confirm: {lists}",
        "subscribe_lead": "Somebody, hopefully you, asked {brand} to send this to {address}:",
        "subscribe_do": "Yes, subscribe me",
        "unsubscribe_subject": "Please confirm that you want to leave: {lists}",
        "unsubscribe_lead": "Somebody, hopefully you, asked {brand} to send this to {address} no more:",
        "unsubscribe_do": "Yes, take me off",
        "press": "Open this link and press the button there:",
        "or_answer": "Or simply answer this mail; the answer may be empty.",
        "otherwise": "If it was not you, do nothing. Nothing changes, and the request is forgotten after {days} days.",
        "welcome_subject": "Welcome to {list}",
        "welcome": "You are on the list “{list}” from now on. It is good to have you.",
        "leave": "To leave, write to {leave}",
        "not_on_subject": "You are not on the list {list}",
        "not_on": "You asked to leave “{list}” with {address}. This address is not on it, so there is nothing to do."
        "\n\nIf you get its mails at another address, please write from that one.",
        "help_subject": "How to use {list} by mail",
        "help": "These addresses belong to “{list}” of {brand}. Write to them from the address that is meant; "
        "nothing else needs to be in the mail.\n\n"
        "To subscribe: {subscribe}\nTo leave: {leave}\nThis help: {help}\n\n"
        "Or write to {command} with one of these words as the subject: subscribe, unsubscribe, help.\n\n"
        "Each request is answered by a mail that asks you to confirm it.",
    },
    "id": {
        "consent": "Saya ingin menerima “{list}” dari {brand} lewat email. Saya dapat berhenti kapan saja.",
        "subscribe_subject": "Mohon konfirmasi: {lists}",
        "subscribe_lead": "Seseorang, semoga Anda sendiri, meminta {brand} mengirimkan ini ke {address}:",
        "subscribe_do": "Ya, saya mau berlangganan",
        "unsubscribe_subject": "Mohon konfirmasi bahwa Anda ingin berhenti: {lists}",
        "unsubscribe_lead": "Seseorang, semoga Anda sendiri, meminta {brand} tidak lagi mengirimkan ini ke {address}:",
        "unsubscribe_do": "Ya, saya mau berhenti",
        "press": "Buka tautan ini lalu tekan tombol di sana:",
        "or_answer": "Atau balas saja email ini; isinya boleh kosong.",
        "otherwise": "Jika bukan Anda, abaikan saja. Tidak ada yang berubah, dan permintaan ini dihapus setelah "
        "{days} hari.",
        "welcome_subject": "Selamat datang di {list}",
        "welcome": "Mulai sekarang Anda ada di daftar “{list}”. Senang Anda bergabung.",
        "leave": "Untuk berhenti, kirim email ke {leave}",
        "not_on_subject": "Anda tidak ada di daftar {list}",
        "not_on": "Anda meminta berhenti dari “{list}” dengan alamat {address}. Alamat ini tidak ada di daftar itu, "
        "jadi tidak ada yang perlu diubah.\n\nJika Anda menerima emailnya di alamat lain, silakan kirim "
        "dari alamat itu.",
        "help_subject": "Cara memakai {list} lewat email",
        "help": "Alamat-alamat ini milik “{list}” dari {brand}. Kirimlah dari alamat yang dimaksud; isinya boleh "
        "kosong.\n\nUntuk berlangganan: {subscribe}\nUntuk berhenti: {leave}\nBantuan ini: {help}\n\n"
        "Atau kirim ke {command} dengan salah satu kata ini sebagai judul: subscribe, unsubscribe, help.\n\n"
        "Setiap permintaan dijawab dengan email yang meminta konfirmasi Anda.",
    },
}

_HTML: Final = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{subject}</title></head>
<body style="margin:0;padding:24px;font:16px/1.6 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif">
<div style="max-width:520px;margin:0 auto">{body}</div></body></html>
"""


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Whom a mail is from and whom it goes to; what all of a sign-up's mails share. ``provider`` as for batches."""

    pages: PublicPages
    domain: SendingDomain
    first: PublicList
    address: Address
    provider: str
    contact_id: int | None
    language: str
    now: datetime

    @property
    def words(self) -> Mapping[str, str]:
        return WORDS[self.language]

    def command(self, suffix: str = "") -> str:
        """A command address of the first list; on the return path's domain, whose mail comes to us."""
        return command_address(self.first, self.domain, suffix)


def command_address(one: PublicList, domain: SendingDomain, suffix: str = "") -> str:
    """Where to write a command for a list: ``news@…`` with a subject, or ``news-subscribe@…`` and its like."""
    return f"{one.command}{'-' + suffix if suffix else ''}@{domain.bounce_domain}"


def consent_wording(one: PublicList, brand: str, language: str) -> str:
    """The words that stand beside the tick or the button, as they are kept with each consent."""
    own = one.signup.texts.get(language, {}).get("consent", "").strip()
    return _fill(own or WORDS[language]["consent"], list=one.name, brand=brand)


def _fill(text: str, **values: object) -> str:
    """``{name}`` replaced, and nothing else evaluated: marketers' texts come through here."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def confirmation(
    head: Letterhead, action: str, lists: Sequence[PublicList], url: str, reply_to: str, days: int,
) -> NewMessage:
    """Please confirm. ``action`` is subscribe or unsubscribe; ``reply_to`` confirms by an answer."""
    words, names = head.words, [one.name for one in lists]
    brand = head.pages.brand
    lead = _fill(words[f"{action}_lead"], brand=brand, address=head.address.text)
    otherwise = _fill(words["otherwise"], days=days)
    text = "\n\n".join((
        lead, "\n".join(f"- {name}" for name in names), f"{words['press']}\n{url}", words["or_answer"], otherwise,
        _foot(head.pages)))
    accent = head.pages.accent or DEFAULT_ACCENT
    button = (
        f'<p style="margin:24px 0"><a href="{escape(url)}" style="display:inline-block;padding:12px 24px;'
        f'border-radius:8px;background:{accent};color:{ink_on(accent)};font-weight:600;text-decoration:none">'
        f"{escape(words[f'{action}_do'])}</a></p>")
    body = "".join((
        f"<p>{escape(lead)}</p><ul>", *(f"<li>{escape(name)}</li>" for name in names), "</ul>", button,
        f"<p>{escape(words['or_answer'])}</p><p>{escape(otherwise)}</p>",
        f'<p style="font-size:14px">{escape(_foot(head.pages))}</p>'))
    subject = _fill(words[f"{action}_subject"], lists=", ".join(names))
    return _message(head, MessageKind.CONFIRMATION, subject, text, body, reply_to=reply_to)


def welcome(head: Letterhead) -> NewMessage:
    """The list's own welcome, or ours where it has written none."""
    words, one = head.words, head.first
    own = one.signup.texts.get(head.language, {})
    values = {"list": one.name, "brand": head.pages.brand, "address": head.address.text}
    subject = _fill(own.get("welcome_subject", "").strip() or words["welcome_subject"], **values)
    leave = head.command("unsubscribe")
    text = "\n\n".join((
        _fill(own.get("welcome", "").strip() or words["welcome"], **values), _fill(words["leave"], leave=leave),
        _foot(head.pages)))
    letter = _message(head, MessageKind.WELCOME, subject, text, "", extra=(
        ("List-Id", f"<{one.handle}.{head.domain.name}>"),))
    return replace(letter, list_id=one.id)  # List-Unsubscribe names the delivery, so it is put in when it is sent


def answer(head: Letterhead, name: str, in_reply_to: str) -> NewMessage:
    """An answer to a command: ``help`` or ``not_on``. ``in_reply_to`` is the command's Message-ID or empty."""
    words = head.words
    values = {
        "list": head.first.name, "brand": head.pages.brand, "address": head.address.text, "command": head.command(),
        "subscribe": head.command("subscribe"), "leave": head.command("unsubscribe"), "help": head.command("help")}
    text = f"{_fill(words[name], **values)}\n\n{_foot(head.pages)}"
    thread = (("In-Reply-To", in_reply_to), ("References", in_reply_to)) if in_reply_to else ()
    return _message(head, MessageKind.ANSWER, _fill(words[f"{name}_subject"], **values), text, "", extra=thread)


def _foot(pages: PublicPages) -> str:
    return ", ".join(filter(None, (pages.brand, " ".join(pages.address.split()))))


def _message(
    head: Letterhead, kind: MessageKind, subject: str, text: str, body: str, *, reply_to: str = "",
    extra: Sequence[tuple[str, str]] = (),
) -> NewMessage:
    # RFC 3834 section 5: no machine is to answer. Only an answer to a mail is a reply.
    automatic = "auto-replied" if kind is MessageKind.ANSWER else "auto-generated"
    html = _HTML.format(language=head.language, subject=escape(subject), body=body) if body else ""
    raw = write_message(
        # From is on the signing domain itself (strict alignment, DMARC), answers go to where our own server receives.
        from_name=head.first.signup.from_name or head.pages.brand,
        from_address=f"{head.first.command}@{head.domain.name}", reply_to=reply_to or head.command(),
        to=head.address.text, subject=subject, text=text, html=html, now=head.now,
        message_id=f"{new_public_id()}@{head.domain.name}",
        extra=(("Auto-Submitted", automatic), ("X-Auto-Response-Suppress", "All"),
               ("Feedback-ID", f"{kind}:{head.pages.workspace_id}:transactional:merpati"), *extra),
    )
    return NewMessage(head.pages.workspace_id, head.domain.id, kind.value, head.contact_id, head.address.text,
                      head.address.domain, head.provider, subject, raw)
