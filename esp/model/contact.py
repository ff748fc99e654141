"""People: a contact's standing, its subscriptions, and why an address may not be written to."""

from enum import StrEnum


class SubscriptionState(StrEnum):
    PENDING = "pending"  # asked for, not yet confirmed
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"


class SuppressionReason(StrEnum):
    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    MANUAL = "manual"


class ExclusionReason(StrEnum):
    """Why somebody in a campaign's audience will not get it (requirement B1); shown before and after a send."""

    UNSUBSCRIBED = "unsubscribed"
    UNCONFIRMED = "unconfirmed"
    SUPPRESSED_BOUNCE = "suppressed_bounce"
    SUPPRESSED_COMPLAINT = "suppressed_complaint"
    SUPPRESSED_MANUAL = "suppressed_manual"
    EXCLUDED_LIST = "excluded_list"
    EXCLUDED_SEGMENT = "excluded_segment"
    PAUSED = "paused"  # their own wish: nothing until a date
    TOPIC_DECLINED = "topic_declined"  # their own wish: nothing about this
    DIGEST = "digest"  # their own wish: it is kept for their next digest
    ERASED = "erased"  # they had their data erased; only a keyed hash of the address is left
