"""Settings of lists and pages for recipients in SQL: who may come, what they are asked, and how it looks."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, Select, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import list_signups, lists, public_pages, sending_domains, signup_pages, workspaces
from esp.adapters.sql.upsert import insert_for
from esp.errors import ConflictError, NotFoundError
from esp.model.ids import new_public_id
from esp.model.permission import OptIn
from esp.ports.signup import AskedField, ListSignup, Logo, PublicList, PublicPages, SignupPage

_HANDLES_TRIED = 100


def _public_list(row: Row[Any]) -> PublicList:
    signup = ListSignup(row.id)
    if row.opt_in is not None:
        signup = ListSignup(
            row.id, OptIn(row.opt_in), row.public, row.language,
            tuple(AskedField(it["key"], bool(it.get("required"))) for it in row.fields), row.texts, row.welcome,
            row.command, row.domain_id, row.from_name,
        )
    return PublicList(row.id, row.workspace_id, row.name, row.description, row.handle, signup)


def with_settings() -> Select[Any]:
    """Lists with their settings, null where a list has none yet."""
    of, it = lists.c, list_signups.c
    return select(
        of.id, of.workspace_id, of.name, of.description, of.handle, it.opt_in, it.public, it.language, it.fields,
        it.texts, it.welcome, it.command, it.domain_id, it.from_name,
    ).outerjoin(list_signups, it.list_id == of.id)


def _pages_of(row: Row[Any]) -> PublicPages:
    return PublicPages(
        row.workspace_id, row.handle, row.name, row.postal_address, row.accent, row.logo_hash, row.words,
        tuple(row.origins), row.indexed,
    )


def _with_workspace() -> Select[Any]:
    it = public_pages.c
    return select(
        it.workspace_id, it.handle, it.accent, it.logo_hash, it.words, it.origins, it.indexed,
        workspaces.c.name, workspaces.c.postal_address,
    ).join(workspaces, workspaces.c.id == it.workspace_id)


class SqlSignupPages:
    """The part of the port ``Signups`` that marketers set."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- lists

    async def list_signup(self, workspace_id: int, list_id: int) -> PublicList:
        async with self._database.read() as connection:
            row = (await connection.execute(
                with_settings().where(lists.c.id == list_id, lists.c.workspace_id == workspace_id)
            )).one_or_none()
        if row is None:
            raise NotFoundError("There is no such list.")
        return _public_list(row)

    async def list_signups(self, workspace_id: int) -> tuple[PublicList, ...]:
        query = with_settings().where(lists.c.workspace_id == workspace_id, lists.c.archived_at.is_(None))
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(lists.c.name, lists.c.id))
            return tuple(_public_list(row) for row in rows)

    async def save_list_signup(self, workspace_id: int, signup: ListSignup) -> None:
        values = {
            "workspace_id": workspace_id, "opt_in": signup.opt_in.value, "public": signup.public,
            "language": signup.language, "texts": {name: dict(texts) for name, texts in signup.texts.items()},
            "fields": [{"key": it.key, "required": it.required} for it in signup.fields], "welcome": signup.welcome,
            "command": signup.command, "domain_id": signup.domain_id, "from_name": signup.from_name,
        }
        async with self._database.write() as connection:
            found = (await connection.execute(
                select(lists.c.handle).where(lists.c.id == signup.list_id, lists.c.workspace_id == workspace_id)
                .with_for_update()
            )).scalar_one_or_none()
            if found is None:
                raise NotFoundError("There is no such list.")
            if signup.domain_id is not None:
                await _own_domain(connection, workspace_id, signup.domain_id)
            others = (await connection.execute(
                with_settings().where(lists.c.workspace_id == workspace_id, lists.c.id != signup.list_id)
            )).all()
            if (signup.command or found) in {_public_list(row).command for row in others}:
                raise ConflictError("Another list has this command address already; choose another one.")
            if signup.public:
                await self._settle(connection, workspace_id)
            statement = insert_for(self._database.dialect, list_signups)
            await connection.execute(
                statement.values(list_id=signup.list_id, **values)
                .on_conflict_do_update(index_elements=[list_signups.c.list_id], set_=values)
            )

    async def command_list(self, domain: str, command: str) -> PublicList | None:
        labels = domain.split(".")
        above = [".".join(labels[start:]) for start in range(len(labels) - 1)][:20]
        it, d = list_signups.c, sending_domains.c
        query = (
            with_settings().join(sending_domains, d.workspace_id == lists.c.workspace_id)
            .where(d.name.in_(above), lists.c.archived_at.is_(None), or_(
                it.command == command, and_(or_(it.command.is_(None), it.command == ""), lists.c.handle == command)))
            # A domain may be named in two workspaces; the one that proved it by DNS comes first.
            .order_by(d.verified_at.is_(None), d.id, lists.c.id).limit(1)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _public_list(row)

    # ---- looks

    async def public_pages(self, workspace_id: int) -> PublicPages:
        query = _with_workspace().where(public_pages.c.workspace_id == workspace_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
            if row is not None:
                return _pages_of(row)
            name, address, handle = await _proposal(connection, workspace_id)
            return PublicPages(workspace_id, handle, name, address)

    async def _settle(self, connection: AsyncConnection, workspace_id: int) -> None:
        """Give the workspace the handle that was proposed so far, the first time that anything of its pages is kept."""
        found = await connection.execute(
            select(public_pages.c.handle).where(public_pages.c.workspace_id == workspace_id))
        if found.scalar_one_or_none() is None:
            _name, _address, handle = await _proposal(connection, workspace_id)
            await connection.execute(
                insert_for(self._database.dialect, public_pages)
                .on_conflict_do_nothing(index_elements=[public_pages.c.workspace_id])
                .values(workspace_id=workspace_id, handle=handle))

    async def save_public_pages(self, pages: PublicPages) -> None:
        try:
            async with self._database.write() as connection:
                await self._settle(connection, pages.workspace_id)
                await connection.execute(
                    update(public_pages).where(public_pages.c.workspace_id == pages.workspace_id).values(
                        handle=pages.handle, accent=pages.accent, origins=list(pages.origins), indexed=pages.indexed,
                        words={language: dict(words) for language, words in pages.words.items()})
                )
        except IntegrityError:
            raise ConflictError(f"Another workspace uses the address {pages.handle}; choose another one.") from None

    async def save_logo(self, workspace_id: int, logo: Logo | None) -> None:
        values: dict[str, Any] = {"logo": None, "logo_type": "", "logo_hash": ""}
        if logo is not None:
            values = {"logo": logo.octets, "logo_type": logo.media_type,
                      "logo_hash": sha256(logo.octets).hexdigest()[:16]}
        async with self._database.write() as connection:
            await self._settle(connection, workspace_id)
            await connection.execute(
                update(public_pages).where(public_pages.c.workspace_id == workspace_id).values(**values))

    async def logo(self, workspace_id: int, logo_hash: str) -> Logo | None:
        it = public_pages.c
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(it.logo_type, it.logo)
                .where(it.workspace_id == workspace_id, it.logo_hash == logo_hash, it.logo.is_not(None))
            )).one_or_none()
        return None if row is None else Logo(row.logo_type, bytes(row.logo))

    # ---- pages for several lists

    async def pages(self, workspace_id: int) -> tuple[SignupPage, ...]:
        async with self._database.read() as connection:
            known = {row.id: _public_list(row) for row in await connection.execute(
                with_settings().where(lists.c.workspace_id == workspace_id, lists.c.archived_at.is_(None)))}
            rows = await connection.execute(
                select(signup_pages).where(signup_pages.c.workspace_id == workspace_id)
                .order_by(signup_pages.c.handle))
            return tuple(
                SignupPage(row.id, row.handle, row.title, row.intro, row.language,
                           tuple(known[list_id] for list_id in row.list_ids if list_id in known))
                for row in rows
            )

    async def save_page(
        self, workspace_id: int, page_id: int | None, handle: str, title: str, intro: str, language: str,
        list_ids: Sequence[int], now: datetime,
    ) -> int:
        values = {"handle": handle, "title": title, "intro": intro, "language": language, "list_ids": list(list_ids)}
        taken = f"A page or a list has the address {handle} already; choose another one."
        try:
            async with self._database.write() as connection:
                own = (await connection.execute(
                    select(lists.c.id, lists.c.handle).where(lists.c.workspace_id == workspace_id))).all()
                if not set(list_ids) <= {row.id for row in own}:
                    raise NotFoundError("There is no such list.")
                if handle in {row.handle for row in own}:
                    raise ConflictError(taken)
                if page_id is None:
                    made = await connection.execute(insert(signup_pages).returning(signup_pages.c.id), {
                        "public_id": new_public_id(), "workspace_id": workspace_id, "created_at": now, **values})
                    return int(made.scalar_one())
                changed = await connection.execute(
                    update(signup_pages).values(**values)
                    .where(signup_pages.c.id == page_id, signup_pages.c.workspace_id == workspace_id))
                if changed.rowcount != 1:
                    raise NotFoundError("There is no such page.")
                return page_id
        except IntegrityError:
            raise ConflictError(taken) from None

    async def delete_page(self, workspace_id: int, page_id: int) -> None:
        async with self._database.write() as connection:
            gone = await connection.execute(
                delete(signup_pages).where(signup_pages.c.id == page_id, signup_pages.c.workspace_id == workspace_id))
            if gone.rowcount != 1:
                raise NotFoundError("There is no such page.")

    async def find_page(self, workspace_handle: str, page_handle: str) -> tuple[PublicPages, SignupPage] | None:
        async with self._database.read() as connection:
            row = (await connection.execute(
                _with_workspace().where(public_pages.c.handle == workspace_handle))).one_or_none()
            if row is None:
                return None
            found = [_public_list(it) for it in await connection.execute(
                with_settings().where(lists.c.workspace_id == row.workspace_id, lists.c.archived_at.is_(None),
                                      list_signups.c.public.is_(True)).order_by(lists.c.name, lists.c.id))]
            page = await _page(connection, row.workspace_id, page_handle, found)
        return (_pages_of(row), page) if page is not None and page.lists else None


async def _page(
    connection: AsyncConnection, workspace_id: int, handle: str, found: Sequence[PublicList],
) -> SignupPage | None:
    if not handle:
        return SignupPage(0, "", "", "", "", tuple(found))
    for one in found:
        if one.handle == handle:
            return SignupPage(0, handle, "", "", one.signup.language, (one,))
    row = (await connection.execute(
        select(signup_pages).where(signup_pages.c.workspace_id == workspace_id, signup_pages.c.handle == handle)
    )).one_or_none()
    if row is None:
        return None
    chosen = {one.id: one for one in found}
    return SignupPage(row.id, row.handle, row.title, row.intro, row.language,
                      tuple(chosen[list_id] for list_id in row.list_ids if list_id in chosen))


async def _proposal(connection: AsyncConnection, workspace_id: int) -> tuple[str, str, str]:
    """The workspace's name and postal address, and a free handle made of the name; a number behind it where taken."""
    row = (await connection.execute(
        select(workspaces.c.name, workspaces.c.postal_address).where(workspaces.c.id == workspace_id)
    )).one_or_none()
    if row is None:
        raise NotFoundError("There is no such workspace.")
    plain = unicodedata.normalize("NFKD", row.name).encode("ascii", "ignore").decode().lower()
    wanted = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "news"
    names = [wanted, *(f"{wanted}-{number}" for number in range(2, _HANDLES_TRIED))]
    taken = set((await connection.execute(
        select(public_pages.c.handle).where(public_pages.c.handle.in_(names)))).scalars())
    return row.name, row.postal_address, next((name for name in names if name not in taken), f"w{workspace_id}")


async def _own_domain(connection: AsyncConnection, workspace_id: int, domain_id: int) -> None:
    found = await connection.execute(select(sending_domains.c.id).where(
        sending_domains.c.id == domain_id, sending_domains.c.workspace_id == workspace_id))
    if found.scalar_one_or_none() is None:
        raise NotFoundError("There is no such sending domain.")
