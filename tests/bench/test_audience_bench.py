"""The measurement of the audience runs and says what it promises; its figures are for people to look at."""

import json

import pytest
from typer.testing import CliRunner

from esp.cli import app

KEYS = ("import_seconds", "reimport_seconds", "audience_seconds", "segment_count_median_seconds",
        "segment_count_worst_seconds", "search_p95_ms", "pages_p95_ms", "import_rss_mb", "unsubscribe_seconds")


@pytest.mark.timeout(300)
def test_it_says_every_figure_of_the_issue() -> None:
    done = CliRunner().invoke(app, ["bench", "audience", "--json", "--contacts", "3000", "--events", "9000"])
    assert done.exit_code == 0, done.output
    figures = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert (figures["database"], figures["contacts"], figures["events"]) == ("sqlite", 3000, 9000)
    assert all(figures[key] > 0 for key in KEYS)
    assert figures["segment_rules"] == 20
    assert figures["pages"] == 14
