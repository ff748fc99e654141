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


# A starter in the readers' language: its layout stands once, its sentences twice. Longer ones first, for some stand in
# others; a test says which sentence has none.
_INDONESIAN: Final = (
    ("Start with the one thing you want people to know. Two or three sentences are enough.",
     "Mulailah dengan satu hal yang paling ingin Anda sampaikan. Dua atau tiga kalimat sudah cukup."),
    ("Say what happened and why it matters to the reader.", "Ceritakan apa yang terjadi dan apa artinya bagi pembaca."),
    ("Keep it as short as the one beside it.", "Buat sependek berita di sebelahnya."),
    (", pick what you like. The price drops by itself in the basket, no code needed.",
     ", pilih yang Anda suka. Harganya turun sendiri di keranjang, tanpa kode."),
    ("Ends on Sunday at midnight. One use per person.",
     "Berakhir hari Minggu tengah malam. Satu kali untuk setiap orang."),
    ("write here as you would write to one person.", "tulislah di sini seperti kepada satu orang."),
    ("A blank line starts a new paragraph.", "Baris kosong memulai paragraf baru."),
    ("A heading, if you need one", "Judul, kalau perlu"),
    ("Links are tracked by themselves:", "Tautan dihitung sendiri:"),
    ("**bold** words stand out", "kata yang **tebal** lebih menonjol"),
    ("leads somewhere", "membawa pembaca ke halaman"),
    ("[a link]", "[sebuah tautan]"), ("Your headline", "Judul Anda"),
    ("this is a plain HTML mail.", "ini email HTML sederhana."), ("A link</a> is tracked by itself.",
                                                                  "Tautan</a> dihitung sendiri."),
    ("Twenty per cent off until Sunday", "Diskon dua puluh persen sampai Minggu"),
    ("What is new this month", "Yang baru bulan ini"), ("Read the whole story", "Baca selengkapnya"),
    ("A second story", "Berita kedua"), ("A third story", "Berita ketiga"), ("More about it", "Selengkapnya"),
    ("See the offers", "Lihat penawaran"), ('default("Hello")', 'default("Halo")'), ('lang="en"', 'lang="id"'),

    ("You get this mail because you subscribed to", "Anda menerima email ini karena berlangganan"),
    ('default("our news")', 'default("kabar kami")'), ('default("there")', 'default("Anda")'), ("Hello {{", "Halo {{"),
    ("View in browser", "Lihat di peramban"), ("Preferences", "Atur preferensi"),
    ("Unsubscribe", "Berhenti berlangganan"), ("Kind regards,", "Salam hangat,"),
)


@cache
def source_of(file: str, language: str = "en") -> str:
    """What the author begins with; in Indonesian where that is ``language``."""
    text = resources.files("admin_ui").joinpath("templates/campaigns/starters", file).read_text(encoding="utf-8")
    for english, indonesian in _INDONESIAN if language.startswith("id") else ():
        text = text.replace(english, indonesian)
    return text
