"""Commands by mail: which of a list's addresses a mail came to, and what it asks for."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Command(StrEnum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    CONFIRM = "confirm"
    HELP = "help"


#: What may stand behind the list's name in an address; the words that other list servers use are understood too.
SUFFIXES: Final = {
    "subscribe": Command.SUBSCRIBE, "join": Command.SUBSCRIBE, "unsubscribe": Command.UNSUBSCRIBE,
    "leave": Command.UNSUBSCRIBE, "help": Command.HELP,
}
_WORDS: Final = {**SUFFIXES, "langganan": Command.SUBSCRIBE, "berlangganan": Command.SUBSCRIBE,
                 "berhenti": Command.UNSUBSCRIBE, "bantuan": Command.HELP, "info": Command.HELP}
_SPLIT: Final = re.compile(rf"(.+)-({'|'.join(SUFFIXES)}|request)", re.IGNORECASE)
_CONFIRM: Final = re.compile(r"\bconfirm\s+([A-Za-z0-9_-]{20,100})(?![A-Za-z0-9_-])", re.IGNORECASE)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")


@dataclass(frozen=True, slots=True)
class CommandAddress:
    """``name`` is what stands before the suffix; ``command`` is None where the subject has to say it."""

    name: str
    command: Command | None


def command_addresses(local: str) -> tuple[CommandAddress, ...]:
    """How an address's local part may be read, the likelier first; none where it cannot be a command address.

    ``news-leave`` may be how to leave the list ``news``, or the address of a list that is called so.
    """
    name = local.lower()
    if not _NAME.fullmatch(name):
        return ()
    found = _SPLIT.fullmatch(name)
    whole = CommandAddress(name, None)
    return (CommandAddress(found[1], SUFFIXES.get(found[2])), whole) if found else (whole,)


def command_of(address: CommandAddress, subject: str) -> tuple[Command, str]:
    """What the mail asks for, and a confirmation's token or "". What nobody understands is answered with help."""
    confirmed = _CONFIRM.search(subject)
    if confirmed is not None:
        return Command.CONFIRM, confirmed[1]
    if address.command is not None:
        return address.command, ""
    words = re.findall(r"[a-z]+", subject.lower())
    return next((_WORDS[word] for word in words if word in _WORDS), Command.HELP), ""
