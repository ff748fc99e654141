"""What servers say and what it means: rules meet their samples, the unknown is no exception, no text is slow."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esp.errors import SettingsError
from esp.model.attempt import Attempt, Failure, Phase
from esp.model.verdict import Permanence, Reason, Reply, Scope
from esp.verdict import hard, judge, judge_attempt, judge_failure, judge_status
from esp.verdict.judge import parse_reply
from esp.verdict.rules import Rule, parse_rules, rules

SAMPLES = [(rule, sample) for rule in rules() for sample in rule.samples]


def test_names_are_unique_and_every_rule_has_a_case_and_a_sample() -> None:
    names = [rule.name for rule in rules()]
    assert len(names) == len(set(names))
    assert all(rule.case and rule.samples for rule in rules())


@pytest.mark.parametrize(("rule", "sample"), SAMPLES, ids=[f"{rule.name}-{n}" for n, (rule, _) in enumerate(SAMPLES)])
def test_each_sample_meets_its_own_rule_first(rule: Rule, sample: str) -> None:
    reply = parse_reply(sample)
    assert reply is not None
    verdict = judge(reply, rule.sample_phase)
    assert verdict.rule == rule.name
    assert (verdict.scope, verdict.reason) == (rule.scope, rule.reason)


def test_every_reason_a_server_can_give_has_a_rule() -> None:
    assert {rule.reason for rule in rules()} == set(Reason) - {Reason.AMBIGUOUS}  # that one is for silence


@pytest.mark.parametrize("code", [421, 450, 451, 452])
def test_4xx_is_never_final(code: int) -> None:
    for rule, sample in SAMPLES:
        reply = parse_reply(sample)
        if reply is None or reply.code < 400:
            continue
        enhanced = "4" + reply.enhanced[1:] if reply.enhanced else ""
        verdict = judge(Reply(code, enhanced, reply.text), rule.sample_phase)
        assert verdict.permanence is Permanence.TRANSIENT, verdict


ENHANCED = st.from_regex(r"([245]\.\d{1,3}\.\d{1,3})?", fullmatch=True)


@given(st.integers(0, 999), ENHANCED, st.text(max_size=300), st.sampled_from(Phase))
@example(20, "2.3.0", "", Phase.CONNECT)
def test_whatever_is_said_means_something(code: int, enhanced: str, text: str, phase: Phase) -> None:
    verdict = judge(Reply(code, enhanced, text), phase)
    assert (verdict.permanence is Permanence.SUCCESS) == (200 <= code < 300)


def test_the_unknown_is_other_and_suppresses_nobody() -> None:
    verdict = judge(Reply(550, "", "Ni!"), Phase.RCPT)
    assert (verdict.reason, verdict.permanence) == (Reason.OTHER, Permanence.PERMANENT)
    assert not hard(verdict)


def test_the_scope_tells_whom_it_concerns() -> None:
    assert judge(Reply(421, "4.7.0", "Too many connections"), Phase.GREETING).scope is Scope.SITE
    assert judge(Reply(550, "5.1.1", "no"), Phase.RCPT).scope is Scope.RECIPIENT
    assert judge(Reply(554, "5.7.1", "spam"), Phase.DOT).scope is Scope.MESSAGE


@pytest.mark.parametrize(
    ("text", "dead"),
    [("550 5.1.1 User unknown", True), ("550 5.2.1 account disabled", True), ("552 5.2.2 mailbox full", False),
     ("554 5.7.1 blocked using zen.spamhaus.org", False), ("450 4.1.1 User unknown", False),
     ("550 Domain not found", True),
     ("550 5.7.1 Message rejected as spam", False), ("550 5.7.26 DMARC", False)],
)
def test_only_dead_addresses_are_hard(text: str, dead: bool) -> None:
    reply = parse_reply(text)
    assert reply is not None
    assert hard(judge(reply, Phase.RCPT)) is dead


def test_words_inside_addresses_and_urls_do_not_count() -> None:
    for text in ("<spam@virus.example>: no such user", "no such user, see http://help.example/spam-quota-greylist"):
        assert judge(Reply(550, "", text), Phase.RCPT).reason is Reason.UNKNOWN_USER


# Reports.


def test_a_report_and_a_reply_with_the_same_words_mean_the_same() -> None:
    for _, sample in SAMPLES:
        reply = parse_reply(sample)
        if reply is None or reply.code < 500:
            continue
        from_report = judge_status(reply.enhanced, "failed", f"smtp; {sample}")
        verdict = judge(reply, Phase.REPORT)
        assert (from_report.scope, from_report.reason) == (verdict.scope, verdict.reason), sample
        assert from_report.rule == verdict.rule
        assert from_report.permanence is Permanence.PERMANENT


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded", " Delivered "])
def test_reports_of_success(action: str) -> None:
    assert judge_status("2.0.0", action, "").permanence is Permanence.SUCCESS


def test_a_delay_is_never_final() -> None:
    verdict = judge_status("5.1.1", "delayed", "smtp; 550 5.1.1 User unknown")
    assert verdict.permanence is Permanence.TRANSIENT
    assert not hard(verdict)


def test_a_report_without_diagnostic_speaks_by_its_status() -> None:
    assert judge_status("5.1.1", "failed").reason is Reason.UNKNOWN_USER
    assert judge_status("5.2.2", "failed").reason is Reason.MAILBOX_FULL
    assert judge_status("nonsense", "failed").permanence is Permanence.PERMANENT
    assert not hard(judge_status("nonsense", "failed"))


def test_the_diagnostic_wins_over_a_vague_status() -> None:
    assert judge_status("5.0.0", "failed", "smtp; 550 5.1.1 <a@b.example>: Unknown").reason is Reason.UNKNOWN_USER
    assert judge_status("5.2.2", "failed", "smtp; 552 no").reason is Reason.MAILBOX_FULL
    assert judge_status("5.1.1", "failed", "X-Unix; 67").reason is Reason.UNKNOWN_USER


def test_giving_up_after_days_is_final_and_not_hard() -> None:
    verdict = judge_status("4.4.7", "failed", "smtp; 450 4.1.2 Host not found")
    assert verdict.permanence is Permanence.PERMANENT
    assert not hard(verdict)


def test_who_is_unknown_for_days_is_unknown() -> None:
    """Words outrank codes: some servers say "user unknown" with 450, and for as long as one asks."""
    assert hard(judge_status("4.1.1", "failed", "smtp; 450 4.1.1 User unknown in virtual alias table"))
    assert not hard(judge_status("4.1.1", "delayed", "smtp; 450 4.1.1 User unknown in virtual alias table"))


# No reply at all.


@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_has_a_meaning(failure: Failure) -> None:
    verdict = judge_failure(failure)
    assert verdict.permanence is not Permanence.SUCCESS
    assert verdict.rule == failure.value
    assert hard(verdict) == (failure in (Failure.DNS_MISSING, Failure.DNS_NULL_MX))


def test_an_attempt_is_judged_whichever_way_it_ended() -> None:
    assert judge_attempt(Attempt(Phase.DOT, Reply(250, "", "ok"), dot_sent=True)).permanence is Permanence.SUCCESS
    assert judge_attempt(Attempt(Phase.RCPT, Reply(550, "5.1.1", "no"))).reason is Reason.UNKNOWN_USER
    assert judge_attempt(Attempt(Phase.DOT, failure=Failure.CLOSED, dot_sent=True)).permanence is Permanence.TRANSIENT
    # A 2xx that is not about the message delivers nothing.
    assert judge_attempt(Attempt(Phase.DATA, Reply(250, "", "ok"))).permanence is Permanence.TRANSIENT
    assert judge_attempt(Attempt(Phase.CONNECT)).permanence is Permanence.TRANSIENT


# The file.


def test_no_pattern_takes_long_over_any_text() -> None:
    """Linear patterns only (THREATS 3.12): a hundred kilobytes of what each begins with, in no time to speak of."""
    pumps = ("spf ", "mailbox ", "message ", "user ", "recipient address ", "a@", "<", "http://x", "rate limit",
             "spf fail ", "x" * 80 + " ", "exceeded ", " 550-5.1.1", "no such ", "account ", "quota ", "(", ".")
    for pump in pumps:
        text = pump * (100_000 // len(pump))
        before = time.process_time()
        judge(Reply(550, "", text), Phase.REPORT)
        for rule in rules():
            rule.fits("550", "", text[:2000].lower(), Phase.REPORT)
        assert time.process_time() - before < 1.0, pump


def test_no_pattern_nests_quantifiers_or_has_unbounded_gaps() -> None:
    for rule in rules():
        texts = [pattern for _, pattern in rule.text.patterns] if rule.text else []
        for pattern in (*texts, rule.codes, rule.enhanced):
            if pattern is not None:
                assert ".*" not in pattern.pattern
                assert ".+" not in pattern.pattern
                assert ")*" not in pattern.pattern
                assert ")+" not in pattern.pattern


GOOD = {"name": "x", "case": "y", "scope": "site", "permanence": "as_code", "reason": "spam", "samples": ["550 z"]}


@pytest.mark.parametrize(
    "wrong", [{"txt": ["a"]}, {"reason": "bad_luck"}, {"scope": "world"}, {"text": ["("]}, {"phases": ["lunch"]}]
)
def test_a_wrong_rule_is_told_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="rule x"):
        parse_rules({"rule": [GOOD | wrong]})


def test_a_missing_key_is_told() -> None:
    with pytest.raises(SettingsError, match="reason"):
        parse_rules({"rule": [{key: value for key, value in GOOD.items() if key != "reason"}]})


def test_verdicts_are_plain_words() -> None:
    verdict = judge(Reply(550, "5.1.1", "no"), Phase.RCPT)
    words = json.dumps([verdict.scope, verdict.permanence, verdict.reason])
    assert words == '["recipient", "permanent", "unknown_user"]'


def test_a_smart_host_that_does_not_let_us_through_ends_nobodys_mail() -> None:
    attempt = Attempt(Phase.RCPT, Reply(554, "5.7.1", "<budi@example.com>: Relay access denied"))
    assert judge_attempt(attempt).permanence is Permanence.PERMANENT
    verdict = judge_attempt(attempt, smart_host=True)
    assert (verdict.scope, verdict.permanence) == (Scope.SITE, Permanence.TRANSIENT)


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.GREETING, Phase.HELLO, Phase.STARTTLS, Phase.AUTH])
@pytest.mark.parametrize("text", ["No SMTP service here", "5.7.1 blocked using zen.spamhaus.org", "5.1.1 User unknown"])
def test_a_refusal_before_any_message_ends_nobodys_mail(phase: Phase, text: str) -> None:
    for code in (500, 521, 550, 554):
        verdict = judge_attempt(Attempt(phase, Reply(code, "", text)))
        assert verdict.permanence is Permanence.TRANSIENT
        assert not hard(verdict)
