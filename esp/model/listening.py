"""How a contact listens: five levels from new to lost, what each means, and which moves between them there are."""

from enum import StrEnum
from typing import Final

#: Of the score: what a person did so long ago counts half. One and the same for the whole of a score's life.
HALF_LIFE_DAYS: Final = 90
HALF_LIFE: Final = HALF_LIFE_DAYS * 86_400.0
OPEN_WEIGHT: Final = 1.0  # a mail opened by a person, once a mail
CLICK_WEIGHT: Final = 2.0  # a mail in which a person clicked, once a mail

NEXT_MAILS: Final = 10  # for how many mails ahead responses are foretold


class Level(StrEnum):
    """Where a contact stands; a table (``MOVES``) says which way it may go from there."""

    NEW = "new"  # too few mails yet to say anything
    ACTIVE = "active"
    COOLING = "cooling"
    DORMANT = "dormant"
    LOST = "lost"


class Needs(StrEnum):
    """What a move takes."""

    NOTHING = "nothing"
    RESPONSE = "response"  # an answer since the level was given: nobody comes back by a refit alone


_L = Level

# What is not in this table does not happen; a test walks every pair. Downwards everybody goes where their history
# puts them, and by more than one step where several mails went out between two looks. Upwards a person goes by
# answering; nobody becomes new again.
MOVES: Final[dict[tuple[Level, Level], Needs]] = {
    (_L.NEW, _L.ACTIVE): Needs.NOTHING,
    (_L.NEW, _L.COOLING): Needs.NOTHING,
    (_L.NEW, _L.DORMANT): Needs.NOTHING,
    (_L.NEW, _L.LOST): Needs.NOTHING,
    (_L.ACTIVE, _L.COOLING): Needs.NOTHING,
    (_L.ACTIVE, _L.DORMANT): Needs.NOTHING,
    (_L.ACTIVE, _L.LOST): Needs.NOTHING,
    (_L.COOLING, _L.DORMANT): Needs.NOTHING,
    (_L.COOLING, _L.LOST): Needs.NOTHING,
    (_L.DORMANT, _L.LOST): Needs.NOTHING,
    (_L.COOLING, _L.ACTIVE): Needs.RESPONSE,
    (_L.DORMANT, _L.ACTIVE): Needs.RESPONSE,
    (_L.DORMANT, _L.COOLING): Needs.RESPONSE,
    (_L.LOST, _L.ACTIVE): Needs.RESPONSE,
    (_L.LOST, _L.COOLING): Needs.RESPONSE,
    (_L.LOST, _L.DORMANT): Needs.RESPONSE,
}

NEW_MAILS: Final = 5  # with fewer, and no answer, nothing can be said
ACTIVE_FROM: Final = 0.5  # probability of still responding
COOLING_FROM: Final = 0.2
DORMANT_FROM: Final = 0.05
SILENT_DORMANT_FROM: Final = 0.1  # of who never answered: expected responses to the next ten mails


def level_of(opportunities: int, responses: int, alive: float, expected: float) -> Level:
    """Where people with such a history belong: ``alive`` is the probability that they still respond, ``expected`` the
    responses to the next NEXT_MAILS mails.

    Whoever has answered is judged by the probability that they still do. Who never has is never called active or
    cooling, however young the silence is: there is no habit that could cool.
    """
    if not responses:
        if opportunities < NEW_MAILS:
            return Level.NEW
        return Level.DORMANT if expected >= SILENT_DORMANT_FROM else Level.LOST
    if alive >= ACTIVE_FROM:
        return Level.ACTIVE
    if alive >= COOLING_FROM:
        return Level.COOLING
    return Level.DORMANT if alive >= DORMANT_FROM else Level.LOST


def moved(level: Level, belongs: Level, responded: bool) -> Level:
    """The level after a look at where the history belongs; ``responded``: since the level was given."""
    needs = MOVES.get((level, belongs))
    if needs is Needs.NOTHING or (needs is Needs.RESPONSE and responded):
        return belongs
    return level
