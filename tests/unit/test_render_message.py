"""A rendered message, read back by the standard library's parser: everything is what the model says."""

# ruff: noqa: E501 -- samples read better on one line

import re

import pytest

from esp.merge.frozen import Frozen
from esp.model.content import CompiledVariant
from esp.render import Renderer
from esp.wire.tokens import Claims, Purpose
from tests.mailing import NOW, TOKENS, envelope, frozen, parsed, part, person, send

HTML = (
    '<html><body><p>Halo {{ contact.first_name | default("teman") }}</p><a href="https://toko.example/a?x=1&amp;y=2">satu</a>'
    '{% if contact.city %}<b>{{ contact.city }}</b> <a href="https://toko.example/{{ contact.city }}">dua</a>{% endif %}</body></html>'
)
CLAIMS = Claims(1, 2, 7)


def test_headers_are_what_the_model_says() -> None:
    message = send(
        frozen(HTML, subject="Halo {{ contact.first_name }} 🎉 dari {{ list.name }}"), person(first_name="Sari")
    )
    mail = parsed(message)
    assert mail["From"] == "Toko Büku <news@toko.example>"
    assert mail["To"] == "budi@example.com" == message.rcpt_to
    assert mail["Reply-To"] == "halo@toko.example"
    assert mail["Subject"] == "Halo Sari 🎉 dari Berita"
    assert mail["Date"].datetime == NOW
    assert mail["MIME-Version"] == "1.0"
    assert mail["List-Id"] == "Berita <news.toko.example>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Feedback-ID"] == "2:1:campaign:merpati"
    assert mail["Message-ID"] == f"<{message.message_id}>"
    https, mailto = re.fullmatch(r"<(https://[^>]+)>, <(mailto:[^>]+)>", mail["List-Unsubscribe"]).groups()
    token = https.removeprefix("https://t.toko.example/u/")
    assert TOKENS.verify(Purpose.UNSUBSCRIBE, token) == CLAIMS
    assert mailto == f"mailto:keluar@toko.example?subject={token}"
    assert not mail.defects
    assert not any(p.defects for p in mail.walk())


def test_the_return_path_is_signed_and_the_message_id_stays() -> None:
    message = send(frozen(HTML), person())
    local, _, domain = message.mail_from.partition("@")
    assert domain == "b.toko.example"
    assert len(local) <= 64
    assert TOKENS.read_return_path(local) == CLAIMS
    assert send(frozen(HTML), person(city="Solo")).message_id == message.message_id
    assert send(frozen(HTML), person(delivery_id=8)).message_id != message.message_id
    assert send(frozen(HTML + "x"), person()).message_id != message.message_id


def test_links_and_pixel_carry_the_right_tokens() -> None:
    message = send(frozen(HTML), person(city="Solo"))
    for kind in ("plain", "html"):
        clicks = re.findall(r"https://t\.toko\.example/c/([\w-]+)/(\d+)", part(message, kind))
        assert [index for _, index in clicks] == ["0", "1"]
        assert all(TOKENS.verify(Purpose.CLICK, token) == CLAIMS for token, _ in clicks)
    html = part(message, "html")
    (pixel,) = re.findall(r'<img src="https://t\.toko\.example/o/([\w-]+)\.gif"', html)
    assert TOKENS.verify(Purpose.OPEN, pixel) == CLAIMS
    assert html.index("/o/") < html.index("</body>")
    (view,) = re.findall(r'"https://t\.toko\.example/v/([\w-]+)"', html)
    assert TOKENS.verify(Purpose.VIEW, view) == CLAIMS


def test_without_tracking_links_lead_where_they_lead() -> None:
    message = send(frozen(HTML), person(city="Kota Solo/x"), track_opens=False, track_clicks=False)
    html, text = part(message, "html"), part(message, "plain")
    assert "/c/" not in html + text
    assert "/o/" not in html
    assert 'href="https://toko.example/a?x=1&amp;y=2"' in html
    assert 'href="https://toko.example/Kota%20Solo%2Fx"' in html
    assert "<https://toko.example/a?x=1&y=2>" in text


@pytest.mark.parametrize(
    "value",
    [
        "Sari 🎉",
        "Ni Luh Ayu & Söhne",
        "שלום \u200f\u202bعربي",
        "<script>alert('x')</script>",
        'a"b',
        "= . =\n.",
        "x" * 3000,
        "\ud800",
    ],
)
def test_values_are_escaped_in_html_and_verbatim_in_text(value: str) -> None:
    message = send(
        frozen("<p>[{{ contact.first_name }}]</p>", subject="[{{ contact.first_name }}]"), person(first_name=value)
    )
    seen = value.encode("utf-8", "replace").decode()
    assert f"[{seen}]" in part(message, "plain")
    escaped = (
        seen.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;").replace("'", "&#39;")
    )
    assert f"<p>[{escaped}]</p>" in part(message, "html")
    if "\n" not in value and len(value) < 40:
        assert parsed(message)["Subject"] == f"[{seen}]"


def test_line_breaks_in_values_stay_in_the_body_and_become_blanks_in_the_subject() -> None:
    compiled = frozen("<p>{{ contact.note }}</p>", subject="{{ contact.note }}", fields=frozenset({"note"}))
    message = send(compiled, person(note="a\r\nb\nc\rd\x00"))
    assert parsed(message)["Subject"] == "a b c d"
    assert part(message, "plain").startswith("a\nb\nc\nd\n")


def test_a_text_mail_has_one_part() -> None:
    message = send(
        frozen("Halo {{ contact.first_name }}: https://toko.example/x.\n", kind="text"), person(first_name="<Sari>")
    )
    mail = parsed(message)
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert text.startswith("Halo <Sari>: https://t.toko.example/c/")
    assert "/0.\r\n" in text


def test_an_address_outside_ascii_asks_for_smtputf8() -> None:
    assert send(frozen(HTML), person("jürgen@xn--bcher-kva.example")).smtputf8
    assert not send(frozen(HTML), person()).smtputf8


def test_the_page_shows_the_mail_without_the_pixel() -> None:
    renderer = Renderer(frozen(HTML), envelope(), TOKENS)
    page = renderer.render_page(person(first_name="<b>"))
    assert "Halo &lt;b&gt;" in page
    assert "/c/" in page
    assert "/o/" not in page
    text = Renderer(frozen("a < b https://toko.example/", kind="text"), envelope(), TOKENS).render_page(person())
    assert "<pre>a &lt; b https://t.toko.example/c/" in text


def test_one_recipients_data_is_never_in_anothers_mail() -> None:
    source = "{% set x = contact.first_name %}{% if contact.city %}{% set y = contact.city %}{% endif %}<p>{{ x }}{{ y }}</p>"
    renderer = Renderer(frozen(source), envelope(keys=()), TOKENS)
    assert b"canary" in renderer.render(person(first_name="canary1", city="canary2"), NOW).data
    assert b"canary" not in renderer.render(person(), NOW).data


def test_a_variant_renders_to_the_same_octets_every_time() -> None:
    compiled = frozen(HTML)
    assert send(compiled, person(city="Solo")).data == send(compiled, person(city="Solo")).data
    assert Frozen.load(compiled.payload).dump() == compiled.payload


def test_a_payload_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="another version"):
        Renderer(CompiledVariant("A", (), b'{"version":0}'), envelope(), TOKENS)
