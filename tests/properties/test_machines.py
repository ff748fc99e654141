"""Judging hits as they come in is judging them all at the end, however they are cut into portions."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from esp.model.delivery import EventType
from esp.ports.engagement import Hit, JudgedHit
from tracking.jobs import cut
from tracking.journal import Chunk, Entry, decode, encode
from tracking.machines import Agent, judge, lookback

DELIVERED = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
AGENTS = ("Mozilla/5.0 (X11) Firefox/133.0", "Mozilla/5.0", "curl/8", "", "Mozilla/5.0 (Mac) Safari/605")

hits = st.lists(
    st.builds(
        lambda after, link, ip, agent, trait: Hit(
            EventType.OPENED if link is None else EventType.CLICKED, DELIVERED + timedelta(milliseconds=after), 1, 1, 1,
            link, ip, agent, trait,
        ),
        st.integers(-5_000, 60_000), st.none() | st.integers(0, 5), st.sampled_from(("192.0.2.1", "192.0.2.2")),
        st.sampled_from(AGENTS), st.sampled_from(("", "", "", "head", "prefetch")),
    ),
    max_size=40,
)
windows = st.sampled_from([timedelta(0), timedelta(seconds=1), timedelta(seconds=10), timedelta(minutes=2)])


def chunk_of(entries: list[Hit], start: int) -> Chunk:
    """Lines of one octet each, so that an offset is a number of lines."""
    return Chunk("j", start, tuple(Entry(start + n + 1, hit) for n, hit in enumerate(entries[start:])), True)


@given(hits, windows, st.sampled_from([1, 3, 5, 20]), st.integers(200, 30_000))
def test_in_portions_as_all_at_once(made: list[Hit], window: timedelta, links: int, step: int) -> None:
    journal = sorted(made, key=lambda hit: hit.at)
    whole = judge(journal, DELIVERED, links, window)
    now, offset = DELIVERED - timedelta(seconds=6), 0
    folded: list[JudgedHit] = []
    while offset < len(journal):
        now += timedelta(milliseconds=step)
        known = [hit for hit in journal if hit.at <= now]
        portion = cut([chunk_of(known, offset)], now, window)
        if not portion.moves:
            continue
        since = min(hit.at for hit in portion.hits) - lookback(window)
        before = [one.hit for one in folded if one.hit.at >= since]
        mine = {id(hit) for hit in portion.hits}
        judged = judge([*before, *portion.hits, *portion.later], DELIVERED, links, window)
        folded += [one for one in judged if id(one.hit) in mine]
        offset = portion.moves[0].new
    assert [(one.hit, one.agent, one.rule) for one in folded] == [(one.hit, one.agent, one.rule) for one in whole]


@given(hits, windows, st.sampled_from([1, 3, 20]))
def test_every_hit_is_judged_once_and_its_agent_is_known(made: list[Hit], window: timedelta, links: int) -> None:
    judged = judge(made, DELIVERED, links, window)
    assert sorted(id(one.hit) for one in judged) == sorted(map(id, made))
    assert all(one.agent in set(Agent) for one in judged)


@given(hits, st.integers(0, 3))
def test_more_machines_never_make_a_person(made: list[Hit], links: int) -> None:
    """Whoever asks by HEAD is a machine, whatever else happens around."""
    judged = judge(made, DELIVERED, links, timedelta(seconds=10))
    assert all(one.agent == Agent.SCANNER for one in judged if one.hit.trait == "head" and one.hit.type == "clicked")


@given(st.text(max_size=500), st.text(max_size=80), st.none() | st.integers(0, 10**6))
def test_a_line_of_the_journal_comes_back_as_it_was(agent: str, ip: str, link: int | None) -> None:
    hit = Hit(EventType.CLICKED, DELIVERED, 1, 2, 3, link, ip, agent[:400], "head")
    line = encode(hit)
    assert line.count(b"\n") == 1
    assert decode(line) == hit


@given(st.binary(max_size=200))
def test_whatever_lies_in_a_journal_is_read_without_a_word(line: bytes) -> None:
    decode(line)
