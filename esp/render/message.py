"""From a frozen variant to one recipient's whole signed message.

Three steps that can be timed apart: ``merge`` (values into the encoded parts), ``assemble`` (headers), ``seal`` (body
hash and signatures). What all recipients share is encoded once, in the constructor.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from markupsafe import escape

from esp.merge.evaluate import VERBATIM_CODING, Coding, Program, plain_text
from esp.merge.expressions import Scope
from esp.merge.frozen import Frozen, expand_slots
from esp.merge.links import fill_url
from esp.merge.parse import Tree
from esp.merge.preview import PAGE_HTML, html_value
from esp.merge.scope import contact_scope, names_in
from esp.model.content import CompiledVariant, Envelope, OutgoingMessage, Recipient
from esp.wire import headers as wire
from esp.wire.dkim import OVERSIGNED, body_hash, relaxed_header, signer_for
from esp.wire.mime import ALTERNATIVE, TEXT_ONLY
from esp.wire.quoted_printable import SOFT_BREAK, checked, encode_piece
from esp.wire.tokens import Purpose, TokenSigner

# Tokens are encoded once a recipient, however many links there are: "ready" nodes append them as they are.
_CLICK: Final = ["ready", "_click"]
_OPEN: Final = ["ready", "_open"]
_PAGES: Final = (("unsubscribe_url", "u"), ("view_url", "v"), ("preferences_url", "p"))

# Nothing to escape for HTML, nothing to encode for quoted-printable: most names and places.
_PLAIN_HTML: Final = re.compile(r"[ !#-%(-\-/-;?-~][ !#-%(-;?-~]{0,74}")
_PLAIN_TEXT: Final = re.compile(r"(?!From )[ !-\-/-<>-~][ -<>-~]{0,74}")
# The headers that differ from recipient to recipient, in their order; and each as it begins a line and a relaxed line.
_VARYING: Final = (b"Date", b"To", b"Subject", b"Message-ID", b"List-Unsubscribe")
_DATE, _TO, _SUBJECT, _ID, _LEAVE = (name + b": " for name in _VARYING)
_RELAXED: Final = tuple(name.lower() + b":" for name in _VARYING)


def _html_piece(value: str) -> bytes:
    if _PLAIN_HTML.fullmatch(value):
        return value.encode("ascii") + SOFT_BREAK
    return checked(encode_piece(html_value(value)))


def _text_piece(value: str) -> bytes:
    if _PLAIN_TEXT.fullmatch(value):
        return value.encode("ascii") + SOFT_BREAK
    return _wire_piece(value if "\x00" not in value else value.replace("\x00", ""))


def _wire_piece(text: str) -> bytes:
    return checked(encode_piece(text))


WIRE_HTML: Final = Coding[bytes](_wire_piece, _html_piece)
WIRE_TEXT: Final = Coding[bytes](_wire_piece, _text_piece)


@dataclass(frozen=True, slots=True)
class Merged:
    """One recipient's texts, encoded: ``subject`` in plain words, ``body`` whole and CRLF-clean."""

    subject: str
    body: bytes
    scope: Scope


class Renderer:
    """Renders one variant of one campaign. Made once per process and batch or campaign; holds no recipient's data.

    ``tokens`` makes the links' and the return path's tokens; ``signed=False`` leaves DKIM to a smart host.
    Raises ValueError for keys or URLs that cannot be used.
    """

    def __init__(
        self, compiled: CompiledVariant, envelope: Envelope, tokens: TokenSigner, *, signed: bool = True
    ) -> None:
        self._envelope = envelope
        self._tokens = tokens
        frozen = Frozen.load(compiled.payload)
        self._frozen = frozen
        self._facts: dict[str, Any] = {**frozen.facts, "list": {"name": envelope.list_name}}
        self._shape = TEXT_ONLY if frozen.html is None else ALTERNATIVE
        self._subject = Program(frozen.subject, VERBATIM_CODING, facts=self._facts)
        self._stamps = self._token_makers(names_in([frozen.subject, frozen.text, frozen.html, *frozen.links.values()]))
        self._programs: dict[bool, tuple[Program[bytes], Program[bytes] | None]] = {}
        self._signers = [signer_for(key) for key in envelope.keys] if signed else []
        # A database that is made anew counts its ids from one again; the content's hash keeps Message-IDs apart.
        self._content_hash = blake2b(compiled.payload, digest_size=6).hexdigest()
        self._dated = (-1, b"")
        self._static = self._static_headers()
        self._signed, self._signed_at, names = self._signing_order()
        self._frames = [signer.over(names) for signer in self._signers]
        self._static_block = checked(b"".join(name + b": " + value + b"\r\n" for name, value in self._static) + b"\r\n")

    def _parts(self, tracked: bool) -> tuple[Program[bytes], Program[bytes] | None]:
        """The text and the HTML part, for those who may be counted and for those who may not; made when first asked."""
        found = self._programs.get(tracked)
        if found is None:
            frozen, facts = self._frozen, self._facts
            text_tree = expand_slots(frozen.text, self._replacements(html=False, tracked=tracked))
            text, html = Program(text_tree, WIRE_TEXT, facts=facts), None
            if frozen.html is not None:
                html_tree = expand_slots(frozen.html, self._replacements(html=True, tracked=tracked))
                html = Program(html_tree, WIRE_HTML, facts=facts)
            found = self._programs[tracked] = (text, html)
        return found

    def _replacements(self, html: bool, tracked: bool) -> dict[str, Tree]:
        envelope = self._envelope
        replacements: dict[str, Tree] = {}
        for index in self._frozen.links:
            if envelope.track_clicks and tracked:
                prefix = html_value(envelope.tracking_url) if html else envelope.tracking_url
                replacements[str(index)] = [f"{prefix}/c/", _CLICK, f"/{index}"]
            else:
                replacements[str(index)] = [["o", ["n", f"_link_{index}"]]]
        if envelope.track_opens and tracked and html:
            pixel = f'<img src="{html_value(envelope.tracking_url)}/o/'
            replacements["open"] = [pixel, _OPEN, '.gif" width="1" height="1" alt="" style="display:block;border:0">']
        return replacements

    def _static_headers(self) -> list[tuple[bytes, bytes]]:
        envelope = self._envelope
        found = [(b"From", wire.encode_mailbox(envelope.from_name, envelope.from_address, 6))]
        if envelope.reply_to:
            found.append((b"Reply-To", wire.encode_mailbox("", envelope.reply_to, 10)))
        found.append((b"MIME-Version", b"1.0"))
        if envelope.list_id:
            found.append((b"List-Id", wire.encode_list_id(envelope.list_name, envelope.list_id, 9)))
        found.append((b"List-Unsubscribe-Post", b"List-Unsubscribe=One-Click"))  # RFC 8058 section 3.1
        if envelope.feedback_id:
            found.append((b"Feedback-ID", wire.encode_text(envelope.feedback_id, 13)))
        found.extend(self._shape.headers)
        return found

    def _token_makers(self, read: set[str]) -> dict[str, Callable[[int], str]]:
        """What makes a recipient's tokens, by the name it has in the scope: only of such as anything asks for."""
        envelope = self._envelope
        purposes = {"unsubscribe_url": Purpose.UNSUBSCRIBE, "view_url": Purpose.VIEW,
                    "preferences_url": Purpose.PREFERENCES, "_open": Purpose.OPEN, "_click": Purpose.CLICK}
        wanted = {*read, "unsubscribe_url"}
        if envelope.track_opens:
            wanted.add("_open")
        if envelope.track_clicks:
            wanted.add("_click")
        workspace, campaign = envelope.workspace_id, envelope.campaign_id
        mailboxes = {"mail from": Purpose.RETURN_PATH, "unsubscribe mailbox": Purpose.UNSUBSCRIBE}
        return {
            **{name: self._tokens.for_urls(it, workspace, campaign) for name, it in purposes.items() if name in wanted},
            **{name: self._tokens.for_mailboxes(it, workspace, campaign) for name, it in mailboxes.items()},
        }

    def scope(self, recipient: Recipient, token_piece: Callable[[str], str | bytes] = _wire_piece) -> Scope:
        """The names this recipient's templates see; ``token_piece`` codes the tokens of links and pixel."""
        envelope, links = self._envelope, self._frozen.links
        scope = contact_scope(recipient.address, recipient.fields)
        scope.update(self._facts)
        stamps, delivery_id = self._stamps, recipient.delivery_id
        for name, path in _PAGES:
            if stamp := stamps.get(name):
                scope[name] = f"{envelope.tracking_url}/{path}/{stamp(delivery_id)}"
        if envelope.track_opens and recipient.tracked:
            scope["_open"] = token_piece(stamps["_open"](delivery_id))
        if envelope.track_clicks and recipient.tracked:
            scope["_click"] = token_piece(stamps["_click"](delivery_id))
        else:
            scope.update({f"_link_{index}": fill_url(tree, scope) for index, tree in links.items()})
        return scope

    def merge(self, recipient: Recipient) -> Merged:
        """Values into the encoded parts. Raises MergeLimitError where the template costs too much."""
        scope = self.scope(recipient)
        words: list[str] = []
        self._subject.run(dict(scope), words)
        pieces = [self._shape.before]
        text, html = self._parts(recipient.tracked)
        text.run(dict(scope), pieces)
        if html is not None:
            pieces.append(self._shape.between)
            html.run(dict(scope), pieces)
        pieces.append(self._shape.after)
        return Merged("".join(words), b"".join(pieces), scope)

    def message_id(self, delivery_id: int) -> str:
        """The Message-ID without brackets: the same for every try of a delivery."""
        envelope = self._envelope
        local = f"{envelope.workspace_id}.{envelope.campaign_id}.{delivery_id}.{self._content_hash}"
        return f"{local}@{envelope.message_id_domain}"

    def _date(self, now: datetime) -> bytes:
        """The date of a whole second, which many messages share."""
        second = int(now.timestamp())
        if self._dated[0] != second:
            self._dated = (second, wire.encode_date(now))
        return self._dated[1]

    def _signing_order(self) -> tuple[list[bytes], tuple[int, ...], tuple[bytes, ...]]:
        """The signed headers in the order of OVERSIGNED, relaxed, with a gap for each that varies; where these gaps
        are, in the order of ``_VARYING``; and the names to sign (RFC 6376 section 5.4.2)."""
        static: dict[bytes, list[bytes]] = {}
        for name, value in self._static:
            static.setdefault(name.lower(), []).append(relaxed_header(name, value))
        pieces: list[bytes] = []
        names: list[bytes] = []
        gaps = dict.fromkeys((name.lower() for name in _VARYING), -1)
        for name in OVERSIGNED:
            if name in gaps:
                gaps[name] = len(pieces)
                found = [b""]
            else:
                found = static.get(name, [])[::-1]
            pieces += found
            names += [name] * (len(found) + 1)
        return pieces, tuple(gaps.values()), tuple(names)

    def assemble(self, recipient: Recipient, merged: Merged, now: datetime) -> tuple[bytes, ...]:
        """The values of the headers that differ from recipient to recipient, in the order of ``_VARYING``."""
        leave = merged.scope["unsubscribe_url"]
        mailto = self._envelope.unsubscribe_mailto.removeprefix("mailto:")
        urls = [leave]
        if mailto:
            urls.append(f"mailto:{mailto}?subject={leave.rsplit('/', 1)[-1]}")
        elif self._envelope.bounce_domain:
            # An address of our own MX that says by itself who wants to leave, whatever is written to it.
            local = self._stamps["unsubscribe mailbox"](recipient.delivery_id)
            urls.append(f"mailto:{local}@{self._envelope.bounce_domain}")
        return (
            self._date(now),
            wire.encode_mailbox("", recipient.address, 4),
            wire.encode_text(merged.subject, 9),
            b"<%b>" % self.message_id(recipient.delivery_id).encode("ascii"),
            wire.encode_urls(urls),
        )

    def seal(self, varying: tuple[bytes, ...], body: bytes, now: datetime) -> bytes:
        """The whole message: signatures (none without keys), headers, body."""
        date, to, subject, message_id, leave = varying
        block = checked(b"".join((
            _DATE, date, b"\r\n", _TO, to, b"\r\n", _SUBJECT, subject, b"\r\n", _ID, message_id, b"\r\n",
            _LEAVE, leave, b"\r\n",
        )))  # fmt: skip
        if not self._frames:
            return b"".join((block, self._static_block, body))
        relaxed = [*self._signed]
        for at, name, value in zip(self._signed_at, _RELAXED, varying, strict=True):
            relaxed[at] = b"%b%b\r\n" % (name, b" ".join(value.split()))
        covered, digest, timestamp = b"".join(relaxed), body_hash(body), int(now.timestamp())
        signatures = [checked(frame.sign(covered, digest, timestamp)) for frame in self._frames]
        return b"".join((*signatures, block, self._static_block, body))

    def render(self, recipient: Recipient, now: datetime) -> OutgoingMessage:
        """One recipient's message, ready for the wire. ``now`` is aware. Raises MergeLimitError."""
        return self.finish(recipient, self.merge(recipient), now)

    def finish(self, recipient: Recipient, merged: Merged, now: datetime) -> OutgoingMessage:
        """What ``merge`` gave, with headers and signatures: the dearer half of ``render``, timed apart from it."""
        data = self.seal(self.assemble(recipient, merged, now), merged.body, now)
        envelope = self._envelope
        local = self._stamps["mail from"](recipient.delivery_id)
        return OutgoingMessage(
            delivery_id=recipient.delivery_id,
            mail_from=f"{local}@{envelope.bounce_domain}",
            rcpt_to=recipient.address,
            data=data,
            message_id=self.message_id(recipient.delivery_id),
            smtputf8=not recipient.address.isascii(),
            checked=True,
        )

    def render_page(self, recipient: Recipient, names: Mapping[str, str] | None = None) -> str:
        """The mail as a web page for "view in browser": links tracked as in the mail, no open pixel.

        ``names`` replace names of templates (``unsubscribe_url``, ...), for a page that is nobody's own.
        A text-only mail becomes a ``<pre>``. The page holds the author's markup: serve it sandboxed, with a strict CSP.
        """
        scope = {**self.scope(recipient, str), **(names or {})}
        replacements = {**self._replacements(html=True, tracked=recipient.tracked), "open": []}
        out: list[str] = []
        if self._frozen.html is None:
            text = expand_slots(self._frozen.text, self._replacements(html=False, tracked=recipient.tracked))
            body = escape(plain_text(text, scope))
            return f'<!doctype html><html><head><meta charset="utf-8"></head><body><pre>{body}</pre></body></html>'
        Program(expand_slots(self._frozen.html, replacements), PAGE_HTML).run(scope, out)
        return "".join(out)
