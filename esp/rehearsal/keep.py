"""Every mail that the providers took, kept in a folder as it arrived, for whoever wants to look at it or verify it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from esp.rehearsal.letters import Copy

TXT_RECORDS: Final = "txt-records.json"


def keep(copies: Sequence[Copy], texts: Mapping[str, str], folder: Path) -> None:
    """A file for each copy, ``domain-number.eml``, and what DNS published, ``txt-records.json``, in ``folder``."""
    (folder / TXT_RECORDS).write_bytes(orjson.dumps(texts))
    for copy in copies:
        domain = copy.recipient.rpartition("@")[2].lower()  # a provider's own: it takes mail for no other
        (folder / f"{domain}-{copy.number:06}.eml").write_bytes(copy.raw)
