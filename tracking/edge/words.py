"""What the edge's pages say, in English and Indonesian; and which of the two somebody reads."""

from datetime import date
from typing import Final

LANGUAGES: Final = ("en", "id")

REASONS: Final = ("too_many", "not_relevant", "never_signed_up", "other")

WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "unsubscribe_title": "Unsubscribe",
        "unsubscribe_lead": "You get mail from {brand} at {address}.",
        "unsubscribe_lead_unknown": "Press the button and you get no more of these mails.",
        "lists": "This takes you off:",
        "reason": "Why? (only if you like to say)",
        "too_many": "Too many mails",
        "not_relevant": "Not interesting to me",
        "never_signed_up": "I never signed up",
        "other": "Another reason",
        "unsubscribe_button": "Unsubscribe",
        "nothing_yet": "Nothing changes until you press the button.",
        "done_title": "You are unsubscribed",
        "done_lead": "{brand} sends no more of these mails to {address}.",
        "done_lead_unknown": "You get no more of these mails.",
        "done_soon": "A mail that is on its way at this moment may still arrive.",
        "undo_lead": "Was it a mistake?",
        "undo_button": "Subscribe me again",
        "undone_title": "You are subscribed again",
        "undone_lead": "You go on getting mail from {brand} at {address}.",
        "not_undone_title": "Nothing was changed",
        "not_undone_lead": "This unsubscription can no longer be undone here. Please subscribe anew with the sender.",
        "missing_title": "This link is not valid",
        "missing_lead": "It may have been cut when it was copied. Please open it from the mail itself.",
        "later_title": "Please try again in a moment",
        "later_lead": "The server cannot look this up just now. The link itself is fine.",
        "nobody_title": "You get no mails from here",
        "nobody_lead": "Nothing is kept about you any more, so there is nothing to unsubscribe from or to choose.",
        "gone_title": "This mail is no longer kept",
        "gone_lead": "The sender does not keep it any more, so it cannot be shown here.",
    },
    "id": {
        "unsubscribe_title": "Berhenti berlangganan",
        "unsubscribe_lead": "Anda menerima email dari {brand} di {address}.",
        "unsubscribe_lead_unknown": "Tekan tombol ini dan Anda tidak akan menerima email ini lagi.",
        "lists": "Anda akan keluar dari:",
        "reason": "Mengapa? (boleh tidak diisi)",
        "too_many": "Emailnya terlalu sering",
        "not_relevant": "Isinya tidak menarik bagi saya",
        "never_signed_up": "Saya tidak pernah mendaftar",
        "other": "Alasan lain",
        "unsubscribe_button": "Berhenti berlangganan",
        "nothing_yet": "Tidak ada yang berubah sebelum Anda menekan tombol.",
        "done_title": "Anda sudah berhenti berlangganan",
        "done_lead": "{brand} tidak akan mengirim email ini lagi ke {address}.",
        "done_lead_unknown": "Anda tidak akan menerima email ini lagi.",
        "done_soon": "Email yang sedang dalam perjalanan mungkin masih sampai.",
        "undo_lead": "Tidak sengaja?",
        "undo_button": "Berlangganan lagi",
        "undone_title": "Anda berlangganan lagi",
        "undone_lead": "Anda tetap menerima email dari {brand} di {address}.",
        "not_undone_title": "Tidak ada yang berubah",
        "not_undone_lead": "Pembatalan tidak bisa lagi dilakukan di sini. Silakan mendaftar lagi pada pengirim.",
        "missing_title": "Tautan ini tidak berlaku",
        "missing_lead": "Mungkin tautannya terpotong saat disalin. Silakan buka langsung dari emailnya.",
        "later_title": "Silakan coba lagi sebentar lagi",
        "later_lead": "Server belum dapat mencarinya saat ini. Tautannya sendiri tidak bermasalah.",
        "nobody_title": "Anda tidak menerima email dari sini",
        "nobody_lead": "Tidak ada lagi data tentang Anda, jadi tidak ada langganan yang perlu dihentikan atau diubah.",
        "gone_title": "Email ini tidak disimpan lagi",
        "gone_lead": "Pengirim tidak menyimpannya lagi, jadi tidak dapat ditampilkan di sini.",
    },
}


def choose_language(contact_language: str, accept_language: str) -> str:
    """The contact's language where we have its words, else the best of ``Accept-Language`` (RFC 9110 12.5.4)."""
    own = contact_language.strip().lower().replace("_", "-").split("-")[0]
    if own in WORDS:
        return own
    wanted: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept_language[:200].split(",")):
        tag, _, parameter = part.strip().partition(";")
        try:
            quality = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            quality = 0.0
        language = tag.strip().lower().split("-")[0]
        if quality > 0 and language in WORDS:
            wanted.append((-quality, position, language))
    return min(wanted)[2] if wanted else "en"


_MONTHS: Final = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December"),
    "id": ("Januari", "Februari", "Maret", "April", "Mei", "Juni", "Juli", "Agustus", "September", "Oktober",
           "November", "Desember"),
}


def spell_day(day: date, language: str) -> str:
    """``21 November 2026``, as both languages write it."""
    return f"{day.day} {_MONTHS[language][day.month - 1]} {day.year}"
