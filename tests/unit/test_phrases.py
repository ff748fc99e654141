"""The phrases of config/bounces.toml: each says what its samples show, and none is a mistake waiting."""

import tomllib

import pytest

from esp.errors import SettingsError
from esp.inbound.phrases import Family, Where, parse_phrases, phrases, returned_from, said
from esp.model.shipped import shipped


@pytest.mark.parametrize("phrase", phrases(), ids=lambda phrase: str(phrase.name))
def test_a_phrase_is_found_in_its_samples(phrase) -> None:  # type: ignore[no-untyped-def]
    assert phrase.samples
    for sample in phrase.samples:
        assert phrase.find(sample.lower()) >= 0, sample


def test_every_family_has_a_phrase_and_every_name_is_given_once() -> None:
    names = [phrase.name for phrase in phrases()]
    assert len(names) == len(set(names))
    assert {phrase.family for phrase in phrases()} >= set(Family) - {Family.MOVED}


def test_no_rule_says_a_thing_twice() -> None:
    for table in tomllib.loads(shipped("bounces.toml"))["phrase"]:
        assert len(table["text"]) == len(set(table["text"])), table["name"]


def _parsed(**changed: object) -> object:
    good = {"name": "x", "case": "y", "family": "failed", "text": ["a*b"], "samples": ["a b"]}
    return parse_phrases({"phrase": [{**good, **changed}]})


@pytest.mark.parametrize("changed", [{"family": "luck"}, {"where": "nowhere"}, {"text": ["Big"]}, {"text": ["a*"]},
                                     {"txt": []}])
def test_a_phrase_that_cannot_be_meant_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="phrase x"):
        _parsed(**changed)


def test_a_gap_is_bounded() -> None:
    (phrase,) = parse_phrases({"phrase": [{"name": "x", "case": "y", "family": "failed", "text": ["warning*delayed"],
                                           "samples": []}]})
    assert phrase.find("a warning: it is delayed") == 2
    assert phrase.find("warning" + "." * 200 + "delayed") == -1


def test_the_returned_mail_begins_where_it_is_announced_or_just_stands() -> None:
    text = "Sorry.\n--- Below this line is a copy of the message.\nReturn-Path: <a@toko.example>\n"
    assert returned_from(text) == text.index("--- Below")
    assert returned_from("Sorry.\nReceived: from mx by my\n") == len("Sorry.\n")
    # It is only spoken of in the middle of a sentence.
    assert returned_from("We do not return anything to anybody, nor is there any copy of the original message.") is None


def test_what_nobody_says_is_not_said() -> None:
    assert said(Family.VACATION, Where.TEXT, "") is None
    assert said(Family.VACATION, Where.SUBJECT, "kabar bulan ini") is None
