"""Verdicts in the words that people and other systems use: thirteen groups, and hard, soft or block."""

from enum import StrEnum
from typing import Final

from esp.model.verdict import Permanence, Reason, Scope, Verdict

_R = Reason


class Group(StrEnum):
    """Why a mail failed, as coarsely as it matters to somebody who keeps a list."""

    INVALID_RECIPIENT = "invalid_recipient"
    INVALID_DOMAIN = "invalid_domain"
    INACTIVE = "inactive"
    MAILBOX_FULL = "mailbox_full"
    TOO_LARGE = "too_large"
    NETWORK = "network"
    SYSTEM = "system"
    RATE_LIMITED = "rate_limited"
    REPUTATION = "reputation"
    AUTH = "auth"
    CONTENT = "content"
    POLICY = "policy"
    UNDETERMINED = "undetermined"


class BounceClass(StrEnum):
    """What to think of the address: dead, alive but out of reach, not asked at all (block), or nothing known."""

    HARD = "hard"
    SOFT = "soft"
    BLOCK = "block"
    UNDETERMINED = "undetermined"


GROUPS: Final[dict[Reason, Group]] = {
    _R.OK: Group.UNDETERMINED, _R.UNKNOWN_USER: Group.INVALID_RECIPIENT, _R.MOVED: Group.INVALID_RECIPIENT,
    _R.DISABLED: Group.INACTIVE, _R.MAILBOX_FULL: Group.MAILBOX_FULL, _R.GREYLISTED: Group.RATE_LIMITED,
    _R.RATE_LIMITED: Group.RATE_LIMITED, _R.REPUTATION: Group.REPUTATION, _R.SPAM: Group.CONTENT,
    _R.VIRUS: Group.CONTENT, _R.CONTENT: Group.CONTENT, _R.POLICY: Group.POLICY, _R.AUTHENTICATION: Group.AUTH,
    _R.TOO_LARGE: Group.TOO_LARGE, _R.RELAYING: Group.POLICY, _R.LOGIN: Group.AUTH, _R.DNS: Group.INVALID_DOMAIN,
    _R.NETWORK: Group.NETWORK, _R.TLS: Group.AUTH, _R.TIMEOUT: Group.NETWORK, _R.PROTOCOL: Group.SYSTEM,
    _R.AMBIGUOUS: Group.NETWORK, _R.SYSTEM: Group.SYSTEM, _R.OTHER: Group.UNDETERMINED,
}
_BLOCKS: Final = frozenset((Group.REPUTATION, Group.AUTH, Group.CONTENT, Group.POLICY, Group.RATE_LIMITED))


def group_of(verdict: Verdict) -> Group:
    """The group of a failure; a success is in none and counts as undetermined."""
    return GROUPS[verdict.reason]


def class_of(verdict: Verdict, hard: bool) -> BounceClass:
    """The class of a failure; ``hard`` as ``judge.hard`` says."""
    group = group_of(verdict)
    if hard:
        return BounceClass.HARD
    if group is Group.UNDETERMINED:
        return BounceClass.SOFT if verdict.permanence is Permanence.TRANSIENT else BounceClass.UNDETERMINED
    if group in _BLOCKS or (verdict.scope is Scope.SITE and group is not Group.NETWORK and group is not Group.SYSTEM):
        return BounceClass.BLOCK
    return BounceClass.SOFT
