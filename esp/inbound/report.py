"""What delivery reports (RFC 3464, RFC 6533) say of each recipient, as values, however broken they came."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from esp.inbound.message import Fields, ReadMessage

STATUS: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
ADDRESS: Final = re.compile(r"[^\s<>;,\"():\[\]\\]{1,200}@[\w.-]{1,255}")
_QUOTED: Final = re.compile(r'"[^"\n]{1,64}"@[\w.-]{1,255}')
_TYPE: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9-]{0,30}\s*;")
_ACTIONS: Final = frozenset(("failed", "delayed", "delivered", "relayed", "expanded"))
_SPELLED: Final = {"failure": "failed", "fail": "failed", "expired": "failed", "error": "failed", "bounced": "failed",
                   "delay": "delayed", "deferred": "delayed", "success": "delivered", "deliverable": "delivered",
                   "undeliverable": "failed", "deliverable/success": "delivered"}
_REPORT: Final = ("final-recipient", "original-recipient", "x-actual-recipient", "diagnostic-code", "action", "status",
                  "remote-recipient", "remote-mta")
_LINE: Final = re.compile(
    rf"^[ \t>]*({'|'.join(_REPORT)}):(.*(?:\n[ \t]+(?![A-Za-z-]+:).+)*)", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What a report says of one recipient: ``action`` in lower case, ``status`` by RFC 3463 or empty.

    ``prose`` is what was written about it beside: it decides where the diagnostic has no words that we know.
    """

    recipient: str
    action: str
    status: str
    diagnostic: str
    prose: str = ""


@dataclass(frozen=True, slots=True)
class Complaint:
    """A feedback report: its type (abuse, fraud, not-spam, ...), the addresses in it that may carry our token, and
    the addresses that it says complained, which anybody can write."""

    type: str
    evidence: tuple[str, ...]
    recipients: tuple[str, ...] = ()


def recipient_reports(message: ReadMessage) -> tuple[RecipientReport, ...]:
    """Every recipient of every delivery report in the message, in order."""
    blocks = [
        block
        for part in message.reports if part.media_type.endswith("delivery-status")
        for block in part.blocks
    ] or list(_in_text(message.text))
    found: list[RecipientReport] = []
    for block in _joined(blocks):
        report = _recipient(block)
        if report is not None:
            found.append(report)
    return tuple(found)


def _in_text(text: str) -> Iterator[Fields]:
    """Reports that were put in among the prose, without a part of their own: a block begins where a name repeats."""
    block: dict[str, str] = {}
    for name, value in _LINE.findall(text) if "-recipient:" in text.lower() else ():
        key = name.lower()
        if key in block:
            yield block
            block = {}
        block[key] = " ".join(value.split())
    if block:
        yield block


def _joined(blocks: list[Fields]) -> Iterator[Fields]:
    """Blocks with what a stray empty line cut off put back; what speaks of the whole message is left out."""
    waiting: dict[str, str] = {}
    for block in blocks:
        named = "final-recipient" in block or "original-recipient" in block
        if waiting and (named and ("final-recipient" in waiting or "original-recipient" in waiting)):
            yield waiting
            waiting = {}
        if named or waiting or "action" in block or "status" in block or "diagnostic-code" in block:
            waiting = {**waiting, **{name: value for name, value in block.items() if name not in waiting}}
    if waiting:
        yield waiting


def _recipient(block: Fields) -> RecipientReport | None:
    if not ("final-recipient" in block or "original-recipient" in block or "action" in block or "status" in block):
        return None
    diagnostic = _after_type(block.get("diagnostic-code", ""))
    said = (re.split(r"[\s;,.(]", block.get("action", "").strip()) or [""])[0].lower()
    action = _SPELLED.get(said, said)
    status = STATUS.search(block.get("status", ""))
    return RecipientReport(
        _address_in(block), action if action in _ACTIONS else "", status[0] if status else "", diagnostic
    )


def _address_in(block: Fields) -> str:
    names = ("final-recipient", "original-recipient", "x-actual-recipient", "remote-recipient")
    values = [_after_type(block[name]) for name in names if name in block]
    found = [address for value in values if (address := address_of(value))]
    # "user@host" is an address as much as any, but a name with a dot is a better one.
    return next((one for one in found if "." in one.rpartition("@")[2]), found[0] if found else "")


def address_of(value: str) -> str:
    """The first address in a text, or "" where there is none."""
    quoted = _QUOTED.search(value)
    if quoted is not None:
        return quoted[0]
    found = ADDRESS.search(value)
    if found is None:
        return ""
    # An encoded word is no address, but it is what the report names (RFC 2047 section 5 notwithstanding).
    return found[0] if found[0].startswith("=?") else found[0].strip("'`*=|").rstrip(".-_")


def _after_type(value: str) -> str:
    """``rfc822; person@example`` and ``smtp; 550 no`` without the type (RFC 3464 section 2.1.2)."""
    found = _TYPE.match(value)
    return (value[found.end() :] if found else value).strip()
