"""How a provider is fed: slowly at first, faster while it answers, slower when it objects, not at all when dead."""

import pytest

from esp.errors import SettingsError
from esp.model.quantities import Rate
from esp.model.verdict import Permanence, Reason, Scope, Verdict
from esp.throttle.pace import DEAD_AFTER, Admit, Pace, Wait
from esp.throttle.shaping import load_shaping, organisational_domain, parse_shaping

OK = Verdict(Scope.NONE, Permanence.SUCCESS, Reason.OK)
UNKNOWN = Verdict(Scope.RECIPIENT, Permanence.PERMANENT, Reason.UNKNOWN_USER)
GREY = Verdict(Scope.RECIPIENT, Permanence.TRANSIENT, Reason.GREYLISTED)
STORM = Verdict(Scope.SITE, Permanence.TRANSIENT, Reason.RATE_LIMITED)
BLOCKED = Verdict(Scope.SITE, Permanence.PERMANENT, Reason.REPUTATION)
DEAD = Verdict(Scope.SITE, Permanence.TRANSIENT, Reason.NETWORK)


def test_it_starts_with_few_connections_and_never_more_than_allowed() -> None:
    assert Pace(20).connections == 5
    assert Pace(2).connections == 2


def test_success_opens_connections_one_round_at_a_time() -> None:
    pace = Pace(8)
    for n in range(200):
        pace.settle(OK, n * 0.01)
    assert pace.connections == 8


def test_an_answer_about_one_recipient_is_a_sign_of_life_and_slows_nothing() -> None:
    pace = Pace(8)
    for verdict in (UNKNOWN, GREY) * 100:
        pace.settle(verdict, 1.0)
    assert pace.connections == 8
    assert pace.admit(0, 1.0) == Admit()


def test_a_storm_of_421_is_one_lesson() -> None:
    pace = Pace(20)
    for n in range(100):
        pace.settle(OK, n * 0.1)
    before = pace.limit
    for _ in range(20):
        pace.settle(STORM, 10.0)
    assert pace.limit == before / 2
    assert pace.learnt is not None
    assert 4 < pace.learnt < 10  # of the ten a second that went


def test_a_block_slows_too() -> None:
    pace = Pace(20)
    pace.settle(BLOCKED, 10.0)
    assert isinstance(pace.admit(0, 10.0), Wait)


@pytest.mark.parametrize("limit_per_second", [5.0, 20.0, 100.0])
def test_a_provider_with_a_rate_limit_is_found_out_and_mostly_obeyed(limit_per_second: float) -> None:
    """A simulated provider that answers 421 above a rate: the share of refusals stays small and the rate is used."""
    pace, now, allowance, delivered, refused = Pace(20), 0.0, limit_per_second, 0, 0
    while now < 600:
        match pace.admit(0, now):
            case Admit():
                now += 0.002
                allowance = min(limit_per_second, allowance + 0.002 * limit_per_second)
                if allowance >= 1:
                    allowance -= 1
                    delivered += 1
                    pace.settle(OK, now)
                else:
                    refused += 1
                    pace.settle(STORM, now)
            case Wait(seconds):
                step = max(seconds, 0.001)
                now += step
                allowance = min(limit_per_second, allowance + step * limit_per_second)
    assert refused / (delivered + refused) < 0.05
    assert delivered / 600 > 0.5 * limit_per_second


def test_it_comes_back_after_the_provider_stops_objecting() -> None:
    pace, now = Pace(10), 0.0
    for n in range(100):
        now = n * 0.01
        pace.settle(OK, now)
    pace.settle(STORM, now)
    learnt = pace.learnt
    assert learnt is not None
    sent_from, sent = now, 0
    while now < sent_from + 120:
        match pace.admit(0, now):
            case Admit():
                sent += 1
                pace.settle(OK, now + 0.01)
                now += 0.001
            case Wait(seconds):
                now += max(seconds, 0.001)
    assert pace.learnt is not None
    assert pace.learnt > 20 * learnt
    assert pace.connections == 10


def test_a_dead_site_is_left_alone_but_for_one_probe() -> None:
    pace = Pace(10)
    for n in range(DEAD_AFTER):
        assert not pace.suspended
        pace.settle(DEAD, float(n))
    assert pace.suspended
    assert isinstance(pace.admit(0, 3.0), Wait)
    waited = pace.resume_at
    assert pace.admit(0, waited) == Admit()  # the probe
    assert isinstance(pace.admit(1, waited), Wait)  # and only one
    pace.settle(DEAD, waited)
    assert pace.resume_at - waited > waited - DEAD_AFTER  # longer each time
    pace.settle(OK, pace.resume_at)
    assert not pace.suspended


def test_suspension_is_bounded() -> None:
    pace = Pace(10)
    for _ in range(100):
        pace.settle(DEAD, 0.0)
    assert 0 < pace.resume_at <= 600


# Providers.


def test_a_domain_named_in_the_file_needs_no_dns() -> None:
    assert load_shaping().provider_of("GMail.com.") == "gmail"


def test_the_best_mx_names_the_provider_of_other_domains() -> None:
    shaping = load_shaping()
    assert shaping.provider_of("toko.example", ("aspmx.l.google.com", "backup.example.net")) == "gmail"
    assert shaping.provider_of("toko.example", ("toko-example.mail.protection.outlook.com",)) == "microsoft"
    assert shaping.provider_of("toko.example", ("mx1.hosting.co.id", "aspmx.l.google.com")) == "hosting.co.id"


def test_a_suffix_is_whole_labels() -> None:
    assert load_shaping().provider_of("toko.example", ("mx.notgoogle.com",)) == "notgoogle.com"


def test_without_mx_the_domain_itself_is_grouped() -> None:
    assert load_shaping().provider_of("news.toko.co.uk") == "toko.co.uk"
    assert organisational_domain("localhost") == "localhost"


def test_what_the_file_does_not_say_the_settings_say() -> None:
    shaping = load_shaping(7, Rate(3, 1))
    assert shaping.shape("nobody.example").connections == 7
    assert shaping.shape("nobody.example").rate == Rate(3, 1)
    assert shaping.shape("nobody.example").name == "nobody.example"
    assert shaping.shape("yahoo").connections == 5
    assert shaping.shape("yahoo").rate == Rate(3, 1)


@pytest.mark.parametrize(
    ("table", "words"),
    [({"x": {"conections": 3}}, "conections"), ({"x": {"rate": "fast"}}, "not a rate"), ({"x": 5}, "x"),
     ({"x": {"first_retry": "soon"}}, "not a duration")],
)
def test_a_wrong_file_is_told_with_its_key(table: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_shaping(table)
