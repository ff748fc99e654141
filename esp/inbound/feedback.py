"""Complaints: feedback reports (RFC 5965), Hotmail's junk mail reports, and providers' notices in JSON."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from esp.inbound.message import Fields, ReadMessage
from esp.inbound.phrases import Family, Where, said
from esp.inbound.report import STATUS, Complaint, RecipientReport, address_of

_TOKENS: Final = re.compile(r"[A-Za-z0-9_.+=-]{1,200}@[A-Za-z0-9.-]{1,255}")
_EVIDENCE: Final = ("original-mail-from", "return-path", "list-unsubscribe", "x-original-from", "x-envelope-from")
_JUNK: Final = "x-hmxmroriginalrecipient"  # Hotmail's junk mail reporting program puts it into the mail it returns
_JSON: Final = 64_000


@dataclass(frozen=True, slots=True)
class Notice:
    """What a provider's notice in JSON says: of a bounce or a delivery, or of a complaint."""

    reports: tuple[RecipientReport, ...]
    complaint: Complaint | None


def complaint(message: ReadMessage) -> Complaint | None:
    """The feedback report in the message, or None."""
    for part in message.reports:
        if part.media_type == "message/feedback-report":
            fields: dict[str, str] = {}
            for block in part.blocks:  # some put an empty line between them
                fields = {**block, **fields}
            told = (fields.get("original-rcpt-to", ""), fields.get("removal-recipient", ""))
            return Complaint((fields.get("feedback-type") or "abuse").lower(),
                             tuple(_evidence(fields, message.original)), _addresses(told))
    return None


def junk_report(message: ReadMessage) -> Complaint | None:
    """A complaint in another shape than RFC 5965's: a covering letter and the mail, with or without marks."""
    original = message.original
    if _JUNK in original:
        return Complaint("abuse", tuple(_evidence({}, original)), _addresses((original[_JUNK],)))
    letter = (said(Family.COMPLAINT, Where.SUBJECT, message.subject.lower())
              or said(Family.COMPLAINT, Where.TEXT, message.lower))
    sender = said(Family.COMPLAINT, Where.SENDER, message.fields.get("from", "").lower())
    if letter is not None and (sender is not None or original):
        return Complaint("abuse", tuple(_evidence({}, original)), _addresses((original.get("x-rcpt-to", ""),)))
    return None


def notice(message: ReadMessage) -> Notice | None:
    """A bounce, delivery or complaint as Amazon's notification service mails it, or None."""
    start = message.text.find("{")
    if not 0 <= start <= 200 or ("notificationtype" not in message.lower and "eventtype" not in message.lower):
        return None
    data = _json(message.text[start : start + _JSON])
    if isinstance(data.get("Message"), str):  # as the service wraps it for its other subscribers
        data = _json(data["Message"])
    kind = str(data.get("notificationType", data.get("eventType", ""))).lower()
    if kind == "complaint":
        said_by = _table(data, "complaint")
        told = tuple(str(one.get("emailAddress", "")) for one in _tables(said_by.get("complainedRecipients")))
        return Notice((), Complaint(str(said_by.get("complaintFeedbackType") or "abuse").lower(),
                                    tuple(_json_evidence(data)), told))
    if kind == "bounce":
        bounce = _table(data, "bounce")
        return Notice(tuple(_bounced(one) for one in _tables(bounce.get("bouncedRecipients"))), None)
    if kind == "delivery":
        delivery = _table(data, "delivery")
        answer = str(delivery.get("smtpResponse", ""))
        status = STATUS.search(answer)
        return Notice(tuple(RecipientReport(str(one), "delivered", status[0] if status else "", answer)
                            for one in _listed(delivery.get("recipients"))), None)
    return None


def _bounced(one: dict[str, Any]) -> RecipientReport:
    diagnostic = re.sub(r"^\s*smtp;\s*", "", str(one.get("diagnosticCode", "")))
    action = str(one.get("action", "failed")).lower()
    status = STATUS.search(str(one.get("status", "")))
    return RecipientReport(address_of(str(one.get("emailAddress", ""))), action if action == "delayed" else "failed",
                           status[0] if status else "", diagnostic)


def _json(text: str) -> dict[str, Any]:
    end = text.rfind("}")
    try:
        data = orjson.loads(text[: end + 1])
    except orjson.JSONDecodeError:
        try:  # a notice that was broken into lines on its way
            data = orjson.loads(re.sub(r"[\r\n]", "", text[: end + 1]))
        except orjson.JSONDecodeError:
            return {}
    return data if isinstance(data, dict) else {}


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _listed(value: object) -> list[Any]:
    return value[:100] if isinstance(value, list) else []


def _tables(value: object) -> list[dict[str, Any]]:
    return [one for one in _listed(value) if isinstance(one, dict)]


def _json_evidence(data: dict[str, Any]) -> Iterator[str]:
    mail = _table(data, "mail")
    yield from _TOKENS.findall(str(mail.get("source", "")))[:4]
    for field in _tables(mail.get("headers")):
        if str(field.get("name", "")).lower() in _EVIDENCE:
            yield from _TOKENS.findall(str(field.get("value", "")))[:4]


def evidence(message: ReadMessage) -> tuple[str, ...]:
    """Addresses in the header of the mail that came back, one of which may carry a token of ours."""
    return tuple(dict.fromkeys(_evidence({}, message.original)))


def _evidence(report: Fields, original: Fields) -> Iterator[str]:
    # Whoever has the mail has its token, so where the token stands does not matter; that it verifies does.
    for value in (report.get("original-mail-from", ""), *(original.get(name, "") for name in _EVIDENCE)):
        yield from (found.removeprefix("mailto:") for found in _TOKENS.findall(value)[:4])


def _addresses(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address for value in values if (address := address_of(value))))
