"""Accounts on both databases: users, workspaces and sessions keep their promises."""

from datetime import UTC, datetime, timedelta

import pytest

from esp.adapters.sql.accounts import SqlAccounts
from esp.adapters.sql.database import Database
from esp.errors import ConflictError, NotFoundError
from esp.ports.accounts import NewSession, Role, Session

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
def accounts(database: Database) -> SqlAccounts:
    return SqlAccounts(database)


async def opened(accounts: SqlAccounts, name: str, user_id: int, workspace_id: int) -> Session | None:
    await accounts.open_session(NewSession(
        name, user_id, workspace_id, "csrf", "192.0.2.1", "Browser", NOW, NOW + timedelta(days=1)))
    return await accounts.session(name, NOW)


async def test_the_first_owner_is_made_once(accounts: SqlAccounts) -> None:
    assert not await accounts.has_users()
    member = await accounts.create_first_owner("sri@melati.example", "Sri", "hash", NOW)
    assert member.role is Role.OWNER
    assert await accounts.has_users()
    with pytest.raises(ConflictError):
        await accounts.create_first_owner("other@melati.example", "Other", "hash", NOW)
    assert [one.name for one in await accounts.workspaces()] == [""]


async def test_an_address_is_used_once_on_the_server(accounts: SqlAccounts) -> None:
    first = await accounts.create_workspace("A", "Street 1", NOW)
    second = await accounts.create_workspace("B", "Street 2", NOW, language="id", time_zone="Asia/Jakarta")
    user = await accounts.create_user(first.id, "sri@melati.example", "Sri", "hash", Role.OWNER, NOW)
    other = await accounts.create_user(second.id, "budi@melati.example", "Budi", "hash", Role.OWNER, NOW)
    with pytest.raises(ConflictError):
        await accounts.create_user(second.id, "sri@melati.example", "Sri", "hash", Role.OWNER, NOW)
    with pytest.raises(ConflictError):
        await accounts.update_profile(other.id, name="Budi", email="sri@melati.example", language="en")
    assert await accounts.workspaces_of(user.id) == (first,)
    assert (await accounts.workspace(second.id)).time_zone == "Asia/Jakarta"


async def test_members_are_those_of_one_workspace(accounts: SqlAccounts) -> None:
    first = await accounts.create_workspace("A", "", NOW)
    second = await accounts.create_workspace("B", "", NOW)
    user = await accounts.create_user(first.id, "sri@melati.example", "Sri", "hash", Role.OWNER, NOW)
    with pytest.raises(NotFoundError):
        await accounts.member(second.id, user.public_id)
    await accounts.set_disabled(second.id, user.id, NOW)  # not theirs: nothing happens
    assert (await accounts.member(first.id, user.public_id)).disabled_at is None
    await accounts.join(second.id, user.id, Role.MEMBER)
    assert (await accounts.member(second.id, user.public_id)).role is Role.MEMBER


async def test_who_is_barred_here_works_on_elsewhere(accounts: SqlAccounts) -> None:
    """An owner bars people from the own workspace only: barring on the whole server would reach into others'."""
    here, there = await accounts.create_workspace("A", "", NOW), await accounts.create_workspace("B", "", NOW)
    for number, workspace in enumerate((here, there)):
        await accounts.create_user(workspace.id, f"owner{number}@melati.example", "O", "hash", Role.OWNER, NOW)
    user = await accounts.create_user(here.id, "sri@melati.example", "Sri", "hash", Role.MEMBER, NOW)
    await accounts.join(there.id, user.id, Role.OWNER)
    assert await opened(accounts, "here", user.id, here.id)
    assert await opened(accounts, "there", user.id, there.id)
    await accounts.set_disabled(here.id, user.id, NOW)
    assert await accounts.session("here", NOW) is None
    assert await accounts.session("there", NOW) is not None
    assert (await accounts.member(here.id, user.public_id)).disabled_at == NOW
    assert (await accounts.member(there.id, user.public_id)).disabled_at is None
    assert await accounts.workspaces_of(user.id) == (there,)
    assert await accounts.workspaces_of(user.id, barred=True) == (here, there)
    with pytest.raises(NotFoundError):
        await accounts.switch_workspace("there", user.id, here.id)
    assert await opened(accounts, "again", user.id, here.id) is None
    await accounts.set_disabled(here.id, user.id, None)
    assert await accounts.workspaces_of(user.id) == (here, there)
    assert await accounts.session("here", NOW) is None, "ended, and not only barred for a while"


async def test_the_last_active_owner_stays(accounts: SqlAccounts) -> None:
    workspace = await accounts.create_workspace("A", "", NOW)
    first = await accounts.create_user(workspace.id, "a@melati.example", "A", "hash", Role.OWNER, NOW)
    second = await accounts.create_user(workspace.id, "b@melati.example", "B", "hash", Role.OWNER, NOW)
    await accounts.set_disabled(workspace.id, second.id, NOW)
    with pytest.raises(ConflictError):
        await accounts.set_disabled(workspace.id, first.id, NOW)
    with pytest.raises(ConflictError):
        await accounts.set_role(workspace.id, first.id, Role.MEMBER)
    await accounts.set_disabled(workspace.id, second.id, None)
    await accounts.set_role(workspace.id, first.id, Role.MEMBER)
    assert [member.role for member in await accounts.members(workspace.id)] == [Role.MEMBER, Role.OWNER]


async def test_a_session_counts_while_everything_behind_it_does(accounts: SqlAccounts) -> None:
    workspace = await accounts.create_workspace("A", "", NOW)
    other = await accounts.create_workspace("B", "", NOW)
    await accounts.create_user(workspace.id, "owner@melati.example", "O", "hash", Role.OWNER, NOW)
    user = await accounts.create_user(workspace.id, "a@melati.example", "A", "hash", Role.MEMBER, NOW)
    session = await opened(accounts, "one", user.id, workspace.id)
    assert session is not None
    assert (session.user, session.workspace, session.role) == (user, workspace, Role.MEMBER)
    assert await accounts.session("one", NOW + timedelta(days=2)) is None
    await accounts.touch_session("one", NOW, NOW + timedelta(days=3))
    assert await accounts.session("one", NOW + timedelta(days=2)) is not None
    with pytest.raises(NotFoundError):
        await accounts.switch_workspace("one", user.id, other.id)
    assert await opened(accounts, "elsewhere", user.id, other.id) is None  # no member there
    await accounts.set_disabled(workspace.id, user.id, NOW)
    await accounts.set_disabled(workspace.id, user.id, None)
    assert await accounts.session("one", NOW) is None  # ended, and not only barred for a while


async def test_a_new_password_ends_the_other_sessions(accounts: SqlAccounts) -> None:
    workspace = await accounts.create_workspace("A", "", NOW)
    user = await accounts.create_user(workspace.id, "a@melati.example", "A", "old", Role.OWNER, NOW)
    for name in ("here", "there", "elsewhere"):
        await opened(accounts, name, user.id, workspace.id)
    await accounts.set_password(user.id, "new", keep_session="here")
    assert [one.token_hash for one in await accounts.sessions_of(user.id, NOW)] == ["here"]
    known = await accounts.credentials("a@melati.example")
    assert known is not None
    assert known.password_hash == "new"
    assert await accounts.credentials("nobody@melati.example") is None


async def test_sessions_end_one_by_one_and_by_time(accounts: SqlAccounts) -> None:
    workspace = await accounts.create_workspace("A", "", NOW)
    user = await accounts.create_user(workspace.id, "a@melati.example", "A", "hash", Role.OWNER, NOW)
    for name in ("one", "two", "three"):
        await opened(accounts, name, user.id, workspace.id)
    await accounts.close_session("one")
    assert await accounts.close_other_sessions(user.id, "two") == 1
    assert await accounts.forget_expired_sessions(NOW) == 0
    assert await accounts.forget_expired_sessions(NOW + timedelta(days=1)) == 1
