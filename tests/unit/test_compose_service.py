"""Content that fights back is stopped in its own process, with a sentence for its author."""

import re
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esp.compose import service as compose_service
from esp.compose.freeze import Facts, freeze
from esp.compose.service import ContentService
from esp.model.campaign import ContentKind
from esp.model.content import Draft


@pytest.fixture
async def service() -> AsyncIterator[ContentService]:
    async with ContentService() as service:
        yield service


async def test_check_gives_what_freeze_gives(service: ContentService) -> None:
    draft = Draft("Halo", '<p>Hi {{ contact.shoe }} <a href="https://toko.example/">x</a></p>', label="B")
    facts = Facts("Toko", "Bandung", "Nov")
    known = frozenset({"shoe"})
    compiled, problems = await service.check(draft, first_link_index=4, known_fields=known, facts=facts)
    assert compiled == freeze(draft, first_link_index=4, known_fields=known, facts=facts)
    assert compiled is not None
    assert compiled.links[0].index == 4
    assert problems == compiled.problems


async def test_preview_shows_what_this_contact_reads(service: ContentService) -> None:
    draft = Draft(
        "Hi {{ contact.first_name }}", "# Hi {{ contact.first_name | default('you') }}", ContentKind.MARKDOWN, "Pre"
    )
    preview = await service.preview(draft, "a@b.example", {"first_name": "Sari <b>"}, facts=Facts("Toko", "Bandung"))
    assert (preview.subject, preview.preheader) == ("Hi Sari <b>", "Pre")
    assert "Hi Sari &lt;b&gt;" in preview.html
    assert preview.text.startswith("Hi Sari <b>")
    assert not [problem for problem in preview.problems if problem.level == "error"]


BOMBS = {
    "call": "{% for i in range(10**12) %}x{% endfor %}",
    "loops": "{% set l = ["
    + "1," * 3000
    + "1] %}{% for a in l %}{% for b in l %}{% for c in l %}x{% endfor %}{% endfor %}{% endfor %}",
    "gigabyte": "{{ 'a' * 1000000000 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "doubling": "{% set s = 'aaaaaaaaaaaaaaaa' %}" + "{% set s = s ~ s %}" * 60 + "{{ s }}",
    "deep blocks": "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
    "deep brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "huge": "<p>x</p>" * 1_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
async def test_template_bombs_become_a_problem(service: ContentService, name: str) -> None:
    preview = await service.preview(Draft("S", BOMBS[name]), "a@b.example", {})
    (first, *_) = preview.problems
    assert first.level == "error"
    assert first.where == "body"
    assert first.message.endswith((".", ")"))
    assert (preview.html, preview.text) == ("", "")


async def test_a_document_that_crashes_the_parser_costs_only_its_process(service: ContentService) -> None:
    crash = Draft("S", "<mjml><mj-body>" + "<mj-section>" * 50_000, ContentKind.MJML)
    preview = await service.preview(crash, "a@b.example", {})
    assert "memory or time" in preview.problems[0].message
    again = await service.preview(Draft("S", "<p>fine</p>"), "a@b.example", {})
    assert "fine" in again.html


async def test_a_process_that_takes_too_long_is_killed_and_replaced() -> None:
    async with ContentService(seconds=1.0) as service:
        slow = Draft("S", "<p>x{{ contact.city }}</p>" * 38_000)
        compiled, problems = await service.check(slow)
        assert compiled is None
        assert "took too long" in problems[0].message
        # Nobody waits behind the killed one.
    async with ContentService() as service:
        assert (await service.check(Draft("S", "<p>fine</p>")))[0] is not None


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_kilobytes() -> int:
    """The most memory this process has held since /proc/self/clear_refs was last told "5" (proc(5), VmHWM)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


async def test_a_child_cannot_take_the_machines_memory() -> None:
    async with ContentService(memory=200 * 1024 * 1024) as service:
        greedy = Draft("S", "<p>x{{ contact.city }}</p>" * 38_000)
        # The parent's own peak, from here on: whatever other tests took in this process before is none of our business.
        _forget_peak()
        before = _peak_kilobytes()
        _, problems = await service.check(greedy)
        assert problems[0].level == "error"
    assert _peak_kilobytes() - before < 100 * 1024


async def test_the_system_itself_bounds_a_child() -> None:
    """Whatever parser runs wild in it: address space from the start, processor time anew with every request."""
    async with ContentService(memory=400 * 1024 * 1024) as service:
        assert (await service.check(Draft("S", "<p>fine</p>")))[0] is not None
        (child,) = service._idle
        assert resource.prlimit(child._process.pid, resource.RLIMIT_AS) == (400 * 1024 * 1024,) * 2
        assert resource.prlimit(child._process.pid, resource.RLIMIT_CORE) == (0, 0)
        # Some seconds for starting, and those of one request.
        assert resource.prlimit(child._process.pid, resource.RLIMIT_CPU)[0] <= compose_service.SECONDS + 10
        assert resource.prlimit(child._process.pid, resource.RLIMIT_CPU)[0] < 60


async def test_an_answer_without_end_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_service, "_LARGEST_MESSAGE", 200)
    async with ContentService() as service:
        compiled, problems = await service.check(Draft("S", "<p>fine</p>"))
    assert compiled is None
    assert problems[0].message == "The content makes too much text."


async def test_lone_surrogates_do_not_break_the_pipe(service: ContentService) -> None:
    preview = await service.preview(Draft("a\ud800b", "<p>\udfff</p>"), "a@b.example", {})
    assert preview.subject == "a?b"
