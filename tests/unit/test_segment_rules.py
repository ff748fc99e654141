"""Rules as JSON and in words: what is wrong is named by its place, and every phrase has its Indonesian."""

from datetime import date

import pytest

from admin_ui.pages.segments import words as builder_words
from admin_ui.words import LANGUAGE, _
from esp.audience import segment_check, segment_text
from esp.errors import InputError
from esp.model.fields import FieldType
from esp.model.segment import MAX_CONDITIONS, MAX_DEPTH
from esp.model.segment_days import anniversaries
from esp.model.segment_json import parse_rule
from esp.ports.segments import FieldName, SegmentName, Vocabulary

CITY = {"field": "city", "op": "is", "value": "x"}


@pytest.mark.parametrize(("rule", "path"), [
    ([], "rule"), ({"version": 2, "rules": [CITY]}, "version"), ({"version": True, "rules": [CITY]}, "version"),
    ({"rules": []}, "rules"), ({"match": "most", "rules": [CITY]}, "match"), ({"rules": "x"}, "rules"),
    ({"rules": [{"match": "any", "rules": []}]}, "rules[0].rules"), ({"rules": [7]}, "rules[0]"),
    ({"rules": [{}]}, "rules[0]"), ({"rules": [{**CITY, "x": 1}]}, "rules[0].x"),
    ({"rules": [{**CITY, "op": "greater"}]}, "rules[0].op"), ({"rules": [{**CITY, "value": 7}]}, "rules[0].value"),
    ({"rules": [{**CITY, "value": "a\0"}]}, "rules[0].value"),
    ({"rules": [{**CITY, "value": "\ud800"}]}, "rules[0].value"),
    ({"rules": [{"field": "city", "op": "in", "value": ["a", ""]}]}, "rules[0].value[1]"),
    ({"rules": [{"field": "id", "op": "is", "value": "x"}]}, "rules[0].field"),
    ({"rules": [{"field": "fields.x') OR 1=1 --", "op": "is", "value": "x"}]}, "rules[0].field"),
    ({"rules": [{"field": 'fields.x"', "op": "is", "value": "x"}]}, "rules[0].field"),
    ({"rules": [{"field": "city", "type": "number", "op": "is", "value": 1}]}, "rules[0].type"),
    ({"rules": [{"field": "created_at", "op": "anniversary", "value": 1}]}, "rules[0].op"),
    ({"rules": [{"field": "birth_date", "op": "before", "value": "20261121"}]}, "rules[0].value"),
    ({"rules": [{"field": "birth_date", "op": "in_last", "value": 0}]}, "rules[0].value"),
    ({"rules": [{"field": "fields.n", "type": "number", "op": "is", "value": float("nan")}]}, "rules[0].value"),
    ({"rules": [{"field": "fields.n", "type": "number", "op": "is", "value": 10**400}]}, "rules[0].value"),
    ({"rules": [{"list": 0}]}, "rules[0].list"), ({"rules": [{"list": 2**70}]}, "rules[0].list"),
    ({"rules": [{"list": 1, "when": {"op": "in_next", "value": 3}}]}, "rules[0].when.op"),
    ({"rules": [{"did": "opened", "link": "x"}]}, "rules[0].link"), ({"rules": [{"did": "x"}]}, "rules[0].did"),
    ({"rules": [{"did": "sent", "machines": True}]}, "rules[0].machines"),
    ({"rules": [{"did": "sent", "times": 0}]}, "rules[0].times"),
    ({"rules": [{"match": "any", "rules": [CITY, {"tag": "x"}]}]}, "rules[0].rules[1].tag"),
])
def test_what_is_wrong_is_named_by_its_place(rule: object, path: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_rule(rule)
    assert list(refused.value.problems) == [path]
    assert path in str(refused.value) or path == "rule"


def test_every_problem_is_said_at_once() -> None:
    with pytest.raises(InputError) as refused:
        parse_rule({"rules": [{"tag": 0}, CITY, {"did": "x"}]})
    assert list(refused.value.problems) == ["rules[0].tag", "rules[2].did"]


def test_a_rule_has_bounds() -> None:
    parse_rule({"rules": [CITY] * MAX_CONDITIONS})
    deep: dict[str, object] = CITY
    for _level in range(MAX_DEPTH):
        deep = {"match": "any", "rules": [deep]}
    parse_rule(deep)
    for too_much in ({"rules": [CITY] * (MAX_CONDITIONS + 1)}, {"match": "any", "rules": [deep]},
                     {"rules": [{"rules": [CITY] * 60}, {"rules": [CITY] * 60}]}):
        with pytest.raises(InputError):
            parse_rule(too_much)


def test_a_birthday_in_february_is_kept_in_every_year() -> None:
    assert anniversaries(date(2027, 2, 28), 0) == {"02-28", "02-29"}
    assert anniversaries(date(2028, 2, 28), 0) == {"02-28"}
    assert anniversaries(date(2026, 12, 31), 1) == {"12-31", "01-01"}


KNOWN = Vocabulary(
    {"points": FieldName("points", "Points", FieldType.NUMBER)}, {3: "News"}, {5: "vip"}, {}, {7: "March"}, {},
    {2: SegmentName("Rich", parse_rule({"rules": [CITY]}))})
RULE = parse_rule({"match": "all", "rules": [
    {"field": "fields.points", "type": "number", "op": "between", "value": [10, 90.5]},
    {"list": 3, "when": {"op": "in_last", "value": 30}}, {"list": 9, "not": True},
    {"match": "none", "rules": [
        {"did": "clicked", "times": 3, "campaigns": [7], "link": "gayo",
         "when": {"op": "after", "value": "2026-01-01"}},
        {"did": "opened", "count": "exactly", "times": 0, "machines": True}, {"segment": 2}]}]})


def test_a_rule_in_words() -> None:
    assert segment_text.describe(RULE, KNOWN) == """All of these hold:
  Points is between 10 and 90.5
  is subscribed to News (in the last 30 days)
  is not subscribed to something deleted
  None of these holds:
    clicked a link with “gayo” in at least 3 mails of “March” after 2026-01-01
    did not open any mail (machines counted too)
    is in the segment Rich"""


def test_every_phrase_is_said_in_indonesian() -> None:
    token = LANGUAGE.set("id")
    try:
        phrases = (*segment_text.ALL_WORDS, *segment_check.ALL_WORDS, *builder_words.ALL_WORDS)
        assert [words for words in phrases if _(words) == words] == []
        assert "mengklik tautan berisi “gayo”" in segment_text.describe(RULE, KNOWN, _)
    finally:
        LANGUAGE.reset(token)
