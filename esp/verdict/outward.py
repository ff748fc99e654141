"""Our groups and classes in the words of other services, for webhooks and the API: a table and nothing more."""

from dataclasses import dataclass
from typing import Final

from esp.verdict.groups import BounceClass, Group


@dataclass(frozen=True, slots=True)
class Outward:
    """One bounce as Amazon SES (type and sub-type), SendGrid, Postmark and Anymail call it."""

    ses: tuple[str, str]
    sendgrid: str
    postmark: str
    anymail: str


_SES: Final[dict[Group, str]] = {
    Group.INVALID_RECIPIENT: "NoEmail", Group.MAILBOX_FULL: "MailboxFull", Group.TOO_LARGE: "MessageTooLarge",
    Group.CONTENT: "ContentRejected",
}
_POSTMARK: Final[dict[Group, str]] = {
    Group.CONTENT: "SpamNotification", Group.REPUTATION: "Blocked", Group.POLICY: "Blocked", Group.AUTH: "DMARCPolicy",
    Group.INVALID_DOMAIN: "DnsError", Group.UNDETERMINED: "Unknown",
}
_TYPES: Final[dict[BounceClass, str]] = {
    BounceClass.HARD: "Permanent", BounceClass.SOFT: "Transient", BounceClass.BLOCK: "Transient",
    BounceClass.UNDETERMINED: "Undetermined",
}


def outward(group: Group, bounce_class: BounceClass) -> Outward:
    """How others would report a failure of this group and class."""
    hard = bounce_class is BounceClass.HARD
    sub_type = _SES.get(group, "Undetermined" if group is Group.UNDETERMINED else "General")
    if not hard and sub_type == "NoEmail":
        sub_type = "General"
    return Outward(
        (_TYPES[bounce_class], sub_type),
        "blocked" if bounce_class is BounceClass.BLOCK else "bounce",
        "HardBounce" if hard and group is not Group.INVALID_DOMAIN else _POSTMARK.get(group, "SoftBounce"),
        {Group.INVALID_RECIPIENT: "invalid", Group.INVALID_DOMAIN: "invalid", Group.CONTENT: "spam",
         Group.REPUTATION: "blocked", Group.POLICY: "blocked", Group.AUTH: "blocked"}.get(group, "bounced"),
    )
