"""Every exception that Merpati raises on purpose; the message is written for the person who must act on it."""

from typing import Any


class MerpatiError(Exception):
    """Something a person can mend; ``str(error)`` says what happened, what was kept and what to do."""


class NotFoundError(MerpatiError):
    """The thing asked for does not exist in this workspace (other workspaces' things do not exist either)."""


class ConflictError(MerpatiError):
    """The thing is not in a state that allows this, or somebody else changed it first."""


class InputError(MerpatiError):
    """Input from outside that cannot be accepted.

    ``problems`` maps a field's name to one sentence about it, so that a form, the API and the command line
    can each show the same words beside the same field.
    """

    def __init__(self, message: str, problems: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or {}


class SettingsError(MerpatiError):
    """The configuration cannot be used; the message names the key and the nearest right one."""


class TokenError(MerpatiError):
    """A token was forged, cut, expired or made for another purpose. Never says which, so nothing can be learnt."""


class ExpiredTokenError(TokenError):
    """A genuine token whose time is over: said only where its owner needs to know that a new one will do."""


class DependencyError(MerpatiError):
    """A part of the machine that is needed (a database, Redis, a program) is missing or does not answer."""


class StorageFullError(DependencyError):
    """The disk has no room for more; nothing was kept."""


class TookTooLongError(MerpatiError):
    """A question to the database was given up after its time; nothing was changed, and a simpler one is answered."""


class LeaseLostError(MerpatiError):
    """Somebody else holds the batch now; whatever this worker still knows about it must not be written."""


class ContentError(MerpatiError):
    """Content that cannot be sent as it stands.

    ``problems`` are ``esp.model.content.Problem`` values (untyped here, for errors import nothing), errors first.
    """

    def __init__(self, message: str, problems: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems
