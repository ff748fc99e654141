"""The arithmetic of permission: which addresses and networks count as one, and what a browser must work for."""

import ipaddress
from hashlib import sha256
from typing import Final

_LONGEST_NONCE: Final = 20


def fold_address(email_key: str) -> str:
    """What is likely the same mailbox: without dots and without what follows a plus, as large providers read it.

    ``email_key`` is Address.key. Only for counting: two people folded into one merely share a bound.
    """
    local, _, domain = email_key.rpartition("@")
    folded = local.split("+", 1)[0].replace(".", "") or local
    return f"{folded}@{'gmail.com' if domain == 'googlemail.com' else domain}"


def network_of(ip: str) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 one; the text itself where it is none."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def proof_holds(challenge: str, email: str, nonce: str, bits: int) -> bool:
    """Whether SHA-256 of ``challenge:email:nonce`` begins with ``bits`` zero bits; the address as it was typed.

    Bound to the address, so that the work for one does not pay for another.
    """
    if not nonce.isascii() or not nonce.isdecimal() or len(nonce) > _LONGEST_NONCE:
        return False
    digest = sha256(f"{challenge}:{email}:{nonce}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest, "big") >> (256 - bits) == 0
