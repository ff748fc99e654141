"""Which addresses mail may be sent to: public ones only, however they are spelled (THREATS 3.21)."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

# NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address that a gateway would connect to.
_NAT64: Final = ip_network("64:ff9b::/96")
_NAT64_LOCAL: Final = ip_network("64:ff9b:1::/48")


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address inside an IPv6 one, where there is one."""
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address in _NAT64 or address in _NAT64_LOCAL:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def is_public(address: str) -> bool:
    """Whether ``address`` (an IP address in text) is reachable by everybody: not private, loopback, shared, multicast.

    Somebody else's DNS decides what an MX points to; without this check a domain could make us talk to our own
    network. False for what is no IP address at all.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        inner = _inner(parsed)
        if inner is not None:
            return is_public(str(inner))
        if parsed.scope_id:
            return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified)
