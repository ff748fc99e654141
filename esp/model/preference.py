"""What a recipient may choose: how often, about what, and from when again; and what a list's archive may show."""

from enum import StrEnum


class Frequency(StrEnum):
    """How mails reach somebody: each as it is sent, gathered in a daily or weekly digest, or not at all."""

    EACH = "each"
    DAILY = "daily"
    WEEKLY = "weekly"
    NONE = "none"


class Cadence(StrEnum):
    """How often a digest goes out."""

    DAILY = "daily"
    WEEKLY = "weekly"


class ArchiveAccess(StrEnum):
    """Who may read a list's archive: nobody, subscribers by a signed link, everybody."""

    OFF = "off"
    PRIVATE = "private"
    PUBLIC = "public"
