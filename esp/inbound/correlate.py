"""Whose delivery a message is about: told by our signed addresses only, never by anything that a stranger can write."""

from collections.abc import Iterable
from dataclasses import dataclass

from esp.errors import TokenError
from esp.inbound.recognise import Mailbox
from esp.wire.tokens import Claims, TokenSigner


@dataclass(frozen=True, slots=True)
class Addressed:
    """Which of our addresses a message came to, and what its token says; no claims for postmaster and abuse."""

    mailbox: Mailbox
    claims: Claims | None


def addressed(tokens: TokenSigner, recipients: Iterable[str]) -> Addressed:
    """The first recipient that carries a valid token; POSTMASTER without claims where none does."""
    for recipient in recipients:
        local = recipient.rpartition("@")[0] or recipient
        for mailbox, read in ((Mailbox.RETURN_PATH, tokens.read_return_path),
                              (Mailbox.UNSUBSCRIBE, tokens.read_unsubscribe_mailbox),
                              (Mailbox.CONFIRM, tokens.read_confirm_mailbox)):
            try:
                return Addressed(mailbox, read(local))
            except TokenError:
                continue
    return Addressed(Mailbox.POSTMASTER, None)
