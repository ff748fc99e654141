"""What a status column says about people who come from somewhere else: in several systems' words, as one of ours."""

from enum import IntEnum
from typing import Final


class Standing(IntEnum):
    """How a row's person stands where the file comes from; a small number, for it travels with every row."""

    JOINS = 0
    LEFT = 1
    BOUNCED = 2
    COMPLAINED = 3
    BLOCKED = 4


_WORDS: Final[dict[Standing, str]] = {
    Standing.JOINS: "subscribed|enabled|active|confirmed|opted in|opted-in|opt-in|member|yes|aktif|berlangganan",
    Standing.LEFT: "unsubscribed|disabled|inactive|opted out|opted-out|opt-out|left|unsub|berhenti|nonaktif|no",
    Standing.BOUNCED: "cleaned|bounced|hard bounce|hard_bounce|hard-bounced|undeliverable|invalid|pental",
    Standing.COMPLAINED: "complained|complaint|spam|abuse|spam complaint|reported",
    Standing.BLOCKED: "blocklisted|blacklisted|suppressed|blocked|banned|diblokir",
}
_BY_WORD: Final = {word: standing for standing, words in _WORDS.items() for word in words.split("|")}


def is_status(text: str) -> bool:
    """Whether ``text`` is a word that ``read_status`` knows."""
    return text.strip().casefold() in _BY_WORD


def read_status(text: str) -> Standing:
    """What the word means; empty is ``JOINS``. Raises ValueError: who may not have agreed is not guessed about."""
    word = text.strip().casefold()
    if not word:
        return Standing.JOINS
    try:
        return _BY_WORD[word]
    except KeyError:
        raise ValueError(
            f"The status {text[:40]!r} is not known; it may be subscribed, unsubscribed or bounced.") from None
