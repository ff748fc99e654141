"""The SQL of a rule finds exactly those of whom it holds in plain Python: random rules and people, both databases."""

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import contacts
from esp.adapters.sql.segment_sql import matching
from esp.audience.segment_match import Person, holds
from esp.model.segment import Group, Match, Rule, leaves
from esp.model.segment_json import parse_rule, rule_json
from tests.segment_people import NOW, WHOLE_RULES, ZONES, make_world, persons, write_people


@pytest.fixture
async def world(database: Database) -> Database:
    async with database.write() as connection:
        await make_world(connection)
    return database


async def test_sql_and_python_say_the_same(world: Database) -> None:
    """Some hundred rules over some hundred people, each over everybody and one by one, and each rule's opposite."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=20, deadline=None, database=None, phases=(Phase.generate,),
              suppress_health_check=list(HealthCheck))
    @given(st.lists(persons(), min_size=1, max_size=8), st.lists(WHOLE_RULES, min_size=4, max_size=8),
           st.sampled_from(ZONES))
    def check(people: list[Person], rules: list[Group], zone: object) -> None:
        asyncio.run_coroutine_threadsafe(_compare(world, people, rules, zone), loop).result()

    await asyncio.to_thread(check)


async def _compare(database: Database, people: list[Person], rules: list[Group], zone: object) -> None:
    now = NOW.astimezone(zone)  # type: ignore[arg-type]
    async with database.write() as connection:
        await write_people(connection, people)
        for rule in rules:
            parts = [leaf for _, leaf in leaves(rule)]  # first, for a short message where one of them is wrong
            told: tuple[Rule, ...] = (*parts, *(Group(Match.NONE, (leaf,)) for leaf in parts), rule,
                                      Group(Match.NONE, (rule,)))
            for one in told:
                expected = [number for number, person in enumerate(people, 1) if holds(one, person, now)]
                for each in (False, True):
                    query = select(contacts.c.id).where(contacts.c.workspace_id == 1, matching(one, 1, now, each))
                    found = (await connection.execute(query.order_by(contacts.c.id))).scalars().all()
                    differing = set(found) ^ set(expected)
                    assert not differing, f"{one} {each=}: {[people[number - 1] for number in differing][:1]}"


@given(WHOLE_RULES)
@settings(deadline=None, database=None)
def test_json_reads_back_to_the_same_rule(rule: Group) -> None:
    assert parse_rule(rule_json(rule)) == rule
