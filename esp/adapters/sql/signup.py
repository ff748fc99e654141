"""Requests to come and to go in SQL: counted, recorded, asked about, applied with consent records, forgotten."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Row, case, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.detach import detach
from esp.adapters.sql.messages import queue_message
from esp.adapters.sql.schema import (
    consents,
    contact_changes,
    contact_notes,
    contact_tags,
    contacts,
    deliveries,
    lists,
    messages,
    signup_counts,
    signup_tallies,
    signups,
    subscriptions,
    suppressions,
    wordings,
)
from esp.adapters.sql.signup_pages import SqlSignupPages
from esp.adapters.sql.upsert import add_to_counters, insert_for, lock_list, upsert_contacts
from esp.adapters.sql.withdrawals import readmit
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.ids import new_public_id
from esp.model.permission import SignupAction, SignupChannel, SignupOutcome, SignupState
from esp.ports.contacts import NewContact
from esp.ports.signup import Count, NewMessage, Signup, SignupRequest, Standing, Witness

_OPEN: Final = (SignupState.NEW.value, SignupState.ASKED.value)
_ON, _OFF = SubscriptionState.SUBSCRIBED.value, SubscriptionState.UNSUBSCRIBED.value
_PENDING: Final = SubscriptionState.PENDING.value
#: ``contacts.source`` of people whom nothing but a form has brought, so that an expired request takes them away again.
SOURCE: Final = "signup"


def _signup(row: Row[Any]) -> Signup:
    return Signup(
        row.id, row.workspace_id, SignupAction(row.action), row.email, row.email_key, row.domain, row.language,
        tuple(row.list_ids), {int(key): value for key, value in row.wordings.items()}, row.fields,
        SignupChannel(row.channel), row.source, row.ip, row.user_agent, row.proven, SignupState(row.state),
        row.contact_id, row.message_id, row.created_at, row.expires_at,
    )


class SqlSignups(SqlSignupPages):
    """The port ``Signups`` on SQLite and PostgreSQL; what marketers set is in ``SqlSignupPages``."""

    # ---- the door

    async def record(
        self, request: SignupRequest, counts: Sequence[Count], missed: Mapping[tuple[int, int], int] | None = None,
    ) -> Count | None:
        async with self._database.write() as connection:
            over = await self._count(connection, counts, request.at)
            joins = request.action is SignupAction.SUBSCRIBE
            turned_away = Counter(missed or {})
            if over is not None and joins:
                turned_away.update((request.workspace_id, list_id) for list_id in request.wordings)
            fresh = await self._record(connection, request) if over is None else ()
            noted = {(*one, SignupOutcome.TURNED_AWAY): n for one, n in turned_away.items()}
            noted |= {(request.workspace_id, one, SignupOutcome.REQUESTED): 1 for one in fresh if joins}
            await self._tally(connection, noted, request.at)
            return over

    async def _record(self, connection: AsyncConnection, request: SignupRequest) -> Iterable[int]:
        """Keep the request, or add it to an open one; the lists that were not asked for before."""
        said = {
            str(list_id): await self._wording(connection, request, list_id, text)
            for list_id, text in sorted(request.wordings.items())
        }
        it = signups.c
        open_one = (await connection.execute(
            select(signups).where(it.workspace_id == request.workspace_id, it.email_key == request.email_key,
                                  it.action == request.action.value, it.state.in_(_OPEN))
            .order_by(it.id).limit(1).with_for_update()
        )).one_or_none()
        values: dict[str, Any] = {
            "language": request.language, "wordings": said, "list_ids": sorted(request.wordings),
            "fields": dict(request.fields), "channel": request.channel.value, "source": request.source,
            "ip": request.ip, "user_agent": request.user_agent, "proven": request.proven,
            "state": SignupState.NEW.value, "expires_at": request.expires_at,
        }
        if open_one is None:
            await connection.execute(insert(signups), {
                "public_id": new_public_id(), "workspace_id": request.workspace_id, "email": request.email,
                "email_key": request.email_key, "domain": request.domain, "action": request.action.value,
                "created_at": request.at, **values,
            })
            return request.wordings
        values["wordings"] = {**open_one.wordings, **said}
        values["list_ids"] = sorted({*open_one.list_ids, *request.wordings})
        values["fields"] = {**open_one.fields, **request.fields}
        values["proven"] = open_one.proven and request.proven
        await connection.execute(update(signups).where(it.id == open_one.id).values(**values))
        return set(request.wordings) - set(open_one.list_ids)

    async def _tally(
        self, connection: AsyncConnection, noted: Mapping[tuple[int, int, SignupOutcome], int], now: datetime,
    ) -> None:
        """Add to the day's figures; last in a transaction and in order, so that nobody waits in a ring."""
        it = signup_tallies.c
        for (workspace_id, list_id, outcome), n in sorted(noted.items()):
            statement = insert_for(self._database.dialect, signup_tallies)
            await connection.execute(
                statement.values(workspace_id=workspace_id, list_id=list_id, day=_day(now), outcome=outcome.value, n=n)
                .on_conflict_do_update(index_elements=[it.workspace_id, it.list_id, it.day, it.outcome],
                                       set_={"n": it.n + n}))

    async def _tally_of(
        self, connection: AsyncConnection, signup: Signup, outcome: SignupOutcome, list_ids: Iterable[int],
        now: datetime,
    ) -> None:
        if signup.action is SignupAction.SUBSCRIBE:
            await self._tally(connection, {(signup.workspace_id, one, outcome): 1 for one in list_ids}, now)

    async def tallies(self, workspace_id: int, list_id: int, since: date) -> Mapping[SignupOutcome, int]:
        it = signup_tallies.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(it.outcome, func.sum(it.n).label("n"))
                .where(it.workspace_id == workspace_id, it.list_id == list_id, it.day >= since.isoformat())
                .group_by(it.outcome))
            return {SignupOutcome(row.outcome): int(row.n) for row in rows}

    async def count(self, counts: Sequence[Count], now: datetime) -> bool:
        async with self._database.write() as connection:
            return await self._count(connection, counts, now) is None

    async def _count(self, connection: AsyncConnection, counts: Sequence[Count], now: datetime) -> Count | None:
        """The first bound that does not hold, all counted up to there.

        A window begins with its first event, so that no turn of an hour lets twice as much through.
        """
        it = signup_counts.c
        for bound in counts:
            statement = insert_for(self._database.dialect, signup_counts)
            over = it.until <= now
            n = (await connection.execute(
                statement.values(key=bound.key, until=bound.until, n=1).on_conflict_do_update(
                    index_elements=[it.key],
                    set_={"n": case((over, 1), else_=it.n + 1), "until": case((over, bound.until), else_=it.until)},
                ).returning(it.n)
            )).scalar_one()
            if n > bound.most:
                return bound
        return None

    async def _wording(self, connection: AsyncConnection, request: SignupRequest, list_id: int, text: str) -> int:
        digest = sha256(text.encode()).hexdigest()
        it = wordings.c
        same = select(it.id).where(it.list_id == list_id, it.language == request.language, it.hash == digest)
        found = (await connection.execute(same)).scalar_one_or_none()
        if found is None:
            await lock_list(connection, request.workspace_id, list_id)  # one at a time gives each its own version
            version = (await connection.execute(
                select(func.coalesce(func.max(it.version), 0) + 1)
                .where(it.list_id == list_id, it.language == request.language)
            )).scalar_one()
            await connection.execute(
                insert_for(self._database.dialect, wordings).on_conflict_do_nothing().values(
                    workspace_id=request.workspace_id, list_id=list_id, language=request.language, version=version,
                    hash=digest, text=text, created_at=request.at))
            found = (await connection.execute(same)).scalar_one()
        return int(found)

    async def signup(self, workspace_id: int, signup_id: int) -> Signup | None:
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(signups).where(signups.c.id == signup_id, signups.c.workspace_id == workspace_id)
            )).one_or_none()
        return None if row is None else _signup(row)

    # ---- the flow

    async def new(self, limit: int) -> tuple[Signup, ...]:
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(signups).where(signups.c.state == SignupState.NEW.value).order_by(signups.c.id).limit(limit))
            return tuple(_signup(row) for row in rows)

    async def standing(self, signup: Signup, now: datetime) -> Standing:
        it, of = suppressions.c, subscriptions.c
        async with self._database.read() as connection:
            person = (await connection.execute(
                select(contacts.c.id, contacts.c.language)
                .where(contacts.c.workspace_id == signup.workspace_id, contacts.c.email_key == signup.email_key)
            )).one_or_none()
            barred = (await connection.execute(
                select(it.reason).where(
                    it.workspace_id == signup.workspace_id, it.email_key == signup.email_key,
                    it.reason != SuppressionReason.UNSUBSCRIBED.value,
                    or_(it.list_id.is_(None), it.list_id.in_(signup.list_ids)),
                    or_(it.expires_at.is_(None), it.expires_at > now)).limit(1)
            )).scalar_one_or_none()
            states = await connection.execute(
                select(of.list_id, of.state).where(of.contact_id == (person.id if person else 0)))
            return Standing(person.id if person else None, person.language if person else "",
                            {row.list_id: row.state for row in states}, barred or "")

    async def ask(
        self, signup: Signup, row: NewContact | None, message: NewMessage, witness: Witness, now: datetime,
        bounds: Sequence[Count],
    ) -> bool:
        async with self._database.write() as connection:
            if not await self._claim(connection, signup, (SignupState.NEW,)):
                return False
            # Counted in the transaction that queues the mail: a crash in between must not cost the mail of the day.
            may_mail = await self._count(connection, bounds, now) is None
            if not may_mail and signup.message_id is None:
                await connection.execute(update(signups).where(signups.c.id == signup.id).values(
                    state=SignupState.HELD.value, reason="a mail went out today", ended_at=now))
                await self._tally_of(connection, signup, SignupOutcome.ASKED_TODAY, signup.list_ids, now)
                return False
            list_ids = await self._lock(connection, signup)
            contact_id = await self._person(connection, signup, row, now) if row else signup.contact_id
            if row is not None and contact_id is not None:
                states = await _states(connection, contact_id, list_ids)
                fresh = [list_id for list_id in list_ids if list_id not in states]
                await _set(connection, signup.workspace_id, contact_id, states, fresh, _PENDING, now)
                await _testify(connection, signup, contact_id, dict.fromkeys(list_ids, "requested"), witness, now)
            values: dict[str, Any] = {"state": SignupState.ASKED.value, "contact_id": contact_id,
                                      "list_ids": list_ids}
            if may_mail:
                message = replace(message, contact_id=contact_id)
                values["message_id"] = await queue_message(connection, self._database.dialect, message, now)
            await connection.execute(update(signups).where(signups.c.id == signup.id).values(**values))
            return may_mail

    async def settle(
        self, signup: Signup, state: SignupState, reason: str, now: datetime, outcome: SignupOutcome | None = None,
    ) -> bool:
        async with self._database.write() as connection:
            if not await self._claim(connection, signup, (SignupState.NEW, SignupState.ASKED)):
                return False
            await connection.execute(update(signups).where(signups.c.id == signup.id).values(
                state=state.value, reason=reason, ended_at=now))
            if outcome is not None:
                await self._tally_of(connection, signup, outcome, signup.list_ids, now)
            return True

    async def apply(
        self, signup: Signup, row: NewContact, list_ids: Sequence[int], witness: Witness, state: SignupState,
        mails: Sequence[NewMessage], now: datetime,
    ) -> bool:
        async with self._database.write() as connection:
            if not await self._claim(connection, signup, (SignupState.NEW, SignupState.ASKED)):
                return False
            held = [list_id for list_id in await self._lock(connection, signup) if list_id in list_ids]
            contact_id = await self._person(connection, signup, row, now)
            states = await _states(connection, contact_id, signup.list_ids)
            if signup.action is SignupAction.SUBSCRIBE:
                said = {list_id: "renewed" if states.get(list_id) == _ON
                        else "resubscribed" if states.get(list_id) == _OFF else "subscribed" for list_id in held}
                await _set(connection, signup.workspace_id, contact_id, states, held, _ON, now)
                await readmit(connection, signup.workspace_id, signup.email_key, held)
                # What was asked for and then left unticked waits for nothing any more.
                await _drop_pending(connection, contact_id, [it for it in signup.list_ids if it not in held])
            else:
                held = [list_id for list_id in held if states.get(list_id, _OFF) != _OFF]
                said = dict.fromkeys(held, "unsubscribed")
                await _set(connection, signup.workspace_id, contact_id, states, held, _OFF, now)
            await _testify(connection, signup, contact_id, said, witness, now)
            for mail in mails:
                await queue_message(connection, self._database.dialect, replace(mail, contact_id=contact_id), now)
            await connection.execute(update(signups).where(signups.c.id == signup.id).values(
                state=state.value, contact_id=contact_id, ended_at=now))
            await self._tally_of(connection, signup, SignupOutcome.CONFIRMED, held, now)
            return True

    async def _claim(self, connection: AsyncConnection, signup: Signup, states: Collection[SignupState]) -> bool:
        """Whether the request is still as it was looked at; its row is locked then."""
        it = signups.c
        found = (await connection.execute(
            select(it.state, it.list_ids).where(it.id == signup.id, it.workspace_id == signup.workspace_id)
            .with_for_update()
        )).one_or_none()
        return (found is not None and found.state in {state.value for state in states}
                and found.state == signup.state.value and tuple(found.list_ids) == signup.list_ids)

    async def _lock(self, connection: AsyncConnection, signup: Signup) -> list[int]:
        """The request's lists that are still there, locked in the order in which everybody locks them."""
        rows = await connection.execute(
            select(lists.c.id).where(lists.c.workspace_id == signup.workspace_id, lists.c.id.in_(signup.list_ids))
            .order_by(lists.c.id).with_for_update())
        return list(rows.scalars())

    async def _person(self, connection: AsyncConnection, signup: Signup, row: NewContact, now: datetime) -> int:
        await upsert_contacts(
            connection, self._database.dialect, signup.workspace_id, [row], SOURCE, now, None)
        return int((await connection.execute(
            select(contacts.c.id)
            .where(contacts.c.workspace_id == signup.workspace_id, contacts.c.email_key == row.email_key)
        )).scalar_one())

    async def send(self, message: NewMessage, now: datetime) -> int:
        async with self._database.write() as connection:
            return await queue_message(connection, self._database.dialect, message, now)

    # ---- upkeep

    async def expire(self, now: datetime, limit: int) -> int:
        it = signups.c
        due = select(signups).where(it.state == SignupState.ASKED.value, it.expires_at <= now)
        async with self._database.read() as connection:
            found = [_signup(row) for row in await connection.execute(due.order_by(it.expires_at).limit(limit))]
        for signup in found:
            async with self._database.write() as connection:
                if not await self._claim(connection, signup, (SignupState.ASKED,)):
                    continue
                if signup.contact_id is not None and signup.action is SignupAction.SUBSCRIBE:
                    await self._lock(connection, signup)
                    gone = await _drop_pending(connection, signup.contact_id, signup.list_ids)
                    if not await self._forget_stranger(connection, signup):
                        await _testify(connection, signup, signup.contact_id, dict.fromkeys(gone, "expired"),
                                       Witness("expired", actor="server"), now)
                await connection.execute(delete(signups).where(it.id == signup.id))
                await self._tally_of(connection, signup, SignupOutcome.EXPIRED, signup.list_ids, now)
        return len(found)

    async def _forget_stranger(self, connection: AsyncConnection, signup: Signup) -> bool:
        """Delete a contact that this request alone has made; True where it went.

        Whom somebody has brought or changed meanwhile (a file, a form, the team) is known by more than a stranger's
        typing and stays.
        """
        of = contacts.c
        known = [select(it.c.contact_id).where(it.c.contact_id == of.id).exists()
                 for it in (contact_tags, contact_notes, contact_changes)]
        person = (await connection.execute(
            select(of.id).where(
                of.id == signup.contact_id, of.workspace_id == signup.workspace_id, of.source == SOURCE,
                of.updated_at <= of.created_at, ~or_(*known),
                ~select(subscriptions.c.list_id).where(subscriptions.c.contact_id == of.id).exists(),
                ~select(deliveries.c.id).where(deliveries.c.contact_id == of.id).exists(),
                ~select(consents.c.id).where(consents.c.contact_id == of.id,
                                             consents.c.action.not_in(("requested", "expired"))).exists())
        )).scalar_one_or_none()
        if person is None:
            return False
        await detach(connection, signup.workspace_id, (person,))
        await connection.execute(delete(contacts).where(of.id == person))
        return True

    async def forget(self, ended_before: datetime, written_before: datetime, now: datetime, limit: int) -> int:
        it, of = signups.c, messages.c
        over = select(it.id).where(it.state.not_in(_OPEN), it.ended_at < ended_before).limit(limit)
        counts = select(signup_counts.c.key).where(signup_counts.c.until < now).limit(limit)
        old = select(of.id).where(of.created_at < written_before, of.raw != b"").order_by(of.id).limit(limit)
        async with self._database.write() as connection:
            gone = (await connection.execute(delete(signups).where(it.id.in_(over)))).rowcount
            gone += (await connection.execute(
                delete(signup_counts).where(signup_counts.c.key.in_(counts)))).rowcount
            gone += (await connection.execute(update(messages).where(of.id.in_(old)).values(raw=b""))).rowcount
        return int(gone)


def _day(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()


async def _states(connection: AsyncConnection, contact_id: int, list_ids: Sequence[int]) -> dict[int, str]:
    of = subscriptions.c
    rows = await connection.execute(
        select(of.list_id, of.state).where(of.contact_id == contact_id, of.list_id.in_(list_ids)))
    return {row.list_id: row.state for row in rows}


async def _set(
    connection: AsyncConnection, workspace_id: int, contact_id: int, states: Mapping[int, str],
    list_ids: Sequence[int], state: str, now: datetime,
) -> None:
    """Give the subscriptions ``state`` and keep the lists' counters; the lists are locked already."""
    of = subscriptions.c
    changing = [list_id for list_id in list_ids if states.get(list_id) != state]
    new = [list_id for list_id in changing if list_id not in states]
    if new:
        await connection.execute(insert(subscriptions), [
            {"workspace_id": workspace_id, "list_id": list_id, "contact_id": contact_id, "state": state,
             "changed_at": now} for list_id in new])
    known = [list_id for list_id in changing if list_id in states]
    if known:
        await connection.execute(
            update(subscriptions).where(of.contact_id == contact_id, of.list_id.in_(known))
            .values(state=state, changed_at=now))
    for list_id in changing:
        was = states.get(list_id)
        await add_to_counters(connection, list_id, (state == _ON) - (was == _ON), (state == _OFF) - (was == _OFF))


async def _drop_pending(connection: AsyncConnection, contact_id: int, list_ids: Sequence[int]) -> list[int]:
    of = subscriptions.c
    gone = await connection.execute(
        delete(subscriptions).where(of.contact_id == contact_id, of.list_id.in_(list_ids), of.state == _PENDING)
        .returning(of.list_id))
    return sorted(gone.scalars())


async def _testify(
    connection: AsyncConnection, signup: Signup, contact_id: int, said: Mapping[int, str], witness: Witness,
    now: datetime,
) -> None:
    """A consent record for each list: what was said, and the very words that it was said to."""
    if not said:
        return
    ids = [signup.wordings[list_id] for list_id in said if list_id in signup.wordings]
    rows = await connection.execute(select(wordings.c.id, wordings.c.text).where(wordings.c.id.in_(ids)))
    texts = {row.id: row.text for row in rows}
    await connection.execute(insert(consents), [
        {"workspace_id": signup.workspace_id, "contact_id": contact_id, "list_id": list_id, "action": action,
         "at": now, "source": witness.source, "actor": witness.actor, "ip": witness.ip,
         "user_agent": witness.user_agent, "wording_id": signup.wordings.get(list_id),
         "wording": texts.get(signup.wordings.get(list_id, 0), "")}
        for list_id, action in said.items()
    ])
