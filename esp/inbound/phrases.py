"""How mail systems speak: the phrases of config/bounces.toml, and where in a text one of them stands.

A phrase is plain text, with ``*`` for a gap of up to eighty characters: a search for it is linear by construction.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from esp.errors import SettingsError
from esp.model.shipped import shipped

_GAP: Final = 80
_TRIES: Final = 5
_MARGIN: Final = 40
_KEYS: Final = frozenset({"name", "case", "family", "where", "language", "text", "samples"})
# Where a header begins that nobody announced.
_HEADER: Final = re.compile(r"^(?:>? ?)(?:Return-path: ?<|Received: ?(?:from|by|\()|DKIM-Signature: ?[va]=)",
                            re.IGNORECASE | re.MULTILINE)


class Family(StrEnum):
    """What a phrase gives away."""

    FAILED = "failed"  # a mail could not be delivered
    DELAYED = "delayed"  # it could not yet, and is tried again
    EXPIRED = "expired"  # it was tried for long, in vain
    RETURNED = "returned"  # from here on it is the mail that came back
    VACATION = "vacation"  # the person is away
    AUTOMATIC = "automatic"  # any other answer of a machine
    ANSWERING = "answering"  # the same, from one that says so itself
    CHALLENGE = "challenge"  # the sender is to prove that it is a person
    MOVED = "moved"  # the person has another address now, or none
    UNSUBSCRIBE = "unsubscribe"  # somebody wants to leave
    COMPLAINT = "complaint"  # a feedback loop's covering letter
    RECEIPT = "receipt"  # the mail was read, or deleted unread
    BYSTANDER = "bystander"  # a line with an address that is not the recipient's


class Where(StrEnum):
    TEXT = "text"
    SUBJECT = "subject"
    SENDER = "sender"


@dataclass(frozen=True, slots=True)
class Phrase:
    """One line of the table; ``pieces`` are its texts, each split at its gaps."""

    name: str
    family: Family
    where: Where
    pieces: tuple[tuple[str, ...], ...]
    samples: tuple[str, ...]

    def find(self, text: str) -> int:
        """Where the first of its texts stands in ``text`` (in lower case), or -1."""
        found = -1
        for pieces in self.pieces:
            at = _find(pieces, text)
            if at >= 0 and (found < 0 or at < found):
                found = at
        return found


def _find(pieces: tuple[str, ...], text: str) -> int:
    start = text.find(pieces[0])
    if len(pieces) == 1 or start < 0:
        return start
    for _ in range(_TRIES):
        end = start + len(pieces[0])
        for piece in pieces[1:]:
            at = text.find(piece, end, end + _GAP + len(piece))
            if at < 0:
                break
            end = at + len(piece)
        else:
            return start
        start = text.find(pieces[0], start + 1)
        if start < 0:
            break
    return -1


def parse_phrases(data: Mapping[str, Any]) -> tuple[Phrase, ...]:
    """Phrases from parsed TOML, in order; raises SettingsError naming the one that cannot be read."""
    phrases: list[Phrase] = []
    for table in data.get("phrase", ()):
        name = str(table.get("name", f"number {len(phrases) + 1}"))
        if not table.keys() <= _KEYS:
            raise SettingsError(f"bounces.toml: phrase {name}: there is no key {min(table.keys() - _KEYS)}.")
        try:
            pieces = tuple(tuple(text.split("*")) for text in table["text"])
            phrases.append(Phrase(name, Family(table["family"]), Where(table.get("where", "text")), pieces,
                                  tuple(table["samples"])))
        except (KeyError, ValueError) as error:
            raise SettingsError(f"bounces.toml: phrase {name}: {error}") from None
        if any(not piece or piece != piece.lower() for one in pieces for piece in one):
            raise SettingsError(f"bounces.toml: phrase {name}: texts are in lower case and have words around each *.")
    return tuple(phrases)


@lru_cache(maxsize=1)
def phrases() -> tuple[Phrase, ...]:
    """The shipped phrases."""
    return parse_phrases(tomllib.loads(shipped("bounces.toml")))


@lru_cache(maxsize=64)
def of_family(family: Family, where: Where) -> tuple[Phrase, ...]:
    """The shipped phrases of one family that are looked for in one place, in order."""
    return tuple(phrase for phrase in phrases() if phrase.family is family and phrase.where is where)


def said(family: Family, where: Where, lower: str) -> Phrase | None:
    """The first phrase of the family that stands in ``lower`` (in lower case), or None."""
    if not lower:
        return None
    return next((phrase for phrase in of_family(family, where) if phrase.find(lower) >= 0), None)


def times_said(family: Family, where: Where, lower: str) -> int:
    """How many different texts of the family stand in ``lower``."""
    return sum(_find(pieces, lower) >= 0 for phrase in of_family(family, where) for pieces in phrase.pieces)


def returned_from(text: str) -> int | None:
    """Where in a text the returned mail begins, or None: an announcement of it, or a header that just stands there."""
    lower = text.lower()
    if len(lower) != len(text):  # some capitals are longer when small
        lower = text
    found: list[int] = []
    for phrase in of_family(Family.RETURNED, Where.TEXT):
        at = phrase.find(lower)
        line = lower.rfind("\n", 0, at) + 1
        # In the middle of a sentence it is spoken of; at the head of a line it follows.
        if at >= 0 and at - line <= _MARGIN:
            found.append(line)
    header = _HEADER.search(text)
    if header is not None:
        found.append(header.start())
    return min(found, default=None)
