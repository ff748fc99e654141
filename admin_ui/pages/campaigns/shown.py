"""States and reasons in a marketer's words; English here, translated where they are shown."""

import re
from dataclasses import dataclass
from typing import Final

from esp.model.campaign import CampaignState
from esp.model.contact import ExclusionReason
from esp.model.delivery import DeliveryState
from esp.model.verdict import Reason


@dataclass(frozen=True, slots=True)
class StateWords:
    """A state's badge: its word, the kind of its colour, and an icon that says the same."""

    label: str
    kind: str
    icon: str


STATES: Final = {
    CampaignState.DRAFT: StateWords("Draft", "", "pencil"),
    CampaignState.SCHEDULED: StateWords("Scheduled", "", "calendar"),
    CampaignState.SENDING: StateWords("Sending", "good", "send"),
    CampaignState.PAUSED: StateWords("Paused", "warn", "pause"),
    CampaignState.SENT: StateWords("Sent", "", "circle-check"),
    CampaignState.CANCELLED: StateWords("Cancelled", "", "ban"),
}

DELIVERY_STATES: Final = {
    DeliveryState.QUEUED: "Waiting",
    DeliveryState.DEFERRED: "To be tried again",
    DeliveryState.DELIVERED: "Delivered",
    DeliveryState.BOUNCED: "Bounced",
    DeliveryState.EXPIRED: "Gave up",
    DeliveryState.SUPPRESSED: "Not sent",
    DeliveryState.CANCELLED: "Cancelled",
}

_EXCLUDED: Final = {
    ExclusionReason.UNSUBSCRIBED: "They unsubscribed",
    ExclusionReason.UNCONFIRMED: "They have not confirmed yet",
    ExclusionReason.SUPPRESSED_BOUNCE: "Their address bounced before",
    ExclusionReason.SUPPRESSED_COMPLAINT: "They complained before",
    ExclusionReason.SUPPRESSED_MANUAL: "Blocked by hand",
    ExclusionReason.EXCLUDED_LIST: "They are on a list you left out",
    ExclusionReason.EXCLUDED_SEGMENT: "They are in a segment you left out",
    ExclusionReason.PAUSED: "They paused all mail for a while",
    ExclusionReason.TOPIC_DECLINED: "They want nothing about this topic",
    ExclusionReason.DIGEST: "They get it in their next digest",
    ExclusionReason.ERASED: "They had their data erased",
}

_BOUNCED: Final = {
    Reason.UNKNOWN_USER: "No such mailbox",
    Reason.DISABLED: "The mailbox is closed",
    Reason.MAILBOX_FULL: "The mailbox is full",
    Reason.MOVED: "The person has moved",
    Reason.GREYLISTED: "Asked to come back later",
    Reason.RATE_LIMITED: "Too many mails at once",
    Reason.REPUTATION: "The sender's reputation",
    Reason.SPAM: "Taken for spam",
    Reason.VIRUS: "Taken for a virus",
    Reason.POLICY: "Against the provider's policy",
    Reason.AUTHENTICATION: "SPF, DKIM or DMARC failed",
    Reason.TOO_LARGE: "The mail is too large",
    Reason.CONTENT: "The content was refused",
    Reason.RELAYING: "The server does not take mail for this domain",
    Reason.LOGIN: "The relay refused our password",
    Reason.DNS: "The domain has no mail server",
    Reason.NETWORK: "The server could not be reached",
    Reason.TLS: "No safe connection",
    Reason.TIMEOUT: "The server did not answer in time",
    Reason.PROTOCOL: "The server broke the protocol",
    Reason.SYSTEM: "The server had trouble of its own",
    Reason.OTHER: "Another reason",
}

REASONS: Final[dict[str, str]] = {**{str(key): words for key, words in _EXCLUDED.items()},
                                  **{str(key): words for key, words in _BOUNCED.items()}}

FIELDS: Final = (
    ("contact.first_name", "First name", '{{ contact.first_name | default("there") }}'),
    ("contact.last_name", "Last name", '{{ contact.last_name | default("") }}'),
    ("contact.city", "City", '{{ contact.city | default("your city") }}'),
    ("contact.country", "Country", '{{ contact.country | default("") }}'),
    ("contact.email", "E-mail address", "{{ contact.email }}"),
    ("list.name", "Name of the list", "{{ list.name }}"),
    ("workspace.name", "Name of the workspace", "{{ workspace.name }}"),
    ("workspace.postal_address", "Postal address", "{{ workspace.postal_address }}"),
    ("unsubscribe_url", "Unsubscribe address", "{{ unsubscribe_url }}"),
    ("view_url", "View-in-browser address", "{{ view_url }}"),
    ("preferences_url", "Address of their own choices", "{{ preferences_url }}"),
)


def reason_words(reason: str) -> str:
    """The words for an exclusion or a bounce; a reason nobody thought of stands for itself."""
    return REASONS.get(reason, reason.replace("_", " ").capitalize())


_MERGE: Final = re.compile(r"\{\{\s*(?:contact\.)?([\w.]+)[^{}]*\}\}")
_LOGIC: Final = re.compile(r"\{%.*?%\}|\{#.*?#\}")


def readable(subject: str) -> str:
    """A subject without code: ``Hello {{ contact.first_name | default("you") }}`` is ``Hello [first name]``.

    Conditions are left out, and what stands between them stays.
    """
    shown = _MERGE.sub(lambda found: f"[{found[1].replace('_', ' ').replace('.', ' ')}]", subject)
    return " ".join(_LOGIC.sub("", shown).split())
