"""How one person listens, on their page: the figures, and the words that go with each."""

from dataclasses import dataclass
from typing import Final

from admin_ui.page import Page
from admin_ui.words import _
from esp.model.listening import Level
from esp.ports.contacts import Contact
from esp.ports.listening import LevelMove
from tracking.listener import Portrait, portrait

_MAILS: Final = 30
#: A level's name, the kind of its badge, and what it means.
LEVELS: Final = {
    Level.NEW: ("New", "", "Too few mails yet to say anything."),
    Level.ACTIVE: ("Active", "good", "Still answers, more likely than not."),
    Level.COOLING: ("Cooling", "warn", "Used to answer, and has been silent for longer than is usual for them."),
    Level.DORMANT: ("Dormant", "warn", "Has hardly any chance left to answer, or never did."),
    Level.LOST: ("Lost", "harm", "Will almost certainly not answer any more."),
}
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ALL_WORDS: Final = tuple(dict.fromkeys([words for level in LEVELS.values() for words in (level[0], level[2])]
                                       + list(WEEKDAYS)))


@dataclass(frozen=True, slots=True)
class Listening:
    """A portrait with the person's changes of level, newest first."""

    it: Portrait
    moves: list[LevelMove]

    def level(self, level: Level) -> tuple[str, str, str]:
        """Name, badge and meaning, in the reader's language."""
        name, kind, meaning = LEVELS[level]
        return _(name), kind, _(meaning)

    def weekday(self, number: int) -> str:
        return _(WEEKDAYS[number])


async def listening_of(page: Page, contact: Contact) -> Listening | None:
    """None where the person has had no mail yet that could tell of a response."""
    store = page.app.store.listening
    found = await store.listener(page.workspace_id, contact.id)
    if found is None:
        return None
    return Listening(
        portrait(found, await store.fit(page.workspace_id),
                 await store.mails(page.workspace_id, contact.id, _MAILS), page.app.clock.now()),
        await store.moves(page.workspace_id, contact.id, 10))
