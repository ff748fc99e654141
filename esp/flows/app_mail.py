"""A message that an app describes by its parts: checked, its template filled in, written, ready for the relay."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from esp.errors import InputError
from esp.merge.budget import MergeLimitError
from esp.merge.evaluate import Program, plain_text
from esp.merge.parse import MergeSyntaxError, Tree, parse
from esp.merge.preview import PAGE_HTML, PAGE_TEXT
from esp.model.relay import Addressee, Submission
from esp.render.app_mail import AppMail, Attachment, Mailbox, is_media_type, write_app_mail
from esp.wire.addresses import AddressError, parse_address
from esp.wire.submitted import words_of

LARGEST: Final = 25 * 1024 * 1024  # octets of a message as it goes out; larger ones are refused by most receivers
MOST_ATTACHMENTS: Final = 100
_LONGEST_TEMPLATE: Final = 500_000
_KEPT_TEMPLATE: Final = 50_000
_NAMED: Final = re.compile(r'(?:"((?:[^"\\\r\n]|\\[^\r\n])*)"|([^<>"]*?))\s*<\s*([^<>\s]+)\s*>')
_HEADER_NAME: Final = re.compile(r"[!-9;-~]{1,76}")
_CONTENT_ID: Final = re.compile(r"[A-Za-z0-9!#$&'*+/=?^_`{|}~.@-]{1,200}")
#: What we write ourselves, what only servers on the way may write, and what would make the message another one.
_NOT_GIVEN: Final = re.compile(
    r"from|sender|to|cc|bcc|reply-to|subject|date|mime-version|content-.*|received.*|return-path|resent-.*|"
    r"dkim-signature|domainkey-signature|authentication-results|arc-.*|x-merpati-.*|delivered-to|errors-to",
    re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Template:
    """What is filled in with ``data``: names that its merge fields read. None of the texts need be a template."""

    subject: str = ""
    text: str = ""
    html: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """A message as an app describes it. Mailboxes are texts: ``name <address>`` or an address.

    With ``data`` the subject and the texts are templates. ``attachments`` are decoded. The rest is as in Submission.
    """

    sender: str
    to: Sequence[str]
    subject: str = ""
    text: str = ""
    html: str = ""
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    data: Mapping[str, Any] | None = None
    stream: str = ""
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    track_opens: bool | None = None
    track_clicks: bool | None = None
    send_at: datetime | None = None
    held: bool = False
    idempotency_key: str = ""
    fingerprint: str = ""


def read_mailbox(text: str) -> Mailbox:
    """``Sri <sri@toko.example>``, ``"Sri, Toko" <...>`` or an address alone; AddressError."""
    text = text.strip()
    found = _NAMED.fullmatch(text)
    if found is None:
        return Mailbox("", parse_address(text).text)
    name = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
    if "=?" in name:  # libraries that write for the wire; we encode it anew
        name = words_of(name.encode("ascii", "replace"))
    return Mailbox(" ".join(name.split()), parse_address(found[3]).text)


def submission_of(it: Description) -> Submission:
    """The message written, with its envelope. Raises InputError whose problems name each bad part."""
    problems: dict[str, str] = {}
    subject, text, html = it.subject, it.text, it.html
    if it.data is not None:
        subject, text, html = filled(Template(subject, text, html), it.data, problems)
    sender = _mailboxes((it.sender,), "from", problems)
    to, cc, bcc, reply_to = (_mailboxes(texts, name, problems) for texts, name in (
        (it.to, "to"), (it.cc, "cc"), (it.bcc, "bcc"), (it.reply_to, "reply_to")))
    if not (it.to or it.cc or it.bcc):
        problems["to"] = "There is no recipient."
    if not (text.strip() or html.strip() or it.attachments):
        problems["text"] = "There is nothing in it: give text, html, a template or an attachment."
    _check_headers(it.headers, problems)
    _check_attachments(it.attachments, problems)
    if problems:
        raise _refused(problems)
    try:
        raw = write_app_mail(AppMail(
            sender[0], to, subject, text, html, cc, reply_to, tuple(it.headers.items()), tuple(it.attachments)))
    except ValueError as error:
        raise _refused({"headers": f"{error}."}) from None
    if len(raw) > LARGEST:
        raise _refused({"attachments": f"The message would be of {len(raw):,} octets; at most {LARGEST:,} are sent."})
    return Submission(
        raw=raw, sender=sender[0].address,
        recipients=tuple(Addressee(one.address) for one in (*to, *cc, *bcc)), stream=it.stream, tags=tuple(it.tags),
        metadata=it.metadata, track_opens=it.track_opens, track_clicks=it.track_clicks, send_at=it.send_at,
        held=it.held, idempotency_key=it.idempotency_key, fingerprint=it.fingerprint)


def _refused(problems: dict[str, str]) -> InputError:
    name, words = next(iter(problems.items()))
    return InputError(f"{name}: {words}", problems)


def _mailboxes(texts: Sequence[str], name: str, problems: dict[str, str]) -> tuple[Mailbox, ...]:
    found: list[Mailbox] = []
    for place, text in enumerate(texts):
        try:
            found.append(read_mailbox(text))
        except AddressError as error:
            problems[name if len(texts) == 1 else f"{name}.{place}"] = str(error)
    return tuple(found)


def _check_headers(headers: Mapping[str, str], problems: dict[str, str]) -> None:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            problems["headers"] = f"{name[:60]!r} is no name of a header."
        elif _NOT_GIVEN.fullmatch(name):
            problems[f"headers.{name}"] = "This header is written by the server, or by a field of its own."
        elif not _is_line(value):
            problems[f"headers.{name}"] = "This must be a single line."
    if len({name.lower() for name in headers}) < len(headers):
        problems["headers"] = "A header is given twice."


def _is_line(text: str) -> bool:
    """Whether no parser could take any of it for the end of a line: a header has one."""
    return "\0" not in text and text.splitlines() in ([text], [])


def _check_attachments(attachments: Sequence[Attachment], problems: dict[str, str]) -> None:
    if len(attachments) > MOST_ATTACHMENTS:
        problems["attachments"] = f"At most {MOST_ATTACHMENTS} attachments."
    for place, one in enumerate(attachments):
        if not is_media_type(one.media_type):
            problems[f"attachments.{place}.content_type"] = "This is no media type, such as application/pdf."
        if one.content_id and not _CONTENT_ID.fullmatch(one.content_id):
            problems[f"attachments.{place}.content_id"] = "Use letters, digits, dots and dashes, such as logo."
        if not one.name.strip() or len(one.name) > 200 or not _is_line(one.name):
            problems[f"attachments.{place}.filename"] = "A name of 1 to 200 characters on a single line is needed."


# ---- templates -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=128)
def _short_tree(source: str) -> Tree:
    return parse(source)


def _tree(source: str) -> Tree:
    """Parsed once where it is short: the same template comes again with other data."""
    return _short_tree(source) if len(source) <= _KEPT_TEMPLATE else parse(source)


def template_problems(template: Template) -> dict[str, str]:
    """What cannot be parsed, by field: nothing where the template can be used."""
    problems: dict[str, str] = {}
    for name in ("subject", "text", "html"):
        _parsed(getattr(template, name), name, problems)
    return problems


def _parsed(source: str, name: str, problems: dict[str, str]) -> Tree:
    if len(source) > _LONGEST_TEMPLATE:
        problems[name] = f"A template has at most {_LONGEST_TEMPLATE:,} characters."
        return []
    try:
        return _tree(source)
    except MergeSyntaxError as error:
        problems[name] = f"{error} (line {error.line})"
    except RecursionError:
        problems[name] = "It is nested too deeply."
    return []


def filled(template: Template, data: Mapping[str, Any], problems: dict[str, str]) -> tuple[str, str, str]:
    """Subject, text and HTML with ``data`` filled in; empty where ``problems`` are added, by field."""
    subject, text, html = (_parsed(getattr(template, name), name, problems) for name in ("subject", "text", "html"))
    if problems:
        return "", "", ""
    try:
        plain: list[str] = []
        Program(text, PAGE_TEXT).run(dict(data), plain)
        marked: list[str] = []
        Program(html, PAGE_HTML).run(dict(data), marked)
        return plain_text(subject, dict(data)), "".join(plain), "".join(marked)
    except MergeLimitError as error:
        problems["data"] = str(error)
        return "", "", ""
