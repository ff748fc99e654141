"""Signed tokens that name a delivery: short, bound to one purpose and one workspace, checked in constant time.

A token is ``key id | workspace | campaign | delivery | MAC`` with the three ids as varints and a 128-bit keyed
BLAKE2b MAC (RFC 7693) whose personalisation is the purpose, so that an open token is no unsubscribe token. It has
no end of validity: an unsubscribe link must work as long as the mail lies in a mailbox, so keys are rotated by
adding a key and the old one stays for checking.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from esp.errors import TokenError

_MAC_OCTETS: Final = 16
_NONCE_OCTETS: Final = 12  # NIST SP 800-38D 8.2.2; a key seals some thousand secrets in its life, not 2**32
_UNREADABLE: Final = "This was not sealed with a key of this server."


class Purpose(StrEnum):
    """What a token may be used for; at most 16 octets, for it is BLAKE2b's personalisation."""

    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"
    VIEW = "view"
    PREFERENCES = "preferences"
    CONTACT = "contact"  # names a contact and a print of its public id, not a delivery
    ERASE = "erase"
    ARCHIVE = "archive"  # names a list and a contact: the key of a private archive
    RETURN_PATH = "return-path"
    SETUP = "setup"
    CONFIRM = "confirm"  # names a request to come or to go, and when it is over
    FORM = "form"  # names a form, and when it was shown


# Tokens that are the local part of an address of ours say by their first letters what they are for.
_MAILBOX_PREFIXES: Final = {Purpose.RETURN_PATH: "b-", Purpose.UNSUBSCRIBE: "u-", Purpose.CONFIRM: "c-"}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    workspace_id: int
    campaign_id: int
    delivery_id: int


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise TokenError("This link is not valid.")
        octet = data[at]
        number |= (octet & 0x7F) << shift
        at += 1
        if octet < 0x80:
            return number, at
        shift += 7


_DIGITS: Final = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648 section 6, in lower case
_PAIRS: Final = tuple(first + second for first in _DIGITS for second in _DIGITS)


def _base32(data: bytes) -> str:
    """Base32 in lower case without padding: two digits a step, in a third of the standard library's time."""
    digits = (len(data) * 8 + 4) // 5
    pairs = (digits + 1) // 2
    number = int.from_bytes(data, "big") << (pairs * 10 - len(data) * 8)
    text = "".join([_PAIRS[number >> shift & 1023] for shift in range(pairs * 10 - 10, -1, -10)])
    return text[:digits]


class TokenSigner:
    """Makes and checks tokens. ``keys`` maps a key id (0-255) to 32 secret octets; ``current`` signs, all verify."""

    __slots__ = ("_current", "_keys")

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        if current not in keys or not all(0 <= key <= 255 and len(secret) >= 32 for key, secret in keys.items()):
            raise ValueError("token keys are 32 octets or more, with ids from 0 to 255, and the current one among them")
        self._keys = dict(keys)
        self._current = current

    def _raw(self, purpose: Purpose, workspace_id: int, campaign_id: int, delivery_id: int) -> bytes:
        body = bytes((self._current,)) + _varint(workspace_id) + _varint(campaign_id) + _varint(delivery_id)
        return body + self._mac(self._current, purpose, body)

    def _mac(self, key: int, purpose: Purpose, body: bytes) -> bytes:
        return blake2b(body, digest_size=_MAC_OCTETS, key=self._keys[key], person=purpose.value.encode()).digest()

    def _check(self, purpose: Purpose, raw: bytes) -> Claims:
        if len(raw) < _MAC_OCTETS + 4 or raw[0] not in self._keys:
            raise TokenError("This link is not valid.")
        body, mac = raw[:-_MAC_OCTETS], raw[-_MAC_OCTETS:]
        if not hmac.compare_digest(mac, self._mac(raw[0], purpose, body)):
            raise TokenError("This link is not valid.")
        workspace_id, at = _read_varint(body, 1)
        campaign_id, at = _read_varint(body, at)
        delivery_id, at = _read_varint(body, at)
        if at != len(body):
            raise TokenError("This link is not valid.")
        return Claims(workspace_id, campaign_id, delivery_id)

    def sign(self, purpose: Purpose, workspace_id: int, campaign_id: int, delivery_id: int) -> str:
        """A token for URLs: about 35 characters of base64url without padding."""
        raw = self._raw(purpose, workspace_id, campaign_id, delivery_id)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def for_urls(self, purpose: Purpose, workspace_id: int, campaign_id: int) -> Callable[[int], str]:
        """``sign`` for many deliveries of one campaign: the key and what the tokens share is worked in once."""
        raw_of = self._raw_of(purpose, workspace_id, campaign_id)
        encode = base64.urlsafe_b64encode
        return lambda delivery_id: encode(raw_of(delivery_id)).rstrip(b"=").decode()

    def for_mailboxes(self, purpose: Purpose, workspace_id: int, campaign_id: int) -> Callable[[int], str]:
        """``return_path`` or ``unsubscribe_mailbox`` for many deliveries of one campaign."""
        raw_of, prefix = self._raw_of(purpose, workspace_id, campaign_id), _MAILBOX_PREFIXES[purpose]
        return lambda delivery_id: prefix + _base32(raw_of(delivery_id))

    def _raw_of(self, purpose: Purpose, workspace_id: int, campaign_id: int) -> Callable[[int], bytes]:
        shared = bytes((self._current,)) + _varint(workspace_id) + _varint(campaign_id)
        begun = blake2b(
            shared, digest_size=_MAC_OCTETS, key=self._keys[self._current], person=purpose.value.encode()
        )

        def raw(delivery_id: int) -> bytes:
            own, mac = _varint(delivery_id), begun.copy()
            mac.update(own)
            return shared + own + mac.digest()

        return raw

    def verify(self, purpose: Purpose, token: str) -> Claims:
        """What ``token`` says; raises TokenError for anything that ``sign`` did not make for this very purpose."""
        if not token.isascii() or len(token) > 100:
            raise TokenError("This link is not valid.")
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise TokenError("This link is not valid.") from None
        # One spelling a token: base64's spare bits could otherwise be set at will.
        if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
            raise TokenError("This link is not valid.")
        return self._check(purpose, raw)

    def return_path(self, workspace_id: int, campaign_id: int, delivery_id: int) -> str:
        """The local part of a signed return path (VERP): 64 octets at most (RFC 5321 4.5.3.1.1), in any case."""
        return self._mailbox(Purpose.RETURN_PATH, workspace_id, campaign_id, delivery_id)

    def read_return_path(self, local_part: str) -> Claims:
        """What a return path's local part says; raises TokenError for a forged or cut one."""
        return self._read_mailbox(Purpose.RETURN_PATH, local_part)

    def unsubscribe_mailbox(self, workspace_id: int, campaign_id: int, delivery_id: int) -> str:
        """The local part of ``List-Unsubscribe: <mailto:...>``: a mail to it unsubscribes (RFC 2369 section 3.2)."""
        return self._mailbox(Purpose.UNSUBSCRIBE, workspace_id, campaign_id, delivery_id)

    def read_unsubscribe_mailbox(self, local_part: str) -> Claims:
        """What an unsubscribe address's local part says; raises TokenError for a forged or cut one."""
        return self._read_mailbox(Purpose.UNSUBSCRIBE, local_part)

    def confirm_mailbox(self, workspace_id: int, signup_id: int, until: int) -> str:
        """The local part of the address that a confirmation is answered to; ``until`` is seconds since 1970."""
        return self._mailbox(Purpose.CONFIRM, workspace_id, signup_id, until)

    def read_confirm_mailbox(self, local_part: str) -> Claims:
        """What a confirmation address's local part says; raises TokenError for a forged or cut one."""
        return self._read_mailbox(Purpose.CONFIRM, local_part)

    def fingerprint(self, kind: str, value: str) -> str:
        """A keyed print of ``value`` in hexadecimal, to count by without keeping the value itself."""
        data = f"{kind}\0{value}".encode("utf-8", "replace")
        return blake2b(data, digest_size=16, key=self._keys[self._current], person=b"fingerprint").hexdigest()

    def lasting_fingerprint(self, kind: str, value: str) -> str:
        """As ``fingerprint``, by the oldest key, which stays when others are added: for what must be known for ever."""
        return self.lasting_fingerprints(f"{kind}\0", (value,))[0]

    def lasting_fingerprints(self, kind: str, values: Iterable[str]) -> list[str]:
        """``lasting_fingerprint`` of many values, each after ``kind``, which ends with a NUL."""
        begun = blake2b(kind.encode("utf-8", "replace"), digest_size=32, key=self._keys[min(self._keys)],
                        person=b"lasting")
        made = []
        for value in values:
            one = begun.copy()
            one.update(value.encode("utf-8", "replace"))
            made.append(one.hexdigest())
        return made

    def seal(self, kind: str, workspace_id: int, text: str) -> str:
        """``text`` as the database may keep it: AES-256-GCM, bound to what it is and whose, in base64url."""
        head, nonce = bytes((self._current,)), os.urandom(_NONCE_OCTETS)
        bound = head + f"{kind}\0{workspace_id}".encode()
        sealed = AESGCM(self._sealing_key(self._current)).encrypt(nonce, text.encode(), bound)
        return base64.urlsafe_b64encode(head + nonce + sealed).decode()

    def unseal(self, kind: str, workspace_id: int, sealed: str) -> str:
        """What ``seal`` was given; raises TokenError where it was sealed for another, elsewhere, or not at all."""
        try:
            raw = base64.b64decode(sealed, altchars=b"-_", validate=True)
            head, nonce, rest = raw[:1], raw[1:1 + _NONCE_OCTETS], raw[1 + _NONCE_OCTETS:]
            key = AESGCM(self._sealing_key(head[0]))
            return key.decrypt(nonce, rest, head + f"{kind}\0{workspace_id}".encode()).decode()
        except (binascii.Error, ValueError, IndexError, KeyError, InvalidTag):
            raise TokenError(_UNREADABLE) from None

    def _sealing_key(self, key: int) -> bytes:
        # A key of its own for each use: what signs links must not also encipher.
        return blake2b(b"", digest_size=32, key=self._keys[key], person=b"seal").digest()

    def _mailbox(self, purpose: Purpose, workspace_id: int, campaign_id: int, delivery_id: int) -> str:
        raw = self._raw(purpose, workspace_id, campaign_id, delivery_id)
        return _MAILBOX_PREFIXES[purpose] + base64.b32encode(raw).rstrip(b"=").decode().lower()

    def _read_mailbox(self, purpose: Purpose, local_part: str) -> Claims:
        prefix, text = _MAILBOX_PREFIXES[purpose].upper(), local_part.upper()
        if not text.startswith(prefix) or len(text) > 64 or not text.isascii():
            raise TokenError("This is not one of our addresses.")
        text = text.removeprefix(prefix)
        try:
            raw = base64.b32decode(text + "=" * (-len(text) % 8))
        except (binascii.Error, ValueError):
            raise TokenError("This is not one of our addresses.") from None
        # One spelling a token, as in verify: base32's spare bits could otherwise be set at will.
        if base64.b32encode(raw).rstrip(b"=").decode() != text:
            raise TokenError("This is not one of our addresses.")
        return self._check(purpose, raw)
