"""The one validator of e-mail addresses, for import, API, forms and compose.

Stricter than RFC 5321 on purpose: what two parsers could read differently is refused, because the string that was
checked here is, octet for octet, the one that RCPT TO receives.
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

_LOCAL: Final = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9#$&'*+/=?^_`{|}~-]+)*")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ATEXT: Final = frozenset("#$&'*+/=?^_`{|}~-.")


class AddressError(ValueError):
    """The text is not an address we would write to; the message says why, for the person who typed it."""


@dataclass(frozen=True, slots=True)
class Address:
    """``text`` as it is sent (domain in A-label form), ``key`` to compare by, ``domain`` lower-case ASCII."""

    text: str
    key: str
    domain: str

    @property
    def smtputf8(self) -> bool:
        """Whether the local part needs RFC 6531."""
        return not self.text.isascii()


def parse_domain(text: str) -> str:
    """A domain name in lower-case A-label form; raises AddressError. Address literals and single labels are refused."""
    domain = text
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise AddressError("The domain after the @ is not a valid name.") from None
    domain = domain.lower()
    labels = domain.split(".")
    if len(domain) > 253 or len(labels) < 2:
        raise AddressError("The domain after the @ is not complete, as in name@example.com.")
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise AddressError("The domain after the @ is not a valid name.")
    return domain


def _check_local(local: str) -> None:
    if not local:
        raise AddressError("The part before the @ is missing.")
    if len(local.encode("utf-8", "replace")) > 64:
        raise AddressError("The part before the @ is longer than 64 octets.")
    if local.isascii():
        # "%" and "!" are atoms too, but old relays read them as routes; "=?" is an encoded-word to careless parsers.
        if "%" in local or "!" in local:
            raise AddressError("The part before the @ holds % or !, which some servers take for a route.")
        if not _LOCAL.fullmatch(local):
            raise AddressError("The part before the @ holds a character that is not allowed there.")
    else:
        atoms = local.split(".")
        letters = all(
            c in _ATEXT or (c.isascii() and c.isalnum()) or unicodedata.category(c)[0] in "LNM" for c in local
        )
        if not letters or not all(atoms) or unicodedata.normalize("NFC", local) != local:
            raise AddressError("The part before the @ holds a character that is not allowed there.")
    if "=?" in local:
        raise AddressError("The part before the @ looks like an encoded header, not like a name.")


@lru_cache(maxsize=8192)
def known_domain(text: str) -> str:
    return parse_domain(text)


def plain_parts(text: str) -> tuple[str, str, str] | None:
    """``Address``'s text, key and domain in the everyday case; None where ``parse_address`` must look.

    ``_LOCAL`` and ``_LABEL`` are the same as below and let no blank, control character or second @ through.
    Raises AddressError where the domain is none.
    """
    local, _, domain_text = text.rpartition("@")
    if len(local) > 64 or not domain_text.isascii() or _LOCAL.fullmatch(local) is None or "=?" in local:
        return None
    domain = known_domain(domain_text)
    address = f"{local}@{domain}"
    return (address, f"{local.lower()}@{domain}", domain) if len(address) <= 254 else None


def parse_address(text: str) -> Address:
    """Check one bare address (RFC 5321 4.1.2 without quoted local parts, RFC 6531, no literals).

    Blanks around it are dropped; anything else that is not the address itself is refused. Raises AddressError.
    """
    text = text.strip(" ")
    if not text:
        raise AddressError("The address is empty.")
    if len(text) > 320:
        raise AddressError("The address is longer than 254 octets.")
    plain = plain_parts(text)
    if plain is not None:
        return Address(*plain)
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs") for c in text):
        raise AddressError("The address holds a blank or an invisible character.")
    local, at, domain_text = text.rpartition("@")
    if not at:
        raise AddressError("The address has no @.")
    local = local if local.isascii() else unicodedata.normalize("NFC", local)
    _check_local(local)
    domain = parse_domain(domain_text)
    address = f"{local}@{domain}"
    if len(address.encode()) > 254:
        raise AddressError("The address is longer than 254 octets.")
    return Address(address, f"{local.casefold()}@{domain}", domain)


def alone(spellings: Collection[str]) -> re.Pattern[str]:
    """A pattern that finds the addresses where they stand alone, in any case: not within a longer one (ani@x.example
    in rani@x.example or in ani@x.example.org), but behind an escape (%3D or a JSON line break) and in a file's name."""
    longest_first = sorted((one for one in spellings if one), key=len, reverse=True)
    either = "|".join(map(re.escape, longest_first)) or "(?!)"
    return re.compile(
        rf"(?:(?<!\w)(?<!\w[.+-])|(?<=%[0-9a-f][0-9a-f])|(?<=\\[nrt]))(?:{either})"
        r"(?![\w-]|\.(?!(?:csv|tsv|txt|xlsx|jsonl?|zip)\b)\w)", re.IGNORECASE)
