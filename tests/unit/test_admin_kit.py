"""The kit itself: icons exist, templates keep the policy, values are written as the reader's language writes them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from multidict import MultiDict

from admin_ui import navigation
from admin_ui.forms import Form, FormModel
from admin_ui.pages.guide import title_of
from admin_ui.render import ago, device, initials, make_environment, moment, number, percent, size, to_json
from admin_ui.security import token_of
from admin_ui.words import LANGUAGE

ADMIN = Path(__file__).parents[2] / "admin_ui"
TEMPLATES = sorted((ADMIN / "templates").rglob("*.html"))
ICONS = set((ADMIN / "frontend" / "icons.txt").read_text().split())


def test_every_icon_named_anywhere_is_in_the_sprite() -> None:
    words = {
        word for path in (*TEMPLATES, *(ADMIN / "pages").rglob("*.py"))
        for word in re.findall(r"\bicon\(\s*[\"']([a-z0-9-]+)[\"']", path.read_text())
    }
    assert len(words) > 30
    assert words - ICONS == set()
    for screen in (*navigation.MAP, *navigation.every_screen()):
        assert screen.icon in ICONS


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_needs_what_the_policy_forbids(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<[^>]+\son[a-z]+=", text)
    assert not re.search(r"<[^>]+\sstyle=", text)
    assert "hx-on" not in text
    assert "javascript:" not in text
    assert "|safe" not in text
    for script in re.findall(r"<script[^>]*>", text):
        assert "src=" in script or 'type="application/json"' in script


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_changes_something_carries_the_token(path: Path) -> None:
    for form in re.split(r"(?<!')<form", path.read_text())[1:]:  # in quotes it is a text for others to copy
        if 'method="post"' in form.split(">")[0]:
            assert "csrf_field()" in form.split("</form>")[0], path


def test_every_frame_is_a_sandbox_in_which_nothing_runs() -> None:
    """The frame holds somebody's HTML; its own policy says the same, and either alone must do."""
    frames = [(path.name, tag) for path in TEMPLATES for tag in re.findall(r"<iframe[^>]*>", path.read_text())]
    assert len(frames) >= 4
    for name, tag in frames:
        sandbox = re.search(r'\ssandbox="([^"]*)"', tag)
        assert sandbox, name
        assert not {"allow-scripts", "allow-same-origin", "allow-forms"} & set(sandbox[1].split()), name


def test_every_template_compiles() -> None:
    environment = make_environment()
    for path in TEMPLATES:
        environment.get_template(str(path.relative_to(ADMIN / "templates")))


def test_a_data_block_cannot_be_ended_by_its_data() -> None:
    text = str(to_json({"name": "</script><!-- \u2028 &"}))
    assert not set("<>&\u2028") & set(text)


@pytest.mark.parametrize(("values", "empty"), [([0, 0, 0], True), ([0, 1, 0], False)])
def test_a_chart_of_zeros_says_so_instead_of_drawing_an_empty_frame(values: list[int], empty: bool) -> None:
    environment = make_environment()
    template = environment.from_string(
        '{% import "kit/charts.html" as c with context %}{{ c.over_time("x", data, "How", ["From", "Opened"], []) }}')
    data = {"times": [1, 2, 3], "unit": "people", "series": [{"name": "Opened", "values": values},
                                                             {"name": "Clicked", "values": [0, 0, 0]}]}
    text = template.render(data=data)
    assert ("Nobody yet" in text) is empty
    assert ("data-chart" in text) is not empty


def test_what_comes_next_looks_like_steps_and_not_like_boxes_to_tick() -> None:
    text = (ADMIN / "templates" / "home" / "home.html").read_text()
    assert '"square"' not in text
    assert "step-number" in text


def test_values_in_english_and_indonesian() -> None:
    at = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    assert number(1234567) == "1,234,567"
    assert number(None) == "–"
    assert percent(1, 3) == "33.3%"
    assert percent(1, 0) == "–"
    assert size(271_700) == "271.7 kB"
    assert moment(at, "Asia/Jakarta") == "21 Nov 2026, 10:00"
    assert ago(at - timedelta(minutes=3), at) == "3 minutes ago"
    token = LANGUAGE.set("id")
    try:
        assert number(1234567) == "1.234.567"
        assert percent(1, 3) == "33,3%"
        assert ago(at - timedelta(minutes=3), at) == "3 menit yang lalu"
    finally:
        LANGUAGE.reset(token)


@pytest.mark.parametrize(("agent", "words"), [
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156 Safari/537.36 Edg/156", "Edge, Windows"),
    ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156 Mobile Safari/537.36",
     "Chrome, Android"),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Safari/604.1",
     "Safari, iPhone"),
    ("<script>", "Unknown device"), ("", "Unknown device"),
])
def test_a_device_is_named_as_its_owner_would(agent: str, words: str) -> None:
    assert device(agent) == words


def test_initials() -> None:
    assert initials("Sri Wahyuni Lestari") == "SL"
    assert initials("", "sri@melati.example") == "S"


class Sample(FormModel):
    name: str
    count: int = 0
    lists: tuple[int, ...] = ()


def test_a_form_keeps_what_was_typed_and_says_what_is_wrong() -> None:
    form = Form.read(Sample, MultiDict([("name", "  Sri "), ("count", "many"), ("lists", "1"), ("lists", "x")]))
    assert form.data is None
    assert form.problems == {"count": "Write a whole number.", "lists": "Write a whole number."}
    assert form.value("count") == "many"
    good = Form.read(Sample, MultiDict([("name", "  Sri "), ("lists", "1"), ("lists", "2"), ("csrf", "x")]))
    assert good.data == Sample(name="Sri", lists=(1, 2))


def test_the_form_token_does_not_give_the_cookie_away() -> None:
    assert "secret" not in token_of("secret")
    assert token_of("a") != token_of("b")


def test_the_guide_s_index_names_every_page_by_its_title_and_no_other() -> None:
    pages = {path.stem: title_of(path.read_text()) for path in (ADMIN / "docs").glob("*.md") if path.stem != "index"}
    named = re.findall(r"^\d+\. \[(.+?)\]\(/docs/([a-z-]+)\)", (ADMIN / "docs" / "index.md").read_text(), re.M)
    assert sorted(name for _, name in named) == sorted(pages)
    assert all(pages[name].startswith(title) for title, name in named)
