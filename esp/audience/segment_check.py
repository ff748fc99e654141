"""What in a rule speaks of something that is not there (any more): a field, a list, a campaign, another segment."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from esp.model.fields import FieldType
from esp.model.segment import (
    CUSTOM,
    MAX_SEGMENT_DEPTH,
    FieldRule,
    Group,
    Leaf,
    ListRule,
    MailRule,
    SegmentRule,
    SnapshotRule,
    TagRule,
    TopicRule,
    leaves,
)
from esp.ports.segments import Vocabulary

FIELD_GONE: Final = "The field {name} is not there any more."
FIELD_CHANGED: Final = "The field {name} holds another kind of value now. Choose the condition anew."
LIST_GONE: Final = "The list was deleted or put away."
TAG_GONE: Final = "The tag was deleted."
TOPIC_GONE: Final = "The topic was deleted or put away."
CAMPAIGN_GONE: Final = "A campaign was deleted."
SNAPSHOT_GONE: Final = "The snapshot was deleted."
SEGMENT_GONE: Final = "The other segment was deleted."
SEGMENT_BROKEN: Final = "The segment {name} cannot be used itself."
ITSELF: Final = "A segment cannot be made of itself, not even by way of others."
TOO_DEEP: Final = "Segments can stand at most {depth} deep within each other."
ALL_WORDS: Final = (FIELD_GONE, FIELD_CHANGED, LIST_GONE, TAG_GONE, TOPIC_GONE, CAMPAIGN_GONE, SNAPSHOT_GONE,
                    SEGMENT_GONE, SEGMENT_BROKEN, ITSELF, TOO_DEEP)

_TEXTUAL: Final = frozenset({FieldType.TEXT, FieldType.CHOICE})


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """A condition that cannot be used: where it stands, and a sentence with a gap for ``name``."""

    path: str
    words: str
    name: str = ""

    def __str__(self) -> str:
        return self.words.format(name=self.name, depth=MAX_SEGMENT_DEPTH)


def rule_problems(rule: Group, known: Vocabulary, segment_id: int | None = None) -> tuple[RuleProblem, ...]:
    """What is wrong with ``rule`` in this workspace; ``segment_id`` is the segment whose rule it is or will be."""
    within = () if segment_id is None else (segment_id,)
    return tuple(found for path, leaf in leaves(rule) if (found := _problem(path, leaf, known, within)))


def _problem(path: str, leaf: Leaf, known: Vocabulary, within: tuple[int, ...]) -> RuleProblem | None:
    match leaf:
        case FieldRule(field) if field.startswith(CUSTOM):
            name = known.fields.get(field[len(CUSTOM):])
            if name is None:
                return RuleProblem(path, FIELD_GONE, field[len(CUSTOM):])
            if name.type is not leaf.type and not {name.type, leaf.type} <= _TEXTUAL:
                return RuleProblem(path, FIELD_CHANGED, name.label)
        case ListRule(list_id):
            return _gone(path, list_id, known.lists, LIST_GONE)
        case TagRule(tag):
            return _gone(path, tag, known.tags, TAG_GONE)
        case TopicRule(topic):
            return _gone(path, topic, known.topics, TOPIC_GONE)
        case SnapshotRule(snapshot_id):
            return _gone(path, snapshot_id, known.snapshots, SNAPSHOT_GONE)
        case MailRule() if not set(leaf.campaigns) <= known.campaigns.keys():
            return RuleProblem(path, CAMPAIGN_GONE)
        case SegmentRule(segment_id):
            return _segment_problem(path, segment_id, known, within)
    return None


def _gone(path: str, number: int, there: Collection[int], words: str) -> RuleProblem | None:
    return None if number in there else RuleProblem(path, words)


def _segment_problem(path: str, segment_id: int, known: Vocabulary, within: tuple[int, ...]) -> RuleProblem | None:
    if segment_id in within:
        return RuleProblem(path, ITSELF)
    if segment_id not in known.segments:
        return RuleProblem(path, SEGMENT_GONE)
    if len(within) > MAX_SEGMENT_DEPTH:
        return RuleProblem(path, TOO_DEEP)
    other = known.segments[segment_id]
    for _, leaf in leaves(other.rule):
        inner = _problem(path, leaf, known, (*within, segment_id))
        if inner is not None:
            return inner if inner.words in (ITSELF, TOO_DEEP) else RuleProblem(path, SEGMENT_BROKEN, other.name)
    return None


def campaigns_of(*rules: Group) -> tuple[int, ...]:
    """The campaigns that rules speak of."""
    return tuple(dict.fromkeys(
        one for rule in rules for _, leaf in leaves(rule) if isinstance(leaf, MailRule) for one in leaf.campaigns))
