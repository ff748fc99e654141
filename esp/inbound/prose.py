"""Bounces that are written for people: which recipients the text names, and what it says of each.

There are as many dialects as mail systems, but only some ways to name somebody: at the head of a line, in a sentence,
in a reply that is quoted. They are tried from the surest to the vaguest, and the first that names anybody decides.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from esp.inbound.message import ReadMessage
from esp.inbound.phrases import Family, Where, of_family, said
from esp.inbound.report import STATUS, RecipientReport, address_of

_LINES: Final = 600
_LINE: Final = 1000
_PROSE: Final = 1200  # characters that are kept of what is said of one recipient
_RECIPIENTS: Final = 100
_A: Final = r"([^\s<>;,\"'():\[\]\\*]{1,200}@[\w.-]{1,255}\w)"
_ALONE: Final = re.compile(rf"^[\s>*|•\-<\"'=:]{{0,20}}(?:mailto:|smtp:|rfc822;? ?)?{_A}[\s>\"'.,;:*|]{{0,20}}$", re.I)
_HEAD: Final = re.compile(
    rf"^[\s*|•\-<\"'\[]{{0,20}}(?:smtp:|to: )?{_A}[>\"'\]]{{0,3}}"
    r"(?:\s{0,8}(?::|\.\.\.|\(|\[|;|,|=>| - |–)"
    r"|\s+(?:on \w{3}|invalid|unknown|user|does|is |was |no |not |mailbox|[45]\d\d|#[45]))", re.I)
_AFTER: Final = re.compile(
    r"(?:deliver(?:y|ed|ing)?|sent|send|mail|undeliverable|addressed|message|forward|zugestellt|entregad[oa]|entregue"
    rf"|terkirim|dikirim|livr[ée]e?|доставлено|fail(?:ed|ure)|returned|account)[^\n@]{{0,80}}?"
    rf"(?:\bto|\bfor|\bat|\ban|\ba|\bke|\bkepada|\bpara|\bà|:|is|of)\W{{1,8}}{_A}", re.I)
_LABEL: Final = re.compile(
    r"(?:recipients?|rcpt(?: to)?|addressees?|e?-?mail address(?:es)?|user|mailbox|address(?:es)?|delivery failed|"
    r"destinatario|destinat[aá]rio|destinataire|empf[aä]nger|penerima|alamat|получател[ья]|error-for)"
    rf"(?: name| address| affected| unknown)?\W{{0,3}}[:=]\W{{0,6}}{_A}", re.I | re.M)
_EXCHANGE: Final = re.compile(rf"dda:smtp={_A}", re.I)
_TO: Final = re.compile(rf"^\s*to:\W{{0,6}}{_A}", re.I | re.M)
_REPLY: Final = re.compile(rf"(?:^|<<< |said: ?|\b)[45]\d\d[- ][^\n@]{{0,80}}?{_A}", re.M)
_CODE: Final = re.compile(r"(?<![\d.:/\-\w])([45]\d\d)(?=[ \-:;,]|$)")
_NOISE: Final = re.compile(r"wrote|schrieb|menulis|a écrit|escribi|napisał|scritto|geschreven|skrev", re.I)


@dataclass(frozen=True, slots=True)
class Named:
    """A recipient that the text names, and what it says there (up to where it names the next)."""

    address: str
    told: str


def is_written(message: ReadMessage) -> bool:
    """Whether somebody's words say that a mail could not be delivered, and whether it is a machine that says so."""
    sender = message.fields.get("from", "").lower()
    machine = said(Family.FAILED, Where.SENDER, sender) is not None or "x-failed-recipients" in message.fields
    told = (said(Family.FAILED, Where.TEXT, message.lower) or said(Family.DELAYED, Where.TEXT, message.lower)
            or said(Family.EXPIRED, Where.TEXT, message.lower))
    subject = message.subject.lower()
    titled = said(Family.FAILED, Where.SUBJECT, subject) or said(Family.DELAYED, Where.SUBJECT, subject)
    if re.match(r"(?:re|aw|sv|antw|bls|balas)\s*:", subject):
        return False  # a person who answers a bounce
    # One sign is somebody talking about mail; two are a mail system.
    return (machine + (told is not None) + (titled is not None)) >= 2


def written_reports(message: ReadMessage) -> tuple[RecipientReport, ...]:
    """What the text says of every recipient it names; none where it names nobody."""
    action = action_of(message)
    reports = []
    named = list(_named(message))
    for one in named:
        if len(named) == 1:
            # All of the text is about the only one; a reason may stand before the address.
            one = Named(one.address, f"{one.told}\n{message.text[:_PROSE]}")
        status = STATUS.search(one.told)
        reports.append(
            RecipientReport(one.address, action, status[0] if status else "", diagnostic(one.told), one.told)
        )
    return tuple(reports)


def action_of(message: ReadMessage) -> str:
    """``delayed`` where the text or its title says that it is tried again, else ``failed``."""
    if said(Family.DELAYED, Where.SUBJECT, message.subject.lower()):
        return "delayed"
    late = said(Family.DELAYED, Where.TEXT, message.lower) is not None
    return "delayed" if late else "failed"


def diagnostic(told: str) -> str:
    """The reply that is quoted in a text, from its code to the end of its sentence, or ""."""
    found = _CODE.search(told)
    return " ".join(told[found.start() : found.start() + 500].split()) if found else ""


def _named(message: ReadMessage) -> Iterator[Named]:
    failed = [address for address in re.split(r"[,\s]+", message.fields.get("x-failed-recipients", ""))
              if "@" in address]
    lines = [line[:_LINE] for line in message.text.split("\n")[:_LINES]]
    heads = [(number, address) for number, line in enumerate(lines) if (address := _at_head(line))]
    if failed:
        yield from _told(lines, message.text, [_place(one, heads) for one in failed[:_RECIPIENTS]], heads)
        return
    if heads:
        yield from _told(lines, message.text, heads[:_RECIPIENTS], heads)
        return
    ours = {address_of(message.fields.get(name, "")).lower() for name in ("to", "from", "return-path")}
    text = "\n".join(line for line in lines if "@" in line and not _bystander(line.lower()))
    for pattern in (_EXCHANGE, _LABEL, _AFTER, _REPLY, _TO):
        found = [address for address in pattern.findall(text) if address.lower() not in ours]
        if not found and pattern is _AFTER:  # a sentence that goes on in the next line
            whole = " ".join(" ".join(lines[:60]).split())[:6000]
            found = [address for address in pattern.findall(whole) if address.lower() not in ours]
        if found:
            yield from (Named(address, message.text[:4000]) for address in _unique(found)[:_RECIPIENTS])
            return
    meant = address_of(message.original.get("to", "")) or address_of(message.original.get("x-envelope-to", ""))
    if meant and meant.lower() not in ours:
        yield Named(meant, message.text[:4000])


def _place(address: str, heads: Iterable[tuple[int, str]]) -> tuple[int, str]:
    return next(((number, address) for number, named in heads if named.lower() == address.lower()), (-1, address))


def _told(
    lines: list[str], text: str, wanted: list[tuple[int, str]], heads: list[tuple[int, str]]
) -> Iterator[Named]:
    """Each of the wanted with its lines: from where it stands up to the next, and wherever else it is named."""
    starts = sorted(number for number, _ in heads)
    seen: set[str] = set()
    for number, address in wanted:
        key = address.lower()
        if key in seen:
            continue
        seen.add(key)
        if number < 0:
            yield Named(address, text[:4000])
            continue
        end = next((start for start in starts if start > number), len(lines))
        told = "\n".join(lines[number : min(end, number + 40)])
        elsewhere = [
            "\n".join(lines[other : other + 3]) for other, line in enumerate(lines)
            if not number <= other < end and key in line.lower()
        ]
        if len(told) < len(address) + 20 or not re.search(r"[A-Za-z]{4}", told.replace(address, "")):
            elsewhere.append(text[:4000])  # the reason stands before the address, or for all of them behind
        yield Named(address, "\n".join([told, *elsewhere[:4]]))


def _at_head(line: str) -> str:
    if "@" not in line:
        return ""
    found = _ALONE.match(line)
    if found is None:
        found = _HEAD.match(line)
        if found is None or _NOISE.search(line, found.end(1)):
            return ""
    return found[1].strip("'`=|").rstrip(".-_")


def _bystander(lower: str) -> bool:
    return any(phrase.find(lower) >= 0 for phrase in of_family(Family.BYSTANDER, Where.TEXT))


def _unique(addresses: Iterable[str]) -> list[str]:
    found: dict[str, str] = {}
    for address in addresses:
        found.setdefault(address.lower(), address.strip("'`=|").rstrip(".-_"))
    return list(found.values())
