"""Sending domains and their DKIM keys in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import Instant, campaigns, dkim_keys, sending_domains
from esp.errors import ConflictError, NotFoundError
from esp.model.content import SigningKey
from esp.model.ids import new_public_id
from esp.ports.domains import DkimKey, NewKey, SendingDomain

_d, _k = sending_domains.c, dkim_keys.c
_DOMAIN: Final = (_d.id, _d.public_id, _d.name, _d.created_at, _d.checked_at, _d.verified_at, _d.check_result)


class SqlDomains:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, workspace_id: int, name: str, keys: Sequence[NewKey], at: datetime) -> SendingDomain:
        public_id = new_public_id()
        try:
            async with self._database.write() as connection:
                done = await connection.execute(insert(sending_domains).values(
                    workspace_id=workspace_id, public_id=public_id, name=name, created_at=at).returning(_d.id))
                domain_id: int = done.scalar_one()
                await connection.execute(insert(dkim_keys), [
                    {"workspace_id": workspace_id, "domain_id": domain_id, "selector": key.selector, "created_at": at,
                     "algorithm": key.algorithm, "private_pem": key.private_pem, "public_key": key.public_key}
                    for key in keys
                ])
        except IntegrityError:
            raise ConflictError(f"{name} is already one of this workspace's sending domains.") from None
        return SendingDomain(domain_id, public_id, name, at)

    async def all(self, workspace_id: int) -> tuple[SendingDomain, ...]:
        query = select(*_DOMAIN).where(_d.workspace_id == workspace_id).order_by(_d.id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(SendingDomain(*row) for row in rows)

    async def get(self, workspace_id: int, public_id: str) -> SendingDomain:
        return self._found(await self._one(workspace_id, _d.public_id == public_id))

    async def by_id(self, workspace_id: int, domain_id: int) -> SendingDomain:
        return self._found(await self._one(workspace_id, _d.id == domain_id))

    async def by_name(self, workspace_id: int, name: str) -> SendingDomain | None:
        return await self._one(workspace_id, _d.name == name)

    async def verified_elsewhere(self, workspace_id: int, names: Sequence[str]) -> str:
        query = select(_d.name).where(
            _d.workspace_id != workspace_id, _d.name.in_(names), _d.verified_at.is_not(None)).order_by(_d.id).limit(1)
        async with self._database.read() as connection:
            return (await connection.execute(query)).scalar() or ""

    async def _one(self, workspace_id: int, condition: Any) -> SendingDomain | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(*_DOMAIN).where(_d.workspace_id == workspace_id, condition))).first()
        return None if row is None else SendingDomain(*row)

    @staticmethod
    def _found(domain: SendingDomain | None) -> SendingDomain:
        if domain is None:
            raise NotFoundError("There is no such sending domain in this workspace.")
        return domain

    async def keys(self, workspace_id: int, domain_id: int) -> tuple[DkimKey, ...]:
        query = select(_k.id, _k.selector, _k.algorithm, _k.public_key, _k.created_at, _k.retired_at).where(
            _k.workspace_id == workspace_id, _k.domain_id == domain_id, _k.retired_at.is_(None)).order_by(_k.id)
        async with self._database.read() as connection:
            return tuple(DkimKey(*row) for row in (await connection.execute(query)).all())

    async def signing_keys(self, workspace_id: int, domain_id: int) -> tuple[SigningKey, ...]:
        query = (
            select(_d.name, _k.selector, _k.algorithm, _k.private_pem)
            .join_from(dkim_keys, sending_domains, _d.id == _k.domain_id)
            .where(_k.workspace_id == workspace_id, _k.domain_id == domain_id, _k.retired_at.is_(None))
            .order_by(_k.algorithm.desc(), _k.id)  # rsa-sha256 before ed25519-sha256
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(SigningKey(name, selector, algorithm, pem.encode()) for name, selector, algorithm, pem in rows)

    async def record_check(
        self, workspace_id: int, domain_id: int, result: Mapping[str, Any], at: datetime, *, verified: bool
    ) -> None:
        since = func.coalesce(_d.verified_at, literal(at, Instant)) if verified else None
        async with self._database.write() as connection:
            await connection.execute(
                update(sending_domains).where(_d.workspace_id == workspace_id, _d.id == domain_id)
                .values(check_result=dict(result), checked_at=at, verified_at=since))

    async def remove(self, workspace_id: int, domain_id: int) -> None:
        async with self._database.write() as connection:
            used = select(campaigns.c.id).where(
                campaigns.c.workspace_id == workspace_id, campaigns.c.domain_id == domain_id).limit(1)
            if (await connection.execute(used)).first():
                raise ConflictError("A campaign uses this domain, so its keys are still needed. Nothing was removed.")
            await connection.execute(delete(dkim_keys).where(
                dkim_keys.c.workspace_id == workspace_id, dkim_keys.c.domain_id == domain_id))
            await connection.execute(delete(sending_domains).where(
                sending_domains.c.workspace_id == workspace_id, sending_domains.c.id == domain_id))
