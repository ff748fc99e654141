"""The admin's words in the reader's language: English is written in the code, other languages stand in catalogues."""

from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Final

from babel.messages.pofile import read_po

LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "id": "Bahasa Indonesia"}
LANGUAGE: Final[ContextVar[str]] = ContextVar("language", default="en")

_CATALOGUES: Final = Path(__file__).parent / "catalogues"


@lru_cache(maxsize=8)
def _catalogue(language: str) -> Mapping[str, tuple[str, ...]]:
    """Translations by English text; empty where there is no catalogue, so that English shows through."""
    path = _CATALOGUES / f"{language}.po"
    if language not in LANGUAGES or not path.is_file():
        return {}
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    found: dict[str, tuple[str, ...]] = {}
    for message in catalogue:
        key = message.id if isinstance(message.id, str) else message.id[0]
        texts = (message.string,) if isinstance(message.string, str) else tuple(message.string or ("",))
        if key and texts[0]:
            found[key] = texts
    return found


def _(text: str) -> str:
    """``text`` in the reader's language."""
    return _catalogue(LANGUAGE.get()).get(text, (text,))[0] if text else ""


def ngettext(one: str, many: str, count: int) -> str:
    """The right form for ``count``; Indonesian has one form for all."""
    found = _catalogue(LANGUAGE.get()).get(one)
    return found[0] if found else one if count == 1 else many
