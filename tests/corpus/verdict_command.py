"""Our verdicts as score_replies.py of the shared corpus reads them: give it ``-m tests.corpus.verdict_command``."""

import json
import sys

from esp.model.attempt import Phase
from esp.model.verdict import Permanence, Reason
from esp.verdict.judge import hard, judge, parse_reply

GROUPS = {
    Reason.UNKNOWN_USER: "invalid_recipient", Reason.DISABLED: "inactive", Reason.MOVED: "invalid_recipient",
    Reason.GREYLISTED: "rate_limited", Reason.SPAM: "content", Reason.VIRUS: "content", Reason.CONTENT: "content",
    Reason.AUTHENTICATION: "auth", Reason.RELAYING: "policy", Reason.DNS: "invalid_domain", Reason.TLS: "auth",
    Reason.TIMEOUT: "network", Reason.PROTOCOL: "system", Reason.OTHER: "undetermined",
}
PHASES = {"HELO": Phase.HELLO, "EHLO": Phase.HELLO, "MAIL": Phase.MAIL, "RCPT": Phase.RCPT, "RCPT TO": Phase.RCPT,
          "DATA": Phase.DOT}

for line in sys.stdin:
    row = json.loads(line)
    reply = parse_reply(row["text"])
    assert reply is not None, row
    verdict = judge(reply, PHASES.get(row["command"] or "", Phase.REPORT))
    block = "hard" if hard(verdict) else "soft"
    permanent = verdict.permanence is Permanence.PERMANENT
    print(json.dumps({"id": row["id"], "reason": GROUPS.get(verdict.reason, verdict.reason.value), "class": block,
                      "permanent": permanent, "rule": verdict.rule}))
