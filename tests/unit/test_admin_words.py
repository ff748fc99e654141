"""The Indonesian words: nearly everything said has one, and none loses what is filled in."""

import re
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from admin_ui.navigation import every_screen
from admin_ui.words import LANGUAGE, _, ngettext

ADMIN = Path(__file__).parents[2] / "admin_ui"
KEYWORDS = {"_": None, "ngettext": (1, 2)}
FILLED = re.compile(r"\{\w*\}|%s")

with (ADMIN / "catalogues" / "id.po").open("rb") as file:
    CATALOGUE = {message.id: message.string for message in read_po(file, locale="id") if message.id}


def said() -> set[str]:
    """Every sentence that templates and pages put through ``_``."""
    found: set[str] = set()
    for path in (ADMIN / "templates").rglob("*.html"):
        for _line, _function, words, _comments in babel_extract(
                BytesIO(path.read_bytes()), list(KEYWORDS), [], {"trim_blocks": "true"}):
            found.add(_one(words))
    for path in (*ADMIN.glob("*.py"), *(ADMIN / "pages").rglob("*.py")):
        for _line, words, _comments, _context in extract("python", BytesIO(path.read_bytes()), keywords=KEYWORDS):
            found.add(_one(words))
    return found - {""} | {screen.label for screen in every_screen()}


def _one(words: object) -> str:
    """The singular of a message; nothing for a variable, which is said elsewhere."""
    first = words[0] if isinstance(words, tuple) and words else words
    return first if isinstance(first, str) else ""


def test_nearly_everything_is_said_in_indonesian() -> None:
    words = said()
    missing = sorted(words - set(CATALOGUE))
    assert len(words) > 500
    assert len(missing) < len(words) * 0.03, missing


@pytest.mark.parametrize("english", sorted(CATALOGUE))
def test_what_is_filled_in_stays(english: str) -> None:
    assert sorted(FILLED.findall(english)) == sorted(FILLED.findall(CATALOGUE[english]))
    assert english.endswith(".") == CATALOGUE[english].endswith(".")


def test_words_follow_the_reader() -> None:
    assert _("Contacts") == "Contacts"
    assert ngettext("one", "many", 2) == "many"
    token = LANGUAGE.set("id")
    try:
        assert _("Contacts") == "Kontak"
        assert _("A sentence nobody translated") == "A sentence nobody translated"
        assert ngettext("one", "many", 1) == "one"
    finally:
        LANGUAGE.reset(token)


def test_a_sentence_that_comes_filled_in_is_known_again() -> None:
    """Errors come from below as whole sentences; a name in one that looks like a pattern stays what it is."""
    token = LANGUAGE.set("id")
    try:
        said = _("The host a\\g<1>.{b}(c) is not known.")
        assert said == CATALOGUE["The host {host} is not known."].replace("{host}", "a\\g<1>.{b}(c)")
        assert _("The segment Contacts cannot be used: The tag was deleted.") == (
            CATALOGUE["The segment {name} cannot be used: {why}"]
            .replace("{name}", "Contacts").replace("{why}", CATALOGUE["The tag was deleted."]))
        assert _("Points: Choose yes or no.") == "Points: " + CATALOGUE["Choose yes or no."]
        assert _("Whatever it is, it is not known.") == "Whatever it is, it is not known."
    finally:
        LANGUAGE.reset(token)
