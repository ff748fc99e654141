"""Workspaces, users, memberships and sessions in SQL."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import memberships, sessions, users, workspaces
from esp.errors import ConflictError, NotFoundError
from esp.model.ids import new_public_id
from esp.ports.accounts import Credentials, Member, NewSession, Role, Session, User, Workspace

ADDRESS_TAKEN: Final = "Somebody on this server uses this address already. Nobody was added or changed."
LAST_OWNER: Final = (
    "This is the last active owner; without one nobody could change the team. Make somebody else an owner first."
)

_USER: Final = (
    users.c.id, users.c.public_id, users.c.email, users.c.name, users.c.language,
    users.c.created_at,
)
_WORKSPACE: Final = (
    workspaces.c.id, workspaces.c.public_id, workspaces.c.name, workspaces.c.postal_address,
    workspaces.c.language, workspaces.c.time_zone, workspaces.c.created_at,
)
_SESSION: Final = (
    sessions.c.token_hash, sessions.c.csrf, sessions.c.ip, sessions.c.user_agent,
    sessions.c.created_at, sessions.c.seen_at, sessions.c.expires_at, memberships.c.role,
)


def _user(row: Row[Any] | tuple[Any, ...]) -> User:
    return User(*row[:6])


def _member(row: Any) -> Member:
    return Member(_user(row), Role(row[6]), row[7])


def _workspace(row: Row[Any] | tuple[Any, ...]) -> Workspace:
    return Workspace(*row[:7])


def _session(row: Row[Any]) -> Session:
    values = tuple(row)
    token_hash, csrf, ip, agent, created, seen, expires, role = values[13:]
    return Session(
        token_hash=token_hash, user=_user(values), workspace=_workspace(values[6:]), role=Role(role),
        csrf=csrf, ip=ip, user_agent=agent, created_at=created, seen_at=seen, expires_at=expires,
    )


def _valid_sessions(now: datetime) -> Select[Any]:
    """Sessions that count: not over, of a user who still belongs to the workspace and is not barred from it."""
    return (
        select(*_USER, *_WORKSPACE, *_SESSION)
        .join_from(sessions, users, users.c.id == sessions.c.user_id)
        .join(workspaces, workspaces.c.id == sessions.c.workspace_id)
        .join(
            memberships,
            (memberships.c.workspace_id == sessions.c.workspace_id) & (memberships.c.user_id == users.c.id),
        )
        .where(sessions.c.expires_at > now, memberships.c.disabled_at.is_(None))
    )


class SqlAccounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def has_users(self) -> bool:
        async with self._database.read() as connection:
            return (await connection.execute(select(users.c.id).limit(1))).first() is not None

    async def create_first_owner(self, email: str, name: str, password_hash: str, at: datetime) -> Member:
        async with self._database.write() as connection:
            if self._database.dialect == "postgresql":
                # Two browsers may press the button at once; SQLite's writers already take turns.
                await connection.execute(select(func.pg_advisory_xact_lock(0x6D657270)))
            if (await connection.execute(select(users.c.id).limit(1))).first():
                raise ConflictError("This server is already set up. Log in instead.")
            workspace = await self._insert_workspace(connection, "", "", at, "en", "UTC")
            user = await self._insert_user(connection, workspace.id, email, name, password_hash, Role.OWNER, at)
            return Member(user, Role.OWNER)

    async def create_workspace(
        self, name: str, postal_address: str, at: datetime, *, language: str = "en", time_zone: str = "UTC"
    ) -> Workspace:
        async with self._database.write() as connection:
            return await self._insert_workspace(connection, name, postal_address, at, language, time_zone)

    async def create_user(
        self, workspace_id: int, email: str, name: str, password_hash: str, role: Role, at: datetime
    ) -> User:
        try:
            async with self._database.write() as connection:
                return await self._insert_user(connection, workspace_id, email, name, password_hash, role, at)
        except IntegrityError:
            raise ConflictError(ADDRESS_TAKEN) from None

    async def join(self, workspace_id: int, user_id: int, role: Role) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(memberships).values(workspace_id=workspace_id, user_id=user_id, role=role))

    async def workspace(self, workspace_id: int) -> Workspace:
        async with self._database.read() as connection:
            row = (await connection.execute(select(*_WORKSPACE).where(workspaces.c.id == workspace_id))).first()
        if row is None:
            raise NotFoundError("There is no such workspace.")
        return _workspace(row)

    async def first_workspace(self) -> Workspace | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(*_WORKSPACE).order_by(workspaces.c.id).limit(1))).first()
        return None if row is None else _workspace(row)

    async def workspaces(self) -> tuple[Workspace, ...]:
        async with self._database.read() as connection:
            rows = (await connection.execute(select(*_WORKSPACE).order_by(workspaces.c.id))).all()
        return tuple(map(_workspace, rows))

    async def workspaces_of(self, user_id: int, *, barred: bool = False) -> tuple[Workspace, ...]:
        query = select(*_WORKSPACE).join_from(workspaces, memberships).where(memberships.c.user_id == user_id)
        if not barred:
            query = query.where(memberships.c.disabled_at.is_(None))
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(workspaces.c.id))).all()
        return tuple(map(_workspace, rows))

    async def update_workspace(
        self, workspace_id: int, *, name: str, postal_address: str, language: str, time_zone: str
    ) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(workspaces).where(workspaces.c.id == workspace_id).values(
                name=name, postal_address=postal_address, language=language, time_zone=time_zone))

    async def members(self, workspace_id: int) -> tuple[Member, ...]:
        query = select(*_USER, memberships.c.role, memberships.c.disabled_at).join_from(users, memberships)
        query = query.where(memberships.c.workspace_id == workspace_id).order_by(users.c.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(map(_member, rows))

    async def member(self, workspace_id: int, public_id: str) -> Member:
        query = select(*_USER, memberships.c.role, memberships.c.disabled_at).join_from(users, memberships)
        query = query.where(memberships.c.workspace_id == workspace_id, users.c.public_id == public_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError("There is no such person in this workspace.")
        return _member(row)

    async def set_role(self, workspace_id: int, user_id: int, role: Role) -> None:
        async with self._database.write() as connection:
            if role is not Role.OWNER:
                await self._keep_an_owner(connection, workspace_id, user_id)
            await connection.execute(update(memberships).where(
                memberships.c.workspace_id == workspace_id, memberships.c.user_id == user_id).values(role=role))

    async def set_disabled(self, workspace_id: int, user_id: int, at: datetime | None) -> None:
        async with self._database.write() as connection:
            if at is not None:
                await self._keep_an_owner(connection, workspace_id, user_id)
            await connection.execute(update(memberships).where(
                memberships.c.workspace_id == workspace_id, memberships.c.user_id == user_id).values(disabled_at=at))
            await connection.execute(delete(sessions).where(
                sessions.c.workspace_id == workspace_id, sessions.c.user_id == user_id))

    async def credentials(self, email: str) -> Credentials | None:
        async with self._database.read() as connection:
            query = select(*_USER, users.c.password_hash).where(users.c.email == email)
            row = (await connection.execute(query)).first()
        return None if row is None else Credentials(_user(row), row[6])

    async def set_password(self, user_id: int, password_hash: str, *, keep_session: str | None = None) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))
            await connection.execute(delete(sessions).where(
                sessions.c.user_id == user_id, sessions.c.token_hash != (keep_session or "")))

    async def update_profile(self, user_id: int, *, name: str, email: str, language: str) -> None:
        try:
            async with self._database.write() as connection:
                await connection.execute(
                    update(users).where(users.c.id == user_id).values(name=name, email=email, language=language))
        except IntegrityError:
            raise ConflictError(ADDRESS_TAKEN) from None

    async def open_session(self, session: NewSession) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(sessions).values(
                token_hash=session.token_hash, user_id=session.user_id, workspace_id=session.workspace_id,
                csrf=session.csrf, ip=session.ip, user_agent=session.user_agent,
                created_at=session.at, seen_at=session.at, expires_at=session.expires_at))

    async def session(self, token_hash: str, now: datetime) -> Session | None:
        async with self._database.read() as connection:
            row = (await connection.execute(_valid_sessions(now).where(sessions.c.token_hash == token_hash))).first()
        return None if row is None else _session(row)

    async def touch_session(self, token_hash: str, seen_at: datetime, expires_at: datetime) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(sessions).where(sessions.c.token_hash == token_hash).values(
                seen_at=seen_at, expires_at=expires_at))

    async def switch_workspace(self, token_hash: str, user_id: int, workspace_id: int) -> None:
        belongs = select(memberships.c.user_id).where(
            memberships.c.workspace_id == workspace_id, memberships.c.user_id == user_id,
            memberships.c.disabled_at.is_(None)).exists()
        async with self._database.write() as connection:
            done = await connection.execute(update(sessions).where(
                sessions.c.token_hash == token_hash, sessions.c.user_id == user_id, belongs,
            ).values(workspace_id=workspace_id))
        if not done.rowcount:
            raise NotFoundError("There is no such workspace.")

    async def sessions_of(self, user_id: int, now: datetime) -> tuple[Session, ...]:
        query = _valid_sessions(now).where(sessions.c.user_id == user_id).order_by(sessions.c.seen_at.desc())
        async with self._database.read() as connection:
            return tuple(map(_session, (await connection.execute(query)).all()))

    async def close_session(self, token_hash: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_hash == token_hash))

    async def close_other_sessions(self, user_id: int, keep: str) -> int:
        async with self._database.write() as connection:
            done = await connection.execute(
                delete(sessions).where(sessions.c.user_id == user_id, sessions.c.token_hash != keep))
            return done.rowcount

    async def forget_expired_sessions(self, now: datetime) -> int:
        async with self._database.write() as connection:
            return (await connection.execute(delete(sessions).where(sessions.c.expires_at <= now))).rowcount

    @staticmethod
    async def _insert_workspace(
        connection: AsyncConnection, name: str, postal_address: str, at: datetime, language: str, time_zone: str
    ) -> Workspace:
        public_id = new_public_id()
        done = await connection.execute(insert(workspaces).values(
            public_id=public_id, name=name, postal_address=postal_address, language=language, time_zone=time_zone,
            created_at=at).returning(workspaces.c.id))
        return Workspace(done.scalar_one(), public_id, name, postal_address, language, time_zone, at)

    @staticmethod
    async def _insert_user(
        connection: AsyncConnection, workspace_id: int, email: str, name: str, password_hash: str, role: Role,
        at: datetime,
    ) -> User:
        public_id = new_public_id()
        done = await connection.execute(insert(users).values(
            public_id=public_id, email=email, name=name, password_hash=password_hash, created_at=at,
        ).returning(users.c.id))
        user_id = done.scalar_one()
        await connection.execute(insert(memberships).values(workspace_id=workspace_id, user_id=user_id, role=role))
        return User(user_id, public_id, email, name, "en", at)

    @staticmethod
    async def _keep_an_owner(connection: AsyncConnection, workspace_id: int, leaving: int) -> None:
        """Raises ConflictError where no active owner but ``leaving`` is left."""
        # The owners' rows are locked, so that two owners cannot take each other out at the same moment.
        query = (
            select(users.c.id).join_from(users, memberships)
            .where(memberships.c.workspace_id == workspace_id, memberships.c.role == Role.OWNER)
            .where(memberships.c.disabled_at.is_(None))
            .order_by(users.c.id).with_for_update()
        )
        owners = set((await connection.execute(query)).scalars())
        if leaving in owners and len(owners) == 1:
            raise ConflictError(LAST_OWNER)
