"""From a draft to a frozen variant: links, text part, footer, and what the author is told."""

# ruff: noqa: E501 -- samples read better on one line

import pytest

from esp.compose.freeze import Facts, freeze, inspect
from esp.compose.shield import Shield, tokens
from esp.errors import ContentError
from esp.merge.links import resolve_link
from esp.merge.preview import render_preview
from esp.model.campaign import ContentKind
from esp.model.content import Draft, Problem
from tests.mailing import FACTS, frozen, person


def problems(
    source: str, subject: str = "S", preheader: str = "P", kind: ContentKind = ContentKind.HTML
) -> list[Problem]:
    draft = Draft(subject, source, kind, preheader)
    return list(inspect(draft, known_fields=frozenset({"items"}), facts=FACTS)[1])


def messages(source: str, level: str, **options: str) -> list[str]:
    return [problem.message for problem in problems(source, **options) if problem.level == level]  # type: ignore[arg-type]


def preview(source: str, kind: ContentKind = ContentKind.HTML, **fields: object) -> tuple[str, str]:
    compiled = frozen(source, kind=kind, fields=frozenset({"items", "x"}))
    _, _, html, text = render_preview(compiled, person(**fields))
    return html, text


def test_links_are_numbered_and_every_other_octet_is_kept() -> None:
    source = (
        "<!DOCTYPE html>\n<html><body ><P Class=x>&nbsp;a &lt; b<br/>\n"
        "<a title=\"href=no\" HREF='https://a.example/?x=1&amp;y=2' >one</a><a href=https://b.example/>two</a>\n"
        '<a href="mailto:x@y.example">m</a><a href="tel:+62">t</a><a href="#top">u</a><a href="{{ unsubscribe_url }}">out</a>\n'
        '<!--[if mso]><v:roundrect href="https://c.example/" w="1"><![endif]-->{{ workspace.postal_address }}</body></html>\n'
    )
    compiled = frozen(source)
    assert [(link.index, link.url, link.text) for link in compiled.links] == [
        (0, "https://a.example/?x=1&y=2", "one"), (1, "https://b.example/", "two"), (2, "https://c.example/", ""),
    ]  # fmt: skip
    html = render_preview(compiled, person())[2]
    expected = (
        source.replace("href=https://b.example/", 'href="https://b.example/"')
        .replace("'https://a.example/?x=1&amp;y=2'", "'https://a.example/?x=1&amp;y=2'")
        .replace("{{ unsubscribe_url }}", "#")
        .replace("{{ workspace.postal_address }}", FACTS.postal_address)
    )
    assert html == expected


def test_links_count_through_variants() -> None:
    draft = Draft("S", '<a href="https://a.example/">x</a>')
    compiled, _ = inspect(draft, first_link_index=12)
    assert compiled is not None
    assert [link.index for link in compiled.links] == [12]


def test_merge_fields_in_a_links_path_are_personal_and_percent_encoded() -> None:
    compiled = frozen('<a href="https://a.example/{{ contact.city }}?n={{ contact.first_name | urlencode }}">x</a>')
    (link,) = compiled.links
    assert link.personal
    url = resolve_link(link.url, "b@c.example", {"city": "../@evil.example/?", "first_name": "A & B"})
    assert url == "https://a.example/..%2F%40evil.example%2F%3F?n=A%20%26%20B"
    html = render_preview(compiled, person(city="a/b", first_name="é"))[2]
    assert "https://a.example/a%2Fb?n=%C3%A9" in html


@pytest.mark.parametrize(
    "href",
    [
        "https://{{ contact.city }}/x", "https://a.{{ contact.city }}/", "https://a.example{{ contact.city }}", "{{ contact.city }}",
        "{{ contact.city }}://x", "https://a.example:{{ contact.city }}/", "https://{{ contact.city }}@a.example/",
        "https:\\\\{{ contact.city }}", "//a.example/x", "javascript:alert(1)", "data:text/html,x", "page.html", "https://",
        "https://a.example/{% if contact.city %}x{% endif %}", "https://a .example/", "https://[bad/", "https://a.example\\@b.example",
    ],
)  # fmt: skip
def test_links_that_could_lead_elsewhere_are_errors(href: str) -> None:
    found = problems(f'<a href="{href}">x</a>')
    assert found[0].level == "error", found
    with pytest.raises(ContentError) as refused:
        frozen(f'<a href="{href}">x</a>')
    assert refused.value.problems[0] == found[0]


def test_a_link_without_a_scheme_is_told_what_it_lacks() -> None:
    assert any("has no http: or https:" in words for words in messages('<a href="//a.example/x">x</a>', "error"))


def test_a_link_with_a_loops_variable_works_but_is_not_tracked() -> None:
    source = '{% for i in contact.items %}<a href="https://a.example/?p={{ i }}">{{ i }}</a>{% endfor %}'
    html, _ = preview(source, items=["a&b", "c"])
    assert 'href="https://a.example/?p=a%26b"' in html
    assert 'href="https://a.example/?p=c"' in html
    assert any("not counted" in message for message in messages(source, "warning"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("<img alt={{ contact.city }} src=x>", "Put quotes"),
        ('<p onclick="x({{ contact.city }})">', "in a script"),
        ("<{{ contact.city }}>x", ""),
        ("<p{{ contact.city }}>x</p>", "cannot name an HTML element"),
        ("<p {{ contact.city }}>x</p>", "Put quotes"),
        ("<script>var x = '{{ contact.city }}'</script>", "<script>"),
        ("<style>.x{color:{{ contact.city }}}</style>", "<style>"),
    ],
)
def test_merge_fields_where_escaping_cannot_help_are_errors(source: str, words: str) -> None:
    if words:
        assert any(words in message for message in messages(source, "error"))
    html = preview(source, city="><script>alert(1)</script>")[0] if not messages(source, "error") else ""
    assert "<script>alert" not in html


def test_loops_and_conditions_stay_in_tables_when_styles_are_inlined() -> None:
    source = (
        "<html><head><style>td { color: red } @media (max-width: 600px) { td { color: blue } }</style></head><body><table>"
        "{% for i in contact.items %}<tr><td>{{ i }}</td></tr>{% endfor %}"
        '{% if contact.city %}<tr><td>{{ contact.city | default("x") }}</td></tr>{% endif %}</table></body></html>'
    )
    html, text = preview(source, items=["a", "b"], city="Bandung")
    table = html[html.index("<table") : html.index("</table>")]
    assert table.count('<td style="color: red;">') == 3
    assert "@media" in html
    assert [word in table for word in ("a</td>", "b</td>", "Bandung")] == [True] * 3
    assert text.split("\n-- ")[0].split() == ["a", "b", "Bandung"]


def test_a_block_that_cannot_be_kept_in_place_is_an_error() -> None:
    source = (
        "<style>p{color:red}</style><select>{% if contact.city %}<p>x</p>{% endif %}</select><p style='{% if 1 %}'>"
    )
    assert messages(source, "error")


def test_the_text_part_reads_like_a_letter_and_tracks_the_same_links() -> None:
    source = (
        "<html><head><title>no</title><style>p{}</style></head><body><div style='display:none'>hidden</div><h1>Halo</h1>"
        "<p>Satu &amp; dua<br>tiga  <b>empat</b></p><ul><li>a</li><li><a href='https://a.example/'>b</a></li></ul>"
        "<img src='https://a.example/x.png' alt='Gambar'><script>no()</script></body></html>"
    )
    _, text = preview(source)
    body = text.split("\n-- ")[0].strip()
    assert body == "Halo\n\nSatu & dua\ntiga empat\n\n- a\n- b <https://a.example/>\n\nGambar"


def test_markdown_gets_a_layout_and_html_in_it_is_text() -> None:
    html, text = preview(
        "# Halo {{ contact.first_name | default(\"teman\") }}\n\n{% for i in contact.items %}\n- [{{ i }}](https://a.example/)\n"
        "{% endfor %}\n\n<script>x</script> **tebal**\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        ContentKind.MARKDOWN, items=["x", "y"],
    )  # fmt: skip
    assert "viewport" in html
    assert "&lt;script&gt;" in html
    assert "<strong>tebal</strong>" in html
    assert "<table" in html
    assert html.count("https://a.example/") == 2
    assert html.count("<ul") == 1
    assert text.startswith("Halo teman\n")


def test_mjml_becomes_responsive_html_and_keeps_invisible_characters() -> None:
    source = (
        "<mjml><mj-body>{% if contact.city %}<mj-section><mj-column><mj-text>Hai {{ contact.city | default('x') }}</mj-text>"
        '<mj-image src="https://a.example/x.png" alt="{{ contact.city }} \u200d👩\u200d🍳"></mj-image>'
        '<mj-button href="https://a.example/?c={{ contact.city }}">Lihat</mj-button></mj-column></mj-section>{% endif %}</mj-body></mjml>'
    )
    html, text = preview(source, ContentKind.MJML, city="Kota Bandung")
    assert "Hai Kota Bandung" in html
    assert 'alt="Kota Bandung \u200d👩\u200d🍳"' in html
    assert "?c=Kota%20Bandung" in html
    assert "Lihat <https://a.example/?c=Kota%20Bandung>" in text
    assert "Hai" not in preview(source, ContentKind.MJML)[0]


@pytest.mark.parametrize(("kind", "source"), [
    (ContentKind.MJML, "<mjml><mj-body></mj-body></mjml>"), (ContentKind.MARKDOWN, "Halo"),
])
def test_the_mail_says_which_language_it_is_in(kind: ContentKind, source: str) -> None:
    """A screen reader that is told ``und`` reads Indonesian with an English tongue."""
    compiled = freeze(Draft("S", source, kind), facts=Facts(language="id"))
    assert '<html lang="id"' in render_preview(compiled, person())[2]
    own = freeze(Draft("S", '<mjml lang="su"><mj-body></mj-body></mjml>', ContentKind.MJML), facts=Facts(language="id"))
    assert '<html lang="su"' in render_preview(own, person())[2]


def test_mjml_links_no_fonts_of_a_third_party() -> None:
    source = "<mjml><mj-body><mj-section><mj-column><mj-text>Hai</mj-text></mj-column></mj-section></mj-body></mjml>"
    assert "googleapis" not in preview(source, ContentKind.MJML)[0]


def test_mjml_errors_and_includes_are_problems() -> None:
    assert any("MJML" in message for message in messages("<mjml><mj-body><mj-section>", "error", kind=ContentKind.MJML))
    include = '<mjml><mj-body><mj-include path="/etc/passwd" /></mj-body></mjml>'
    compiled, _ = inspect(Draft("S", include, ContentKind.MJML))
    assert compiled is None or "root:" not in render_preview(compiled, person())[2]


def test_a_footer_is_added_only_where_there_is_no_way_out() -> None:
    html, text = preview("<body><p>x</p></body>")
    assert html.index("Unsubscribe") < html.index("</body>")
    assert "Jl. Braga 1, Bandung" in html
    assert "Jl. Braga 1, Bandung" in text
    assert "Unsubscribe: <#>" in text
    html, text = preview('<p><a href="{{ unsubscribe_url }}">Keluar</a></p>')
    assert "Unsubscribe" not in html
    assert "Keluar <#>" in text


def test_the_footer_speaks_the_readers_language_else_the_mails() -> None:
    for language, spoken, word in (
        ("id", "", "Berhenti berlangganan"), ("id-ID", "en", "Unsubscribe"), ("en", "ID-id", "Berhenti berlangganan"),
        ("en", "fr", "Unsubscribe"), ("fr", "", "Unsubscribe"), ("id", "fr", "Berhenti berlangganan"),
    ):
        compiled = freeze(Draft("S", "<p>x</p>", ContentKind.HTML), facts=Facts("Toko", "Jl. 1", "N", language))
        _, _, html, text = render_preview(compiled, person(language=spoken))
        assert f">{word}</a>" in html
        assert f"\n{word}: <#>\n" in text
        assert ("Unsubscribe" in html) == (word == "Unsubscribe")


def test_the_preheader_is_hidden_text_at_the_start() -> None:
    compiled = frozen("<html><body class='a'><p>x</p></body></html>", preheader="A <b> & {{ contact.first_name }}")
    html = render_preview(compiled, person(first_name="<i>"))[2]
    assert "<body class='a'><div style=\"display:none" in html
    assert "A &lt;b&gt; &amp; &lt;i&gt;" in html
    assert "A <b>" not in render_preview(compiled, person(first_name="<i>"))[3]


def test_lint_tells_what_a_marketer_forgets() -> None:
    assert messages("", "error", subject=" ") == ["The mail has no subject.", "The mail is empty."]
    warnings = " ".join(
        messages(
            '<img src="http://a.example/x"><script></script><form></form>' + "x" * 110_000, "warning", preheader=""
        )
    )
    for words in ("preheader", "alt text", "http://", "Scripts", "Forms", "Gmail cuts", "no link"):
        assert words in warnings
    _, found = inspect(Draft("S", "<p>x</p>", preheader="P"), facts=Facts())
    assert any("postal address" in problem.message for problem in found)
    clean = (
        '<p>{{ workspace.postal_address }} <a href="https://a.example/">x</a> <a href="{{ unsubscribe_url }}">u</a></p>'
    )
    assert problems(clean) == []


def test_errors_carry_the_line_of_the_source() -> None:
    (first, *_) = problems("<p>\n\n{{ contact.first_name | defualt('x') }}</p>")
    assert (first.level, first.where, first.line) == ("error", "body", 3)
    assert first.message.startswith("Line 3: ")
    (first, *_) = problems("<p>x</p>", subject="{{ contact.nme }}")
    assert (first.level, first.where) == ("error", "subject")


def test_characters_that_mark_places_cannot_be_smuggled_in() -> None:
    html, _ = preview(
        "<p>\ue0000\ue001\ue002open\ue003\ue0025\ue003</p><a href='https://a.example/'>x</a>", x="\ue0020\ue003"
    )
    assert "<p>0open5</p>" in html


@pytest.mark.parametrize(
    "source", ["a\r\nb\rc", "<p>x\x00y</p>", "<a", "<p", "<!--", "<![CDATA[ x ]]>", "{", "}}", "{ {", "%}"]
)
def test_odd_sources_are_kept_or_told(source: str) -> None:
    compiled, found = inspect(Draft("S", source))
    assert compiled is not None or found[0].level == "error"


def test_tokens_join_to_the_source() -> None:
    source = "<p>a &amp; <b\nc='>'>d</b><style>x>y</style><!-- z --><a href=x/>\n<br />é"
    assert "".join(piece for _, piece in tokens(source)) == source
    shield = Shield()
    assert shield.uncover(shield.cover("a {{ x }} b {% if y %}c{% endif %}")) == "a {{ x }} b {% if y %}c{% endif %}"
