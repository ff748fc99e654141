"""Reply or DSN to verdict, by ordered rules that are data: whom a failure concerns, whether it lasts, and why."""

from esp.verdict.judge import hard, judge, judge_attempt, judge_failure, judge_report, judge_status
from esp.verdict.rules import version

__all__ = ["hard", "judge", "judge_attempt", "judge_failure", "judge_report", "judge_status", "version"]
