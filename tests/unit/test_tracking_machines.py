"""Traces of people, proxies and scanners, each with the rule that tells; every rule has at least one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from esp.model.delivery import EventType
from esp.ports.engagement import Hit
from tracking.machines import RULES, judge

DELIVERED = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
WINDOW = timedelta(seconds=10)
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile/15E148"


def hit(seconds: float, link: int | None = None, agent: str = CHROME, ip: str = "198.51.100.7", trait: str = "") -> Hit:
    """An open, or with ``link`` a click, so many seconds after delivery."""
    kind = EventType.OPENED if link is None else EventType.CLICKED
    return Hit(kind, DELIVERED + timedelta(seconds=seconds), 1, 1, 1, link, ip, agent, trait)


@dataclass(frozen=True)
class Case:
    """``rules`` are what decides each hit, in the order of time; ``links`` is how many the mail has."""

    name: str
    hits: tuple[Hit, ...]
    rules: tuple[str, ...]
    links: int = 20


CASES = (
    Case("reads and clicks one link", (hit(300), hit(320, 3, IPHONE)), ("person", "person")),
    Case("clicks without images", (hit(300, 3),), ("person",)),
    Case("clicks the same link five times", tuple(hit(300 + n, 3) for n in range(5)), ("person",) * 5),
    Case("two tabs at once", (hit(300), hit(305, 1), hit(306, 2)), ("person",) * 3),
    Case("both links of a short mail", (hit(300, 0), hit(304, 1)), ("person",) * 2, links=2),
    Case("reads five links in ten minutes", tuple(hit(300 + 120 * n, n) for n in range(5)), ("person",) * 5, links=5),
    Case("a quick person", (hit(1), hit(1.8, 2)), ("person", "person")),
    Case("Outlook loads images", (hit(60, agent="Mozilla/4.0 (compatible; ms-office; MSOffice 16)"),), ("person",)),
    Case("Apple fetches at delivery", (hit(2, agent="Mozilla/5.0"),), ("apple-privacy",)),
    Case("a bare agent clicks: not Apple's proxy, which follows no links", (hit(60, 1, "Mozilla/5.0"),), ("person",)),
    Case(
        "Gmail fetches for its reader",
        (hit(60, agent="Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"),
         hit(90, 1, IPHONE)),
        ("image-proxy", "person"),
    ),
    Case("Yahoo fetches", (hit(9, agent="YahooMailProxy; https://help.yahoo.com/kb/mail-proxy"),), ("image-proxy",)),
    Case("SafeLinks asks by HEAD", (hit(40, 1, trait="head"),), ("head",)),
    Case("a browser prefetches", (hit(40, 1, trait="prefetch"),), ("prefetch",)),
    Case("no agent at all", (hit(400, 1, ""),), ("nameless",)),
    Case(
        "scanners that say so",
        (hit(20, 1, "Mozilla/5.0 (compatible; Barracuda Sentinel)"), hit(21, 1, "Mimecast-URL/1"),
         hit(300, 2, "curl/8.5.0"), hit(301, 2, "Mozilla/5.0 AppleWebKit/537.36 HeadlessChrome/120.0"),
         hit(302, 2, "Googlebot/2.1")),
        ("known-scanner",) * 5,
    ),
    Case(
        "Defender opens every link with a browser's agent from many addresses",
        tuple(hit(30 + n / 3, n, ip=f"40.94.{n}.1") for n in range(20)), ("all-links",) * 20,
    ),
    Case("most links of a short mail", tuple(hit(200 + n, n) for n in range(3)), ("all-links",) * 3, links=4),
    Case("eight links of a very long one", tuple(hit(200 + n, n) for n in range(8)), ("all-links",) * 8, links=200),
    Case(
        "a scanner renders the page, images too; the person opens at that moment, and clicks a minute later",
        (hit(30), hit(30.1, agent=IPHONE, ip="203.0.113.1"), *(hit(31 + n, n) for n in range(5)), hit(100, 2, IPHONE)),
        ("all-links", "person", *("all-links",) * 5, "person"), links=5,
    ),
    Case("one link at the moment of delivery", (hit(0.4, 1),), ("instant-click",)),
    Case("a gateway looks before it says 250", (hit(-3, 1),), ("instant-click",)),
    Case(
        "a proxy's open makes no quick person", (hit(0.2, agent="Mozilla/5.0"), hit(0.4, 1)),
        ("apple-privacy", "instant-click"),
    ),
    Case("a flood", tuple(hit(500 + n / 200, 1) for n in range(400)), ("flood",) * 400),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_traces_are_told_apart(case: Case) -> None:
    judged = judge(case.hits, DELIVERED, case.links, WINDOW)
    assert tuple(one.rule for one in judged) == case.rules


def test_every_rule_has_a_trace() -> None:
    used = {rule for case in CASES for rule in case.rules}
    assert used == {rule.name for rule in RULES} | {"person"}


def test_a_delivery_that_nobody_knows_of_yet_has_no_instant() -> None:
    assert judge([hit(0.4, 1)], None, 20, WINDOW)[0].rule == "person"


def test_judging_a_flood_takes_time_in_proportion() -> None:
    # Quadratic judging of 50,000 fetches would not end within the suite's limit.
    assert len(judge([hit(n / 50, n % 20) for n in range(50_000)], DELIVERED, 20, WINDOW)) == 50_000
