"""Segments: saved and checked rules, who is in them now, and what a campaign that is sent to them is frozen with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from esp.app import App
from esp.audience.segment_check import RuleProblem, campaigns_of, rule_problems
from esp.errors import ConflictError, InputError, NotFoundError
from esp.model.names import HIDDEN, hides_something, is_blank
from esp.model.segment import Group, Match, Rule, SegmentRule, SnapshotRule, inlined
from esp.ports.campaigns import SegmentRules
from esp.ports.contacts import Contact
from esp.ports.segments import Segment, Snapshot, Vocabulary

_log = structlog.get_logger()

MAX_NAME: Final = 120
WAKES: Final = "segments"
_NAME_WORDS: Final = "Give the segment a name of at most 120 characters; only you see it."


@dataclass(frozen=True, slots=True)
class Checked:
    """A segment, what its rule can speak of, and what is wrong with it: it can be used where nothing is."""

    segment: Segment
    known: Vocabulary
    problems: tuple[RuleProblem, ...]


async def here_and_now(app: App, workspace_id: int) -> datetime:
    """Now in the workspace's time zone, where "today" begins at its midnight."""
    workspace = await app.store.accounts.workspace(workspace_id)
    return app.clock.now().astimezone(ZoneInfo(workspace.time_zone or "UTC"))


async def vocabulary(app: App, workspace_id: int, *rules: Group) -> Vocabulary:
    """What rules can speak of, with every campaign that these ``rules`` mention."""
    return await app.store.segments.vocabulary(workspace_id, campaigns_of(*rules))


# ---- saved -----------------------------------------------------------------------------------------------------------


async def create(app: App, workspace_id: int, name: str, description: str, rule: Group) -> Segment:
    """A new segment. Raises InputError where its rule speaks of what is not there, ConflictError on a taken name."""
    name = await _checked(app, workspace_id, name, rule, None)
    made = await app.store.segments.create(workspace_id, name, description.strip(), rule, app.clock.now())
    await app.coordination.wake(WAKES)
    return made


async def change(app: App, workspace_id: int, segment_id: int, name: str, description: str, rule: Group) -> Segment:
    """Replace a segment's name and rule; campaigns that have started keep the rule they started with."""
    name = await _checked(app, workspace_id, name, rule, segment_id)
    changed = await app.store.segments.edit(
        workspace_id, segment_id, name, description.strip(), rule, app.clock.now())
    await app.coordination.wake(WAKES)
    return changed


async def _checked(app: App, workspace_id: int, name: str, rule: Group, segment_id: int | None) -> str:
    name = " ".join(name.split())
    problems: dict[str, str] = {}
    if is_blank(name) or len(name) > MAX_NAME:
        problems["name"] = _NAME_WORDS
    elif hides_something(name):
        problems["name"] = HIDDEN
    known = await vocabulary(app, workspace_id, rule)
    for found in rule_problems(rule, known, segment_id):
        problems[found.path] = str(found)
    if problems:
        raise InputError("The segment was not saved.", problems)
    return name


async def duplicate(app: App, workspace_id: int, segment_id: int, name: str) -> Segment:
    """Another segment of the same rule, also where that rule needs mending; the first free name after ``name``."""
    segment = await app.store.segments.get(workspace_id, segment_id)
    for number in range(1, 100):
        try:
            return await app.store.segments.create(
                workspace_id, name[:MAX_NAME - 4] if number == 1 else f"{name[:MAX_NAME - 4]} {number}",
                segment.description, segment.rule, app.clock.now())
        except ConflictError:
            continue
    raise ConflictError("There are a hundred segments of this name already; choose another one.")


async def delete(app: App, workspace_id: int, segment_id: int) -> None:
    """Raises ConflictError where a campaign that has not started, or another segment, is made of it."""
    users = await app.store.segments.used_by(workspace_id, segment_id)
    if users:
        raise ConflictError(f"The segment was not deleted: the campaign {users[0]} is to be sent with it. "
                            "Take it out there first.")
    known = await app.store.segments.vocabulary(workspace_id)
    for other_id, other in known.segments.items():
        if other_id != segment_id and _speaks_of(other.rule, segment_id):
            raise ConflictError(f"The segment was not deleted: the segment {other.name} is made of it.")
    await app.store.segments.delete(workspace_id, segment_id)


def _speaks_of(rule: Rule, segment_id: int) -> bool:
    if isinstance(rule, Group):
        return any(_speaks_of(one, segment_id) for one in rule.rules)
    return isinstance(rule, SegmentRule) and rule.segment_id == segment_id


async def read(app: App, workspace_id: int, segment_id: int) -> Checked:
    segment = await app.store.segments.get(workspace_id, segment_id)
    known = await vocabulary(app, workspace_id, segment.rule)
    return Checked(segment, known, rule_problems(segment.rule, known, segment_id))


# ---- who is in it ----------------------------------------------------------------------------------------------------


async def resolved(app: App, workspace_id: int, rule: Group, segment_id: int | None = None) -> Group:
    """The rule with others' rules inlined, ready to be asked; raises InputError with what is wrong, by path."""
    known = await vocabulary(app, workspace_id, rule)
    if found := rule_problems(rule, known, segment_id):
        raise InputError(f"This segment cannot be used: {found[0]}", {one.path: str(one) for one in found})
    whole = inlined(rule, {number: one.rule for number, one in known.segments.items()})
    assert isinstance(whole, Group)
    return whole


async def count(app: App, workspace_id: int, rule: Group, segment_id: int | None = None) -> int:
    """How many people a rule finds now; kept with the segment of that number, if any.

    Raises InputError where the rule cannot be used, and TookTooLongError.
    """
    whole = await resolved(app, workspace_id, rule, segment_id)
    found = await app.store.segments.count(workspace_id, whole, await here_and_now(app, workspace_id))
    if segment_id is not None:
        await app.store.segments.remember_count(workspace_id, segment_id, found, app.clock.now())
    return found


async def people(
    app: App, workspace_id: int, rule: Group, after_id: int = 0, limit: int = 50,
) -> tuple[Contact, ...]:
    """Whom a rule finds now, by key; raises as ``count`` does."""
    whole = await resolved(app, workspace_id, rule)
    return await app.store.segments.people(
        workspace_id, whole, await here_and_now(app, workspace_id), after_id, limit)


async def snapshot(app: App, workspace_id: int, segment_id: int) -> Snapshot:
    """Write down who is in a segment now, to be used when that should not change any more."""
    segment = await app.store.segments.get(workspace_id, segment_id)
    whole = await resolved(app, workspace_id, segment.rule, segment_id)
    here = await here_and_now(app, workspace_id)
    return await app.store.segments.snapshot(workspace_id, segment, whole, here)


async def segment_of_snapshot(app: App, workspace_id: int, snapshot_id: int) -> Segment:
    """A segment of exactly those people, to be used wherever segments are."""
    known = await app.store.segments.vocabulary(workspace_id)
    if snapshot_id not in known.snapshots:
        raise NotFoundError("There is no such snapshot.")
    taken = next(one for one in await app.store.segments.snapshots(workspace_id, limit=1000) if one.id == snapshot_id)
    name = f"{taken.name} {taken.created_at:%Y-%m-%d}"
    rule = Group(Match.ALL, (SnapshotRule(snapshot_id),))
    for number in range(1, 100):
        try:
            return await app.store.segments.create(
                workspace_id, name if number == 1 else f"{name} {number}", "", rule, app.clock.now())
        except ConflictError:
            continue
    raise ConflictError("There are a hundred segments of this name already; choose another one.")


# ---- campaigns -------------------------------------------------------------------------------------------------------


async def rules_for(
    app: App, workspace_id: int, include: Sequence[int], exclude: Sequence[int],
) -> SegmentRules | None:
    """What a campaign with these segments is frozen with; None where it has none. Raises InputError in words."""
    if not include and not exclude:
        return None
    problems = await audience_problems(app, workspace_id, include, exclude)
    if problems:
        raise InputError("The campaign cannot be sent yet.", dict(problems))
    known = await app.store.segments.vocabulary(workspace_id)
    rules = {number: one.rule for number, one in known.segments.items()}

    def whole(segment_id: int) -> Group:
        found = inlined(SegmentRule(segment_id), rules)
        return found if isinstance(found, Group) else Group(Match.ALL, (found,))

    return SegmentRules(tuple(map(whole, include)), tuple(map(whole, exclude)))


async def audience_problems(
    app: App, workspace_id: int, include: Sequence[int], exclude: Sequence[int],
) -> dict[str, str]:
    """Why a campaign cannot be sent with these segments: ``include_segments`` or ``exclude_segments`` -> sentence."""
    found: dict[str, str] = {}
    for field, numbers in (("include_segments", include), ("exclude_segments", exclude)):
        for segment_id in numbers:
            try:
                checked = await read(app, workspace_id, segment_id)
            except NotFoundError:
                found[field] = "A segment that this campaign is sent with was deleted."
                continue
            if checked.problems:
                found[field] = f"The segment {checked.segment.name} cannot be used: {checked.problems[0]}"
    return found


# ---- upkeep ----------------------------------------------------------------------------------------------------------


async def index_fields(app: App) -> bool:
    """Make indexes for the fields that saved segments ask about, in the background; False: nothing is left to do."""
    for workspace in await app.store.accounts.workspaces():
        known = await app.store.segments.vocabulary(workspace.id)
        rule = Group(Match.ANY, tuple(one.rule for one in known.segments.values()))
        if made := await app.store.segments.index(workspace.id, rule):
            _log.info("fields indexed for segments", workspace=workspace.id, indexes=made)
    return False
