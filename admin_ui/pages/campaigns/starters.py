"""Mails to begin from, so that nobody faces an empty box: each a file that the author may change at will."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from esp.model.campaign import ContentKind


@dataclass(frozen=True, slots=True)
class Starter:
    """One choice on the page of a new campaign; ``file`` lies in templates/campaigns/starters."""

    key: str
    label: str
    about: str
    icon: str
    kind: ContentKind
    file: str
    subject: str = ""
    preheader: str = ""


STARTERS: Final = (
    Starter("newsletter", "Newsletter", "One main story and two smaller ones.", "layers", ContentKind.MJML,
            "newsletter.mjml", "What is new this month", "One story worth your time, and two short ones"),
    Starter("promotion", "Promotion", "One offer and one button.", "tag", ContentKind.MJML,
            "promotion.mjml", "Twenty per cent off until Sunday", "The price drops by itself in the basket"),
    Starter("letter", "Letter", "Words like those of a personal mail, written in Markdown.", "mail",
            ContentKind.MARKDOWN, "letter.md", "A few words from us"),
    Starter("html", "Your own HTML", "For a finished template from elsewhere.", "code", ContentKind.HTML, "page.html"),
    Starter("text", "Text only", "No layout at all.", "type", ContentKind.TEXT, "plain.txt"),
)


def starter(key: str) -> Starter:
    """The starter named ``key``, or the first one where there is none of that name."""
    return next((one for one in STARTERS if one.key == key), STARTERS[0])


# What the readers see of a starter that its author will hardly rewrite: the way out must be in their language.
_INDONESIAN: Final = (
    ("You get this mail because you subscribed to", "Anda menerima email ini karena berlangganan"),
    ('default("our news")', 'default("kabar kami")'), ('default("there")', 'default("Anda")'), ("Hello {{", "Halo {{"),
    ("View in browser", "Lihat di peramban"), ("Preferences", "Atur preferensi"),
    ("Unsubscribe", "Berhenti berlangganan"), ("Kind regards,", "Salam hangat,"),
)


@cache
def source_of(file: str, language: str = "en") -> str:
    """What the author begins with; greeting and footer in ``language`` where that is Indonesian."""
    text = resources.files("admin_ui").joinpath("templates/campaigns/starters", file).read_text(encoding="utf-8")
    for english, indonesian in _INDONESIAN if language.startswith("id") else ():
        text = text.replace(english, indonesian)
    return text
