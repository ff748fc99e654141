"""Scope x permanence x reason for whatever a server said or did: the one place where failures get their meaning.

A synchronous 550 and a DSN that reports the same 550 later (RFC 3464) meet here in the same rules.
"""

import re
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Final

from esp.model.attempt import Attempt, Failure, Phase
from esp.model.verdict import Permanence, Reason, Reply, Scope, Verdict
from esp.verdict.rules import rules

_LONGEST: Final = 1500  # characters that are looked at: bounds what a hostile reply can cost
# Only from where a word begins: tried at each of its letters, a long text without any @ would cost its square.
_ADDRESS: Final = re.compile(r"(?<![^\s<>@:])[^\s<>@:]{1,256}@[^\s<>@,;:)\]]{1,256}")
_URL: Final = re.compile(r"https?: ?//([^\s/?#]{1,256})\S{0,1000}")
_BLANKS: Final = re.compile(r"[\s\x00-\x1f]+")
_CONTINUED: Final = re.compile(r" [2-5]\d\d(?:-| (?=#?[245]\.\d))(?:#?[245]\.\d{1,3}\.\d{1,3} )?")
_STATUS: Final = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})")
_REPLY: Final = re.compile(r"\s*(?:smtp; ?)?([2-5]\d\d)[- ]?\s*#?([245]\.\d{1,3}\.\d{1,3})?(?!\.?\d)")

_QUOTED_REPLY: Final = re.compile(r"(?<![\d.:/\w-])[45]\d\d[ -][^\n]{0,400}(?:\n[^\n]{1,200})?")
_ANY_STATUS: Final = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.]*\d)")
_REPLIES: Final = 4  # quoted replies that are looked at

_P, _S, _R, _F = Permanence, Scope, Reason, Failure

_FAILURES: Final[dict[Failure, tuple[Scope, Permanence, Reason]]] = {
    _F.DNS_TEMPORARY: (_S.SITE, _P.TRANSIENT, _R.DNS),
    _F.DNS_MISSING: (_S.RECIPIENT, _P.PERMANENT, _R.DNS),
    _F.DNS_NULL_MX: (_S.RECIPIENT, _P.PERMANENT, _R.DNS),
    # Not hard: the address may be good, and what stands in DNS just now is a mistake or an attack.
    _F.FORBIDDEN_ADDRESS: (_S.RECIPIENT, _P.PERMANENT, _R.POLICY),
    _F.REFUSED: (_S.SITE, _P.TRANSIENT, _R.NETWORK),
    _F.UNREACHABLE: (_S.SITE, _P.TRANSIENT, _R.NETWORK),
    _F.TIMEOUT: (_S.SITE, _P.TRANSIENT, _R.TIMEOUT),
    _F.CLOSED: (_S.SITE, _P.TRANSIENT, _R.NETWORK),
    _F.TLS: (_S.SITE, _P.TRANSIENT, _R.TLS),
    _F.LOGIN: (_S.SITE, _P.TRANSIENT, _R.LOGIN),
    _F.PROTOCOL: (_S.SITE, _P.TRANSIENT, _R.PROTOCOL),
    _F.TOO_LARGE: (_S.MESSAGE, _P.PERMANENT, _R.TOO_LARGE),
    _F.NO_8BITMIME: (_S.MESSAGE, _P.PERMANENT, _R.PROTOCOL),
    _F.NO_SMTPUTF8: (_S.RECIPIENT, _P.PERMANENT, _R.PROTOCOL),
}

_BEFORE_MAIL: Final = frozenset({Phase.CONNECT, Phase.GREETING, Phase.HELLO, Phase.STARTTLS, Phase.AUTH})
_HARD: Final = frozenset({Reason.UNKNOWN_USER, Reason.DISABLED, Reason.MOVED, Reason.DNS})


def _normal(text: str) -> str:
    """The text as the rules see it: one line, lower case, addresses as <>, URLs as their host."""
    line = _BLANKS.sub(" ", text[:_LONGEST]).lower()
    return _CONTINUED.sub(" ", _ADDRESS.sub("<>", _URL.sub(r"\1", line)).replace("<<>>", "<>"))


def _from_code(code: str) -> Permanence:
    return {"2": Permanence.SUCCESS, "4": Permanence.TRANSIENT}.get(code[:1], Permanence.PERMANENT)


@lru_cache(maxsize=4096)
def _decide(code: str, detail: str, text: str, phase: Phase) -> Verdict:
    for rule in rules():
        if rule.fits(code, detail, text, phase):
            return Verdict(rule.scope, rule.permanence or _from_code(code), rule.reason, rule.name)
    # Only a code outside of 2xx, 4xx and 5xx comes here: no SMTP answer, so nothing is known, and it is tried again.
    return Verdict(Scope.RECIPIENT, Permanence.TRANSIENT, Reason.PROTOCOL, "not_smtp")


def judge(reply: Reply, phase: Phase) -> Verdict:
    """What ``reply`` at ``phase`` means. Never raises: what no rule knows has the reason ``other``.

    Success is only an answer to the dot: a 2xx before that decides nothing about the message, and is not to be judged.
    """
    if 200 <= reply.code < 300:
        return Verdict(Scope.NONE, Permanence.SUCCESS, Reason.OK, "accepted")
    enhanced = reply.enhanced
    if not enhanced:
        # Many servers write the code where no protocol looks for it: "(#5.1.1)".
        found = re.search(r"#([245]\.\d{1,3}\.\d{1,3})", reply.text[:_LONGEST])
        enhanced = found[1] if found else ""
    return _decide(f"{reply.code:03}", enhanced[2:], _normal(reply.text), phase)


def judge_failure(failure: Failure) -> Verdict:
    """What it means that there was no reply."""
    scope, permanence, reason = _FAILURES[failure]
    return Verdict(scope, permanence, reason, failure.value)


def judge_attempt(attempt: Attempt, *, smart_host: bool = False) -> Verdict:
    """What one try came to, whichever way it ended; ``smart_host``: the answer is that of a relay of our own choice.

    A 2xx that is not the answer to the dot (a server that hangs up politely) is no success: it is judged as closed.
    """
    if attempt.reply is None:
        return judge_failure(attempt.failure or Failure.CLOSED)
    if 200 <= attempt.reply.code < 400 and not attempt.delivered:
        return judge_failure(Failure.PROTOCOL)
    verdict = judge(attempt.reply, attempt.phase)
    if attempt.phase in _BEFORE_MAIL and verdict.permanence is Permanence.PERMANENT:
        # No message was spoken of yet: a blocklist's 554 in the greeting, or a smart host that does not know us, must
        # not end the mail of everybody behind that door. It is tried again, slowly, until it expires.
        return replace(verdict, permanence=Permanence.TRANSIENT)
    if smart_host and verdict.reason is Reason.RELAYING:
        # A relay that does not let us through yet must not cost a campaign its recipients; the operator mends it.
        return replace(verdict, scope=Scope.SITE, permanence=Permanence.TRANSIENT)
    return verdict


def parse_reply(text: str) -> Reply | None:
    """A reply quoted in a report's Diagnostic-Code, or None where it does not begin with a reply code."""
    found = _REPLY.match(text)
    if not found:
        return None
    return Reply(int(found[1]), found[2] or "", text[found.end() :].strip())


def judge_status(status: str, action: str, text: str = "") -> Verdict:
    """What one recipient's part of a delivery status notification means (RFC 3464 sections 2.3.3, 2.3.4, 2.3.6).

    ``status`` is the Status field (``5.1.1``), ``action`` the Action field, ``text`` the Diagnostic-Code. ``delayed``
    is transient whatever the codes say, since the reporting server goes on trying; ``delivered``, ``relayed`` and
    ``expanded`` are successes. The diagnostic's own codes win over Status, which many servers set to 5.0.0.
    """
    action = action.strip().lower()
    if action in ("delivered", "relayed", "expanded"):
        return Verdict(Scope.NONE, Permanence.SUCCESS, Reason.OK, "report_" + action)
    found = _STATUS.match(status)
    wide = f"{found[1]}.{found[2]}.{found[3]}" if found else ""
    quoted = parse_reply(text)
    if quoted is None:
        quoted = Reply({"4": 450}.get(wide[:1], 550), wide, text)
    elif not quoted.enhanced and wide and wide[2:] != "0.0":
        quoted = Reply(quoted.code, wide, quoted.text)
    if 200 <= quoted.code < 400:
        quoted = Reply(550, wide, quoted.text)
    verdict = judge(quoted, Phase.REPORT)
    if action == "delayed":
        return Verdict(verdict.scope, Permanence.TRANSIENT, verdict.reason, verdict.rule)
    if action == "failed" and verdict.permanence is Permanence.TRANSIENT:
        # The reporting server has given up: 4.4.7 after days of trying is as final as a 5xx, but it proves no
        # address dead, so a reason that would suppress it becomes the plain time-out that it was.
        # Unless its words are about the address: some servers say "user unknown" with 450 for as long as one asks.
        told = verdict.rule == "unknown_user_for_now"
        reason = Reason.TIMEOUT if verdict.reason in _HARD and not told else verdict.reason
        return Verdict(verdict.scope, Permanence.PERMANENT, reason, verdict.rule)
    return verdict


def judge_report(status: str, action: str, diagnostic: str, prose: str) -> Verdict:
    """``judge_status``, and where its words say nothing that a rule knows, what is written of the recipient beside it.

    Words outrank codes: half of the world's recipients with a 5.x.x are not dead (a full mailbox with 5.1.1, a
    blocklist with 5.0.0), so a rule that looks at text wins over one that looks at codes, wherever the text stands.
    """
    first = judge_status(status, action, diagnostic)
    if first.permanence is Permanence.SUCCESS or not prose or first.rule in _worded():
        return first
    tried = [found.group(0) for found in islice(_QUOTED_REPLY.finditer(prose), _REPLIES)]
    for text in (*tried, prose):
        verdict = judge_status("" if text is prose else status, action, " ".join(text.split()))
        if verdict.rule in _worded():
            return verdict
    if first.reason is Reason.OTHER and not diagnostic:
        # No words, but perhaps a code that the report did not repeat.
        found = _ANY_STATUS.search(prose)
        coded = next((verdict for text in tried if (verdict := judge_status(status, action, text)).reason
                      is not Reason.OTHER), None)
        if coded is not None:
            return coded
        if found is not None:
            return judge_status(found[0], action, "")
    return first


@lru_cache(maxsize=1)
def _worded() -> frozenset[str]:
    """The names of the rules that look at words."""
    return frozenset(rule.name for rule in rules() if rule.text is not None)


def hard(verdict: Verdict) -> bool:
    """Whether the address itself is dead, so that it must not be written to again."""
    return verdict.permanence is Permanence.PERMANENT and verdict.reason in _HARD
