"""What mails or SMTP replies mean, as JSON lines: ``merpati classify``, without a database, settings or network."""

import sys
from pathlib import Path
from typing import Any, Final

import orjson

from esp.inbound.message import TooComplexError, read
from esp.inbound.mime import OCTETS
from esp.inbound.recognise import Incoming, Mailbox, Recognition, recognise
from esp.inbound.report import RecipientReport
from esp.model.attempt import Phase
from esp.model.verdict import Permanence, Verdict
from esp.verdict.groups import class_of, group_of
from esp.verdict.judge import hard, judge, judge_report, parse_reply

_PHASES: Final = {"HELO": Phase.HELLO, "EHLO": Phase.HELLO, "MAIL": Phase.MAIL, "RCPT": Phase.RCPT,
                  "RCPT TO": Phase.RCPT, "DATA": Phase.DOT}


def run(replies: bool) -> None:
    """Read JSON lines from standard input, write one JSON line for each, at once.

    A line is a JSON string with a file's path; the answer is {"path", "kind", "recipients"}. With ``replies`` it is
    {"id", "text", "rhost", "command"}, and the answer {"id", "reason", "class", "rule"}.
    """
    for line in sys.stdin.buffer:
        if line.strip():
            task = orjson.loads(line)
            answer = judged_reply(task) if replies else classified(str(task))
            sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
            sys.stdout.buffer.flush()


def classified(path: str) -> dict[str, Any]:
    """The kind of the mail in a file and what it says of each recipient."""
    with Path(path).open("rb") as file:
        raw = file.read(OCTETS)
    try:
        found = recognise(Incoming(read(raw), Mailbox.RETURN_PATH, null_sender=False))
    except TooComplexError:
        return {"path": path, "kind": "other", "rule": "unreadable", "recipients": []}
    return {"path": path, "kind": found.label, "rule": found.rule, "recipients": _recipients(found)}


def _recipients(found: Recognition) -> list[dict[str, str]]:
    if found.complaint is not None:
        return [{"address": address, "action": "", "class": "", "reason": ""} for address in found.complaint.recipients]
    return [_recipient(report) for report in found.reports if report.recipient]


def _recipient(report: RecipientReport) -> dict[str, str]:
    verdict = judge_report(report.status, report.action, report.diagnostic, report.prose)
    return {
        "address": report.recipient, "status": report.status, "action": _action(report, verdict), **_words(verdict),
    }


def _action(report: RecipientReport, verdict: Verdict) -> str:
    if verdict.permanence is Permanence.SUCCESS:
        return "delivered"
    if report.action:
        return report.action
    return "delayed" if report.status.startswith("4") else "failed"


def _words(verdict: Verdict) -> dict[str, str]:
    return {"class": class_of(verdict, hard(verdict)).value, "reason": group_of(verdict).value, "rule": verdict.rule}


def judged_reply(task: dict[str, Any]) -> dict[str, Any]:
    """What one reply line means."""
    text = str(task.get("text", ""))
    phase = _PHASES.get(str(task.get("command") or "").upper(), Phase.REPORT)
    reply = parse_reply(text)
    verdict = judge_report("", "failed", text, "") if reply is None else judge(reply, phase)
    return {"id": task.get("id"), **_words(verdict)}
