"""The merge language: the same answers as Jinja2 where both know the words, and a clear no to everything else."""

# ruff: noqa: E501 -- samples read better on one line

import tracemalloc
from typing import Any

import pytest
from jinja2.sandbox import SandboxedEnvironment

from esp.compose.language import read
from esp.merge.budget import MergeLimitError
from esp.merge.evaluate import plain_text
from esp.merge.parse import MergeSyntaxError, parse

SCOPE: dict[str, Any] = {
    "contact": {
        "first_name": "budi", "city": "Kota Bandung", "points": 1250, "ratio": 0.5, "vip": True, "tags": ["a", "b", "c"],
        "orders": [{"sku": "x1", "price": 10}, {"sku": "x2", "price": 20}], "fields": {"k": "v", "l": "w"}, "born": "1990-02-03",
    }
}  # fmt: skip

SAME = [
    "Halo {{ contact.first_name }}!",
    "{{ contact['first_name'] | upper }} {{ contact.first_name | title }} {{ contact.city | lower | capitalize }}",
    "{{ contact.points + 1 }} {{ contact.points * 2 }} {{ contact.points / 4 }} {{ contact.points // 7 }} {{ contact.points % 7 }}",
    "{{ -contact.points }} {{ contact.ratio | round(1) }} {{ '12' | int }} {{ '1.5' | float }} {{ 'x' | int(3) }}",
    "{% if contact.points > 1000 and contact.vip %}A{% elif contact.city %}B{% else %}C{% endif %}",
    "{% if not contact.vip or 'Band' in contact.city %}A{% endif %}",
    "{% for tag in contact.tags %}{{ loop.index }}/{{ loop.length }} {{ tag }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for o in contact.orders if o.price > 10 %}{{ o.sku }}{% else %}none{% endfor %}",
    "{% for o in contact.nothing %}x{% else %}none{% endfor %}",
    "{% for k, v in contact.fields | items %}{{ k }}={{ v }};{% endfor %}",
    "{% set total = 3 * 4 %}{{ total ~ ' of ' ~ contact.points }}",
    "{% set x = 1 %}{% for t in contact.tags %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{{ contact.tags | join('-') }} {{ contact.tags | first }} {{ contact.tags | last }} {{ contact.tags | length }}",
    "{{ contact.city | replace('Kota', 'Kab.') | truncate(8) }} {{ '  x ' | trim }} {{ contact.tags[1] }} {{ contact.tags[9] }}",
    "{{ 'yes' if contact.vip else 'no' }} {{ contact.missing }} {{ contact.missing | default('there') }}",
    "{{ contact.missing is defined }} {{ contact.vip is defined }} {{ contact.points is divisibleby(5) }} {{ 3 is odd }}",
    "{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' != 'b' }} {{ 2 not in [1, 3] }} {{ contact.vip }} {{ {'a': 1}.a }}",
    "a{# a comment #}b{% if 1 %}\n  indented\n{% endif %}\nend {{- contact.first_name -}} \n .",
    "{{ contact.tags | reverse | join }} {{ [3, 1, 2] | sort | join(',') }} {{ 'ab' * 3 }} {{ 'a' + 'b' }}",
]

REFUSED = [
    ("{{ contact.__class__ }}", "underscore"),
    ("{{ contact['x'].__class__.__mro__ }}", "underscore"),
    ("{{ _click }}", "underscore"),
    ("{% set _click = 'x' %}", "this kind of assignment"),
    ("{% for _open in [1] %}{% endfor %}", "this kind of assignment"),
    ("{{ ''.join(['a']) }}", "function call"),
    ("{{ range(10) }}", "function call"),
    ("{{ lipsum() }}", "function call"),
    ("{{ cycler('a').next }}", "function call"),
    ("{{ contact | attr('x') }}", "no filter 'attr'"),
    ("{{ contact | map('x') }}", "no filter 'map'"),
    ("{{ 'a' | format(1) }}", "no filter 'format'"),
    ("{{ 'a' | center(10000000) }}", "no filter 'center'"),
    ("{{ contact is callable }}", "no test 'callable'"),
    ("{{ 9 ** 9 ** 9 }}", "power"),
    ("{{ 'abc'[1:2] }}", "slice"),
    ("{% include 'x' %}", "include"),
    ("{% import 'x' as y %}", "import"),
    ("{% extends 'x' %}", "extends"),
    ("{% macro m() %}{% endmacro %}", "macro"),
    ("{% block b %}{% endblock %}", "block"),
    ("{% filter upper %}x{% endfilter %}", "filter block"),
    ("{% set x %}y{% endset %}", "set block"),
    ("{% set unsubscribe_url = 'https://evil.example' %}", "Merpati's own"),
    ("{% for contact in [1] %}{% endfor %}", "Merpati's own"),
    ("{{ 99999999999999999999 }}", "too large"),
    ("{{ " + "9" * 5000 + " }}", "too long"),
    ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "deep"),
    ("{{ " + "not " * 60 + "1 }}", "deep"),
    ("{% if 1 %}" * 60 + "{% endif %}" * 60, "deep"),
    ("x" * 1_000_001, "longer"),
]


@pytest.mark.parametrize("source", SAME)
def test_says_what_jinja_says(source: str) -> None:
    jinja = SandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    assert plain_text(parse(source), dict(SCOPE)) == jinja.from_string(source).render(SCOPE)


@pytest.mark.parametrize(("source", "words"), REFUSED)
def test_refuses_what_is_not_in_the_language(source: str, words: str) -> None:
    with pytest.raises(MergeSyntaxError, match=words):
        parse(source)


def test_default_replaces_missing_empty_and_blank_values() -> None:
    tree = parse("{{ contact.first_name | default('friend') }}")
    for value in (None, "", "  "):
        assert plain_text(tree, {"contact": {"first_name": value}}) == "friend"
    assert plain_text(tree, {"contact": {}}) == "friend"
    assert plain_text(parse("{{ contact.n | default('x') }}"), {"contact": {"n": 0}}) == "0"


@pytest.mark.parametrize(
    "source",
    [
        "{{ 1 / 0 }}", "{{ 'a' - 1 }}", "{{ contact.x.y.z }}", "{{ contact.tags.x }}", "{{ nothing[3] }}", "{{ 'a' | round }}",
        "{{ contact.fields }}", "{{ 1 | first }}", "{{ 'a' | upper('too', 'many') }}", "{{ '' | date }}",
        "{% for x in contact.points %}x{% endfor %}", "{% for x in 'abc' %}x{% endfor %}",
    ],
)  # fmt: skip
def test_what_cannot_be_worked_out_is_missing_and_never_an_exception(source: str) -> None:
    assert plain_text(parse(source), dict(SCOPE)) == ""


def test_dates_are_formatted_and_odd_formats_are_harmless() -> None:
    assert plain_text(parse("{{ contact.born | date('%d/%m/%Y') }}"), dict(SCOPE)) == "03/02/1990"
    assert len(plain_text(parse("{{ contact.born | date('%1000000d') }}"), dict(SCOPE))) < 100
    assert plain_text(parse("{{ contact.city | date }}"), dict(SCOPE)) == "Kota Bandung"


LISTING = "[" + ",".join("1" * 1 for _ in range(200)) + "]"


@pytest.mark.parametrize(
    "source",
    [
        f"{{% set l = {LISTING} %}}{{% for a in l %}}{{% for b in l %}}{{% for c in l %}}x{{% endfor %}}{{% endfor %}}{{% endfor %}}",
        "{% set s = 'aaaaaaaaaaaaaaaa' %}" + "{% set s = s ~ s %}" * 30 + "{{ s }}",
        "{% set s = 'aaaaaaaaaaaaaaaa' %}" + "{% set s = s + s %}" * 30 + "{{ s }}",
        "{% set s = 'aaaaaaaaaaaaaaaa' %}" + "{% set s = s | replace('a', s) %}" * 300 + "{{ s | length }}",
        "{{ 'a' * 1000000000 }}",
        "{% set s = 'a' * 60000 %}" + "{{ s }}" * 30,
        "{% set s = 'a' * 60000 %}" + "{% set t = s ~ 'b' %}" * 100,
        f"{{% set l = {LISTING} %}}{{% for a in l %}}{{% for b in l %}}{'y' * 1000}{{% endfor %}}{{% endfor %}}",
    ],
)
def test_bombs_are_stopped_by_counting(source: str) -> None:
    with pytest.raises(MergeLimitError):
        plain_text(parse(source), {})


def test_a_text_of_a_gigabyte_is_refused_before_it_is_made() -> None:
    tree = parse("{{ 'a' * 1000000000 }}")
    tracemalloc.start()
    with pytest.raises(MergeLimitError):
        plain_text(tree, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_lists_cannot_be_nested_through_names() -> None:
    tree = parse(
        "{% set a = [1] %}"
        + "{% set a = [a, a] %}" * 30
        + "{% set b = [1] %}"
        + "{% set b = [b, b] %}" * 30
        + "{{ a == b }}"
    )
    assert plain_text(tree, {}) == "True"


def _problems(source: str, *known: str) -> list[tuple[str, str]]:
    return [(problem.level, problem.message) for problem in read(source, "body", frozenset(known))[1]]


def test_problems_name_the_line_the_field_and_the_nearest_right_one() -> None:
    assert _problems("a\n{{ contact.frist_name }}") == [
        ("error", "Line 2: There is no field contact.frist_name. Did you mean contact.first_name?")
    ]
    assert _problems("{{ contact.frist_name | default('x') }}")[0][0] == "warning"
    assert _problems("{{ first_name }}") == [
        ("error", "Line 1: There is no field first_name. Did you mean contact.first_name?")
    ]
    assert _problems("{{ campaign.nam }}{{ unsubscribe_ur }}") == [
        ("error", "Line 1: There is no field campaign.nam. Did you mean campaign.name?"),
        ("error", "Line 1: There is no field unsubscribe_ur. Did you mean unsubscribe_url?"),
    ]
    assert (
        _problems("{{ contact.shoe_size }}{{ contact.fields.shoe_size }}{{ contact['shoe_size'] }}", "shoe_size") == []
    )
    assert (
        _problems("{% for t in contact.tags %}{{ t.x }}{{ loop.index }}{% endfor %}{% set y = 1 %}{{ y }}", "tags")
        == []
    )


def test_syntax_errors_are_problems_with_a_line() -> None:
    tree, problems = read("a\nb {{ contact. }}", "subject", frozenset())
    assert tree is None
    assert (problems[0].level, problems[0].where, problems[0].line) == ("error", "subject", 2)
    assert problems[0].message.startswith("Line 2: ")
    assert "not closed" in _problems("{% if contact.city %}x")[0][1]
    assert "if, for and set" in _problems("{% while 1 %}x")[0][1]


def test_a_list_that_a_name_holds_is_missing_inside_another_list() -> None:
    assert (
        plain_text(parse("{% set a = [1] %}{% set b = [a, 2] %}{{ b[0] is none }} {{ [[1], 2][0] | length }}"), {})
        == "True 1"
    )


def test_loops_that_write_nothing_are_stopped_by_their_turns() -> None:
    source = (
        f"{{% set l = {LISTING} %}}{{% for a in l %}}{{% for b in l %}}{{% set c = b %}}{{% endfor %}}{{% endfor %}}"
    )
    with pytest.raises(MergeLimitError, match="turns"):
        plain_text(parse(source), {})
