"""What an app says about a message in its own header: ``X-Merpati-...``, read here and removed before sending."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import orjson

from esp.flows.relay import Refusal
from esp.model.relay import RefusalCode, Submission
from esp.wire.submitted import words_of

_PAIR: Final = re.compile(r"\s*([^=;\s][^=;]*?)\s*=\s*([^;]*?)\s*(?:;|\Z)")
_TRACKED: Final = {"opens": (True, False), "clicks": (False, True), "all": (True, True), "none": (False, False)}


def controlled(submission: Submission, controls: Mapping[str, Sequence[str]]) -> Submission:
    """``submission`` as its control headers want it. ``controls`` are values by the name behind ``X-Merpati-``.

    Raises Refusal for a control nobody knows, one said twice and one that cannot be read: what is not understood is
    never silently dropped.
    """
    for name, values in controls.items():
        read = _READ.get(name)
        if read is None:
            known = ", ".join(f"X-Merpati-{one.title()}" for one in _READ)
            raise _bad(name, f"X-Merpati-{name.title()} is not known here. Known are {known}.")
        if len(values) > 1 and name != "tag":
            raise _bad(name, f"X-Merpati-{name.title()} stands there more than once.")
        submission = read(submission, values)
    return submission


def _bad(name: str, message: str) -> Refusal:
    return Refusal(RefusalCode.BAD_CONTROL, message, f"X-Merpati-{name.title()}")


def _tag(it: Submission, values: Sequence[str]) -> Submission:
    return replace(it, tags=tuple(dict.fromkeys(words_of(value.encode()) for value in values)))


def _metadata(it: Submission, values: Sequence[str]) -> Submission:
    """``{"order": "17"}`` or ``order=17; shop=2``."""
    text = values[0].strip()
    found: dict[str, str] = {}
    if text.startswith("{"):
        try:
            given = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _bad("metadata", "X-Merpati-Metadata is no JSON object.") from None
        for name, value in given.items():
            if isinstance(value, dict | list):
                raise _bad("metadata", "X-Merpati-Metadata holds texts and numbers, not lists or objects.")
            found[name] = value if isinstance(value, str) else orjson.dumps(value).decode()
    else:
        at = 0
        while at < len(text):
            pair = _PAIR.match(text, at)
            if pair is None:
                raise _bad("metadata", 'Write X-Merpati-Metadata as {"name": "value"} or as name=value; name=value.')
            found[pair[1]] = pair[2]
            at = pair.end()
    return replace(it, metadata=found)


def _stream(it: Submission, values: Sequence[str]) -> Submission:
    return replace(it, stream=values[0].strip())


def _track(it: Submission, values: Sequence[str]) -> Submission:
    opens = clicks = False
    for word in re.split(r"[,\s]+", values[0].strip().lower()):
        if word not in _TRACKED:
            raise _bad("track", "X-Merpati-Track is opens, clicks, all or none, or two of them with a comma between.")
        opens, clicks = opens or _TRACKED[word][0], clicks or _TRACKED[word][1]
    return replace(it, track_opens=opens, track_clicks=clicks)


def _send_at(it: Submission, values: Sequence[str]) -> Submission:
    text = values[0].strip()
    try:
        at = parsedate_to_datetime(text) if "," in text else datetime.fromisoformat(text)
    except (ValueError, TypeError):
        at = datetime.min  # noqa: DTZ901 - has no zone, so it is refused
    if at.tzinfo is None:
        raise _bad("send-at", "Write X-Merpati-Send-At with its time zone, such as 2026-12-01T09:00:00+07:00.")
    return replace(it, send_at=at.astimezone(UTC))


def _idempotency_key(it: Submission, values: Sequence[str]) -> Submission:
    return replace(it, idempotency_key=values[0].strip())


_READ: Final[dict[str, Callable[[Submission, Sequence[str]], Submission]]] = {
    "tag": _tag, "metadata": _metadata, "stream": _stream, "track": _track, "send-at": _send_at,
    "idempotency-key": _idempotency_key,
}
