"""What is wrong with a campaign as it was typed: while it is a draft, and before it may be sent."""

import re
from typing import Final

from esp.model.quantities import Rate
from esp.ports.campaigns import CampaignEdit
from esp.wire.addresses import AddressError, parse_address

MAX_VARIANTS: Final = 8
MAX_SOURCE: Final = 2_000_000  # characters; a mail of this size is no newsletter
# Everything that some parser takes for the end of a line: in a header it would begin a new one (RFC 5322 section 2.2).
_LINE_BREAK: Final = re.compile(r"[\x00\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")


def has_line_break(text: str) -> bool:
    """Whether ``text`` could become a second header line in somebody's eyes."""
    return _LINE_BREAK.search(text) is not None


def draft_problems(edit: CampaignEdit) -> dict[str, str]:
    """Why this cannot even be kept: field -> sentence. A draft may be incomplete, but nothing in it may be broken."""
    problems: dict[str, str] = {}
    if not edit.name.strip():
        problems["name"] = "Give the campaign a name; only you see it."
    for name in ("name", "from_name", "from_address", "reply_to"):
        if has_line_break(getattr(edit, name)):
            problems[name] = "This must be a single line."
    for name in ("from_address", "reply_to"):
        text = getattr(edit, name)
        if text and name not in problems:
            try:
                parse_address(text)
            except AddressError as error:
                problems[name] = str(error)
    if edit.throttle:
        try:
            Rate.parse(edit.throttle)
        except ValueError as error:
            problems["throttle"] = str(error)
    if both := set(edit.include_lists) & set(edit.exclude_lists):
        problems["exclude_lists"] = f"{len(both)} of the lists are both included and excluded."
    if both := set(edit.include_segments) & set(edit.exclude_segments):
        problems["exclude_segments"] = f"{len(both)} of the segments are both included and left out."
    problems.update(_variant_problems(edit))
    return problems


def _variant_problems(edit: CampaignEdit) -> dict[str, str]:
    problems: dict[str, str] = {}
    if not 1 <= len(edit.variants) <= MAX_VARIANTS:
        problems["variants"] = f"A campaign has between one and {MAX_VARIANTS} variants."
    labels = [variant.label for variant in edit.variants]
    if len(set(labels)) != len(labels) or not all(label.strip() for label in labels):
        problems["variants"] = "Every variant needs a label of its own."
    for number, variant in enumerate(edit.variants):
        for name in ("subject", "preheader", "label"):
            if has_line_break(getattr(variant, name)):
                problems[f"variants.{number}.{name}"] = "This must be a single line."
        if not 1 <= variant.weight <= 100:
            problems[f"variants.{number}.weight"] = "A weight is a whole number from 1 to 100."
        if len(variant.source) > MAX_SOURCE or "\0" in variant.source:
            problems[f"variants.{number}.source"] = "The content is longer than two million characters or is not text."
    return problems


def missing_to_send(edit: CampaignEdit) -> dict[str, str]:
    """What a campaign lacks before it can be sent: field -> sentence; its content is judged by compose."""
    missing: dict[str, str] = {}
    if not edit.include_lists:
        missing["include_lists"] = "Choose at least one list."
    if edit.domain_id is None:
        missing["domain_id"] = "Choose the sending domain."
    if not edit.from_address:
        missing["from_address"] = "Say from which address it is sent."
    for number, variant in enumerate(edit.variants):
        if not variant.subject.strip():
            missing[f"variants.{number}.subject"] = f"Variant {variant.label} has no subject."
        if not variant.source.strip():
            missing[f"variants.{number}.source"] = f"Variant {variant.label} has no content."
    return missing


def belongs_to(address: str, domain: str) -> bool:
    """Whether ``address`` is of ``domain`` or a subdomain of it, so that DKIM is aligned (RFC 7489 section 3.1)."""
    host = address.rpartition("@")[2].lower()
    return host == domain or host.endswith("." + domain)
