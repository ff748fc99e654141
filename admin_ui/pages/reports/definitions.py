"""What each figure means, in one sentence; English here, translated where it is shown."""

from dataclasses import dataclass
from typing import Final

from esp.ports.reports import Metric


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric's ``title``, the head of its ``people``, its meaning; ``of`` names the whole that its share is of."""

    title: str
    people: str
    meaning: str
    of: str = ""


DEFINITIONS: Final = {
    Metric.TARGETED: Definition(
        "Targeted", "Everybody the campaign was aimed at",
        "Everybody on the chosen lists when the sending reached them, whether they got the mail or not."),
    Metric.WAITING: Definition("Waiting", "Not tried yet", "Their mail has not been tried for the first time yet."),
    Metric.DELIVERED: Definition(
        "Delivered", "People it was delivered to",
        "Their mail server took the mail; whether it lies in the inbox or in spam, no server tells.", "sent"),
    Metric.DEFERRED: Definition(
        "To be tried again", "People whose mail is tried again",
        "Their server asked to come back later, which is done by itself for up to four days."),
    Metric.BOUNCED: Definition(
        "Bounced", "People whose mail bounced",
        "Their server refused the mail for good, at once or by a later report; dead addresses are not written to "
        "again.", "sent"),
    Metric.EXPIRED: Definition(
        "Gave up", "People whose mail was given up", "Their server asked to come back later until the time was up.",
        "sent"),
    Metric.SUPPRESSED: Definition(
        "Not sent", "People who were not sent it",
        "They were on the lists but had unsubscribed, bounced, complained or were left out, so nothing was sent."),
    Metric.CANCELLED: Definition(
        "Cancelled", "People the cancelling spared", "The campaign was cancelled before their mail went out."),
    Metric.OPENED: Definition(
        "Opened", "People who opened it",
        "A person loaded the mail's images at least once; those who read without images are not seen, and machines are "
        "left out.", "delivered"),
    Metric.CLICKED: Definition(
        "Clicked", "People who clicked",
        "A person followed at least one link; link scanners are left out.", "delivered"),
    Metric.MACHINE_OPENED: Definition(
        "Opened by machines", "Mails that machines opened",
        "A privacy proxy or a scanner loaded the images, which says nothing about the person.", "delivered"),
    Metric.MACHINE_CLICKED: Definition(
        "Clicked by machines", "Mails whose links machines tried",
        "A security scanner followed the links, which says nothing about the person.", "delivered"),
    Metric.UNSUBSCRIBED: Definition(
        "Unsubscribed", "People who unsubscribed",
        "They left by this mail's unsubscribe link or their mail program's button.", "delivered"),
    Metric.COMPLAINED: Definition(
        "Complained", "People who complained",
        "They pressed “this is spam” and their provider told us; they are not written to again. Gmail wants this below "
        "0.1 %.", "delivered"),
}
