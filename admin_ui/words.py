"""The admin's words in the reader's language: English is written in the code, other languages stand in catalogues."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Final

from babel.messages.pofile import read_po

LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "id": "Bahasa Indonesia"}
LANGUAGE: Final[ContextVar[str]] = ContextVar("language", default="en")

_GAP: Final = re.compile(r"\{(\w*)\}")
_ENOUGH: Final = 12  # letters beside the gaps that make a sentence sure to be the one
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


@lru_cache(maxsize=8)
def _filled(language: str) -> tuple[tuple[re.Pattern[str], str, tuple[str, ...]], ...]:
    """Sentences with gaps, as they look once they are filled in; those that say the most of their own come first."""
    found = []
    for english, texts in _catalogue(language).items():
        parts = _GAP.split(english)
        said = sum(len(part) for part in parts[::2])
        if len(parts) > 1 and said >= _ENOUGH:
            pattern = "".join(re.escape(part) if at % 2 == 0 else "(.+?)" for at, part in enumerate(parts))
            found.append((said, re.compile(pattern, re.DOTALL), texts[0], tuple(parts[1::2])))
    return tuple(found_one[1:] for found_one in sorted(found, key=lambda one: -one[0]))


def _(text: str) -> str:
    """``text`` in the reader's language.

    Errors come from below with their gaps filled in already ("There is a list named News."): these are known again by
    the sentence around them.
    """
    language = LANGUAGE.get()
    known = _catalogue(language)
    if not text or not known:
        return text
    if text in known:
        return known[text][0]
    for pattern, words, names in _filled(language):
        if found := pattern.fullmatch(text):
            # A sentence within the sentence says why; anything else is a name and stays as it is.
            gaps = {name: _(gap) if gap.endswith(".") else gap for name, gap in zip(names, found.groups(), strict=True)}
            return words.format_map(gaps)
    field, colon, rest = text.partition(": ")
    if colon and rest in known:  # "Points: Write a number." names the field before what is wrong with it
        return f"{field}: {known[rest][0]}"
    return text


def in_language(text: str, language: str) -> str:
    """``text`` in another language than the reader's: the readers of mails have their own."""
    token = LANGUAGE.set(language)
    try:
        return _(text)
    finally:
        LANGUAGE.reset(token)


def ngettext(one: str, many: str, count: int) -> str:
    """The right form for ``count``; Indonesian has one form for all."""
    found = _catalogue(LANGUAGE.get()).get(one)
    return found[0] if found else one if count == 1 else many
