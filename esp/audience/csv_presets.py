"""Exports of other systems, recognised by their titles: what goes where, and how everybody in the file stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from esp.audience.csv_columns import field_name
from esp.audience.csv_status import Standing


@dataclass(frozen=True, slots=True)
class Preset:
    """``mapping`` is column title -> field; titles that say nothing about a person are left out of it."""

    name: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    standing: Standing = Standing.JOINS


_MAILCHIMP: Final = {
    "email address": "email", "first name": "first_name", "last name": "last_name", "timezone": "time_zone",
    "cc": "country", "tags": "tags", "birthday": "birthday", "phone number": "phone_number", "address": "address",
    "region": "region", "notes": "notes", "optin_time": "optin_time", "optin_ip": "optin_ip",
    "confirm_time": "confirm_time", "confirm_ip": "confirm_ip",
}
# What Mailchimp notes for itself: coordinates guessed from addresses, its ids, when people went.
_MAILCHIMP_OWN: Final = frozenset((
    "member_rating", "latitude", "longitude", "gmtoff",
    "dstoff", "last_changed", "leid", "euid", "unsub_time", "unsub_campaign_title", "unsub_campaign_id",
    "unsub_reason", "unsub_reason_other", "clean_time", "clean_campaign_title", "clean_campaign_id",
))
_LISTMONK: Final = {"email": "email", "name": "full_name", "attributes": "attributes", "status": "status"}


def recognise(header: Sequence[str]) -> Preset:
    """The system that wrote a file with this header; one without a name where it is none we know."""
    plain = {title.strip().casefold(): title for title in header if title}
    if "email address" in plain and {"leid", "euid"} & plain.keys():
        mapping = {
            title: _MAILCHIMP.get(key) or field_name(key)
            for key, title in plain.items() if key not in _MAILCHIMP_OWN
        }
        standing = (Standing.LEFT if "unsub_time" in plain else
                    Standing.BOUNCED if "clean_time" in plain else Standing.JOINS)
        return Preset("Mailchimp", {title: target for title, target in mapping.items() if target}, standing)
    if {"uuid", "email", "attributes", "status"} <= plain.keys():
        return Preset("listmonk", {plain[key]: target for key, target in _LISTMONK.items() if key in plain})
    return Preset()
