"""Erasing a person everywhere: asked for by mail and confirmed, or by a colleague; and forgetting what is old.

What stays are counts, and a keyed hash of the address, so that somebody who stands in a file again next year is
known, and not written to. The hash is made with the server's oldest secret key: whoever has only the database cannot
try addresses against it.
"""

import asyncio
import mmap
import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from esp.app import App
from esp.errors import ExpiredTokenError, NotFoundError
from esp.flows.own_mail import LINK_HOURS, send_link, stamp, stamped
from esp.model.contact import SuppressionReason
from esp.ports.contacts import Contact
from esp.ports.erasure import Erased
from esp.ports.preferences import Reader
from esp.wire.addresses import alone, parse_address
from esp.wire.tokens import Purpose

log = structlog.get_logger()

#: Folders of the data directory whose files may quote people.
_FOLDERS: Final = ("imports", "exports", "transfers", "outcomes", "journal")
#: Files of lines, of which the whole line is about the person; of others only the address is struck out.
_LINES: Final = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
_PACKED: Final = (".xlsx", ".zip")
BARRED: Final = "erased before, came back by a file or by hand"
_CONTEXT: Final = 8  # octets beside an address that say whether it is part of a longer one
_WORDS: Final = {
    "en": {
        "subject": "Please confirm: erase my data",
        "lead": "Somebody, hopefully you, asked {brand} to erase everything it holds about {address}.",
        "press": "To do so, open this link within 48 hours and press the button there:",
        "button": "Erase my data",
        "otherwise": "If it was not you, do nothing. Nothing is erased.",
    },
    "id": {
        "subject": "Mohon konfirmasi: hapus data saya",
        "lead": "Seseorang, semoga Anda sendiri, meminta {brand} menghapus semua data tentang {address}.",
        "press": "Untuk melakukannya, buka tautan ini dalam 48 jam dan tekan tombol di sana:",
        "button": "Hapus data saya",
        "otherwise": "Jika bukan Anda, abaikan saja. Tidak ada yang dihapus.",
    },
}


def address_digest(app: App, workspace_id: int, email_key: str) -> str:
    """The keyed hash that stays of an erased address."""
    return app.tokens.lasting_fingerprint("erased", f"{workspace_id}\0{email_key}")


async def erased_among(app: App, workspace_id: int, email_keys: Sequence[str]) -> frozenset[str]:
    """Those of the addresses whose owners had their data erased."""
    keys = [key for key in email_keys if key]
    if not keys or not await app.store.erasure.knows_any(workspace_id):
        return frozenset()  # most houses have nobody who asked for it
    # An import asks for a million: the hash of each takes a microsecond.
    digests = await asyncio.to_thread(app.tokens.lasting_fingerprints, f"erased\0{workspace_id}\0", keys)
    by_digest = dict(zip(digests, keys, strict=True))
    return frozenset(by_digest[one] for one in await app.store.erasure.known(workspace_id, tuple(by_digest)))


async def bar_erased(app: App, workspace_id: int, email_keys: Sequence[str]) -> int:
    """Bar those of the addresses whose owners had their data erased, before they become contacts again: how many.

    As people who left, so that every count, list and export says they will get nothing, and so that they can come back
    by confirming it themselves.
    """
    if not await app.store.erasure.knows_any(workspace_id):
        return 0
    found = sorted(await erased_among(app, workspace_id, email_keys))
    for key in found:
        await app.store.contacts.suppress(
            workspace_id, key, SuppressionReason.UNSUBSCRIBED, app.clock.now(), note=BARRED)
    return len(found)


async def forgive(app: App, workspace_id: int, email_key: str) -> bool:
    """The owner of an erased address came back and confirmed it: they are written to again. False where none was."""
    return await app.store.erasure.forgive(workspace_id, address_digest(app, workspace_id, email_key))


async def erase(app: App, workspace_id: int, email: str) -> Erased:
    """Erase whoever has the address, contact or not. Raises AddressError (a ValueError) where it is none."""
    address = parse_address(email)
    contact = await app.store.contacts.find(workspace_id, address.key)
    if contact is not None:
        return await erase_contact(app, contact)
    return await _erase(app, workspace_id, None, [address.text])


async def erase_contact(app: App, contact: Contact) -> Erased:
    """Erase a contact: from the database in one transaction, then from this machine's files."""
    return await _erase(app, contact.workspace_id, contact.id, [contact.email])


async def erase_reader(app: App, reader: Reader) -> Erased:
    """The same for somebody who confirmed it themselves."""
    return await _erase(app, reader.workspace_id, reader.contact_id, [reader.email])


async def _erase(app: App, workspace_id: int, contact_id: int | None, written: Sequence[str]) -> Erased:
    had = () if contact_id is None else await app.store.erasure.addresses(workspace_id, contact_id)
    spellings = sorted({form for one in (*written, *had) for form in (one, one.casefold())})
    digests = {key: address_digest(app, workspace_id, key) for key in {one.casefold() for one in spellings}}
    found = await app.store.erasure.erase(workspace_id, contact_id, spellings, digests, app.clock.now())
    await asyncio.to_thread(strike_out, app.settings.server.data_dir, spellings)
    log.info("contact erased", workspace=workspace_id, deleted=found.deleted, emptied=found.emptied)
    return found


# ---- asked for by the person themselves ------------------------------------------------------------------------------


async def ask(app: App, reader: Reader) -> bool:
    """Send the mail that confirms. False where the workspace has no domain to send from."""
    mark = stamp(app.clock.now(), reader.public_id)
    token = app.tokens.sign(Purpose.ERASE, reader.workspace_id, reader.contact_id, mark)
    return await send_link(app, reader, "erase", _WORDS, f"{app.settings.public_url}/p/-/erase/{token}")


async def asked(app: App, token: str) -> Reader | None:
    """Whom a confirmation link is about; None where they are gone already. Raises TokenError, ExpiredTokenError."""
    claims = app.tokens.verify(Purpose.ERASE, token)
    reader = await app.store.preferences.reader(claims.workspace_id, claims.campaign_id)
    made, its_own = stamped(claims.delivery_id, reader.public_id if reader else "")
    if made + timedelta(hours=LINK_HOURS) < app.clock.now():
        raise ExpiredTokenError("This link is too old.")
    return reader if its_own else None


async def own_data(app: App, reader: Reader) -> dict[str, object]:
    """Everything held about the person, as they may take it elsewhere (JSON values)."""
    with suppress(NotFoundError):
        return await app.store.preferences.portable(reader.workspace_id, reader.contact_id)
    return {}


# ---- files -----------------------------------------------------------------------------------------------------------


def strike_out(data_dir: Path, spellings: Sequence[str]) -> int:
    """Overwrite a person's lines in every file that may quote them, octet by octet, so that no offset moves; how many
    files. A packed file that holds the person is removed."""
    needles = _Needles(spellings)
    touched = 0
    for folder in _FOLDERS:
        for path in sorted((data_dir / folder).rglob("*")) if (data_dir / folder).is_dir() else ():
            if not path.is_file() or path.is_symlink():
                continue
            if path.suffix.lower() in _PACKED or _is_packed(path):
                touched += _remove_packed(path, needles)
            else:
                touched += _strike(path, needles, whole_line=path.suffix.lower() in _LINES and folder != "journal")
    return touched


class _Needles:
    """An address in the octets it may stand as: UTF-8, or UTF-16 as spreadsheets write it."""

    def __init__(self, spellings: Sequence[str]) -> None:
        self.octets = {one.lower().encode(encoding): encoding
                       for encoding in ("utf-8", "utf-16-le") for one in spellings if one}
        self.longest = max(map(len, self.octets), default=0)
        self._alone = alone(spellings)

    def stands_alone(self, needle: bytes, octets: mmap.mmap, first: int) -> bool:
        """Whether the needle found at ``first`` is no part of a longer address."""
        encoding = self.octets[needle]
        start = max(first - _CONTEXT, 0 if encoding == "utf-8" else first % 2)
        around = octets[start:first + len(needle) + _CONTEXT]
        return self._alone.search(around.decode(encoding, "replace")) is not None


def _is_packed(path: Path) -> bool:
    with suppress(OSError):
        return zipfile.is_zipfile(path)
    return False


def _strike(path: Path, needles: _Needles, *, whole_line: bool) -> bool:
    """Overwrite in place, so that a process that reads or appends to the file goes on as before."""
    try:
        with path.open("r+b") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return False
            with mmap.mmap(file.fileno(), 0) as octets:
                return _strike_octets(octets, needles, whole_line)
    except (OSError, ValueError):  # gone or cut meanwhile, which is as good
        return False


def _strike_octets(octets: mmap.mmap, needles: _Needles, whole_line: bool, window: int = 1 << 20) -> bool:
    found = False
    for start in range(0, len(octets), window):
        part = octets[start:start + window + needles.longest].lower()
        for needle in needles.octets:
            at = -1
            while (at := part.find(needle, at + 1)) >= 0:
                first, last = start + at, start + at + len(needle)
                if not needles.stands_alone(needle, octets, first):
                    continue
                if whole_line:
                    first = octets.rfind(b"\n", 0, first) + 1
                    end = octets.find(b"\n", last)
                    last = len(octets) if end < 0 else end
                octets[first:last] = bytes(0x78 if one not in b"\r\n\x00" else one for one in octets[first:last])
                found = True
    return found


def _remove_packed(path: Path, needles: _Needles) -> bool:
    try:
        with zipfile.ZipFile(path) as packed:
            holds = any(_holds(packed, name, needles) for name in packed.namelist())
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return False
    if holds:
        path.unlink(missing_ok=True)
    return holds


def _holds(packed: zipfile.ZipFile, name: str, needles: _Needles) -> bool:
    before = b""
    with packed.open(name) as member:
        while piece := member.read(1 << 20):
            text = before + piece.lower()
            if any(needle in text for needle in needles.octets):
                return True
            before = text[-400:]
    return False


# ---- what is old -----------------------------------------------------------------------------------------------------


async def forget_old(app: App) -> bool:
    """Blank old events' addresses and agents, and remove files that were imported long ago; True where more waits."""
    now = app.clock.now()
    settings = app.settings
    blanked = await app.store.erasure.blank_events(now - settings.retention.event_details)
    await asyncio.to_thread(
        _remove_old, settings.server.data_dir / "imports", (now - settings.retention.import_files).timestamp())
    return blanked > 0


def _remove_old(folder: Path, before: float) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        with suppress(OSError):
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
