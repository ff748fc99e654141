"""Whatever a contact's fields hold, a message is lines of at most 998 octets, its headers are ours, and it decodes."""

# ruff: noqa: E501 -- samples read better on one line

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from esp.merge.preview import render_preview
from esp.render import Renderer
from tests.mailing import NOW, TOKENS, envelope, frozen, parsed, person

SOURCE = (
    '<html><body><p>{{ contact.first_name | default("teman") }} {{ contact.last_name | upper | truncate(20) }}</p>'
    '{% if contact.city %}<table>{% for t in contact.tags %}<tr><td title="{{ t }}">{{ loop.index }} {{ t }}</td></tr>{% endfor %}</table>'
    '{% else %}-{% endif %}<a href="https://toko.example/{{ contact.city }}">x</a></body></html>'
)
COMPILED = frozen(
    SOURCE,
    subject="{{ contact.first_name }} {{ contact.city }}",
    preheader="{{ contact.city }}",
    fields=frozenset({"tags"}),
)
TRACKED = Renderer(COMPILED, envelope(keys=()), TOKENS)
PLAIN = Renderer(COMPILED, envelope(keys=(), track_opens=False, track_clicks=False), TOKENS)
NAMES = [
    "Date", "To", "Subject", "Message-ID", "List-Unsubscribe", "From", "Reply-To", "MIME-Version", "List-Id",
    "List-Unsubscribe-Post", "Feedback-ID", "Content-Type",
]  # fmt: skip

HOSTILE = st.text(
    alphabet=st.sampled_from("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029\x00.=<>&\"' {%}é🎉\u202eaA:-_\ue002\ue003"),
    max_size=120,
)
SCALARS = st.one_of(st.text(max_size=300), HOSTILE, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False))
FIELDS = st.fixed_dictionaries(
    {
        "first_name": SCALARS,
        "last_name": SCALARS,
        "city": SCALARS,
        "tags": st.one_of(SCALARS, st.lists(SCALARS, max_size=4)),
    }
)


@settings(max_examples=150, deadline=None)
@given(FIELDS)
def test_any_fields_make_a_clean_message(fields: dict[str, object]) -> None:
    message = TRACKED.render(person(**fields), NOW)
    assert b"\n" not in message.data.replace(b"\r\n", b"")
    assert b"\r" not in message.data.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in message.data.split(b"\r\n"))
    assert message.data.isascii()
    assert message.data.endswith(b"\r\n")
    assert b"\r\n." not in message.data
    mail = parsed(message)
    assert mail.keys() == NAMES
    assert [p.get_content_type() for p in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]


@settings(max_examples=150, deadline=None)
@given(FIELDS)
def test_the_wire_decodes_to_what_the_preview_shows(fields: dict[str, object]) -> None:
    mail = parsed(PLAIN.render(person(**fields), NOW))
    _, _, html, text = render_preview(COMPILED, person(**fields), "Berita")
    for kind, shown in (("plain", text), ("html", html)):
        body = mail.get_body((kind,))
        assert body is not None
        octets = body.get_payload(decode=True)
        assert isinstance(octets, bytes)
        decoded = re.sub(r"https://t\.toko\.example/[uvp]/[\w-]+", "#", octets.decode())
        shown = shown.encode("utf-8", "replace").decode().replace("\x00", "")
        assert re.sub(r"\r\n?|\n", "\n", decoded) == re.sub(r"\r\n?|\n", "\n", shown)


@settings(max_examples=100, deadline=None)
@given(FIELDS)
def test_values_add_no_element_to_the_html(fields: dict[str, object]) -> None:
    tags = fields["tags"] if isinstance(fields["tags"], list) else []
    html = render_preview(COMPILED, person(**fields))[2]
    plain = render_preview(
        COMPILED, person(**{**fields, "tags": ["x"] * len(tags), "first_name": "x", "last_name": "x"})
    )[2]
    assert html.count("<") == plain.count("<")
    assert html.count('"') == plain.count('"')
