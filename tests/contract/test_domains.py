"""Sending domains on both databases: keys with their secrets, checks, and each in its workspace."""

from datetime import UTC, datetime, timedelta

import pytest

from esp.adapters.sql.accounts import SqlAccounts
from esp.adapters.sql.database import Database
from esp.adapters.sql.domains import SqlDomains
from esp.errors import ConflictError, NotFoundError
from esp.ports.domains import NewKey

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
KEYS = (NewKey("e1", "ed25519-sha256", "pem e", "public e"), NewKey("r1", "rsa-sha256", "pem r", "public r"))


@pytest.fixture
async def workspaces(database: Database) -> tuple[int, int]:
    accounts = SqlAccounts(database)
    return (await accounts.create_workspace("A", "", NOW)).id, (await accounts.create_workspace("B", "", NOW)).id


async def test_a_domain_with_its_keys(database: Database, workspaces: tuple[int, int]) -> None:
    domains, (here, there) = SqlDomains(database), workspaces
    made = await domains.add(here, "melati.example", KEYS, NOW)
    assert await domains.get(here, made.public_id) == made
    assert await domains.by_id(here, made.id) == made
    assert await domains.by_name(here, "melati.example") == made
    assert await domains.all(here) == (made,)
    signing = await domains.signing_keys(here, made.id)
    assert [(key.domain, key.algorithm, key.private_pem) for key in signing] == [
        ("melati.example", "rsa-sha256", b"pem r"), ("melati.example", "ed25519-sha256", b"pem e")]
    assert "pem" not in repr(signing)
    assert [key.selector for key in await domains.keys(here, made.id)] == ["e1", "r1"]
    with pytest.raises(ConflictError):
        await domains.add(here, "melati.example", KEYS, NOW)
    assert (await domains.add(there, "melati.example", KEYS, NOW)).id != made.id


async def test_a_domain_does_not_exist_elsewhere(database: Database, workspaces: tuple[int, int]) -> None:
    domains, (here, there) = SqlDomains(database), workspaces
    made = await domains.add(here, "melati.example", KEYS, NOW)
    with pytest.raises(NotFoundError):
        await domains.get(there, made.public_id)
    with pytest.raises(NotFoundError):
        await domains.by_id(there, made.id)
    assert await domains.by_name(there, "melati.example") is None
    assert await domains.signing_keys(there, made.id) == ()
    await domains.record_check(there, made.id, {"records": []}, NOW, verified=True)
    await domains.remove(there, made.id)
    assert await domains.get(here, made.public_id) == made


async def test_verified_keeps_the_beginning_of_the_good_time(database: Database, workspaces: tuple[int, int]) -> None:
    domains, (here, _) = SqlDomains(database), workspaces
    made = await domains.add(here, "melati.example", KEYS, NOW)
    seen = []
    for hours, verified in ((1, True), (2, True), (3, False), (4, True)):
        await domains.record_check(here, made.id, {"hours": hours}, NOW + timedelta(hours=hours), verified=verified)
        found = await domains.get(here, made.public_id)
        assert found.checked_at == NOW + timedelta(hours=hours)
        assert found.check_result == {"hours": hours}
        seen.append(found.verified_at and (found.verified_at - NOW) // timedelta(hours=1))
    assert seen == [1, 1, None, 4]


async def test_a_domain_is_removed_with_its_keys(database: Database, workspaces: tuple[int, int]) -> None:
    domains, (here, _) = SqlDomains(database), workspaces
    made = await domains.add(here, "melati.example", KEYS, NOW)
    await domains.remove(here, made.id)
    assert await domains.all(here) == ()
    assert await domains.signing_keys(here, made.id) == ()
