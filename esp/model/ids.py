"""Identifiers: 64-bit integers inside, UUIDv7 outside."""

import uuid_utils


def new_public_id() -> str:
    """A fresh UUIDv7 as 32 lower-case hex digits; ids made later sort later (RFC 9562 section 5.7)."""
    return uuid_utils.uuid7().hex
