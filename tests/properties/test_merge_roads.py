"""Segments picked from a row, or every node run in its turn: whatever the template and the data, the same octets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from esp.adapters.smtp.wire import on_the_wire
from esp.merge.evaluate import Coding, Program
from esp.merge.parse import Tree, parse
from esp.render.message import WIRE_HTML, WIRE_TEXT, Renderer
from esp.wire.dkim import body_hash
from tests.mailing import NOW, TOKENS, envelope, frozen, person

LEAVES = st.sampled_from(
    [
        "Dear reader\n", ".", "From here ", "a=b ", "set", "{{ contact.name }}", "{{ contact.name or 'you' }}",
        "{{ contact.city | upper }}", "{{ told }}", "{{ contact.tags | length }}",
        "{{ contact.name }}{{ contact.name }}", "{{ shop.name }}", "{% if shop.name %}{{ shop.name }}{% endif %}",
        "{% set shop = contact %}",
    ]
)  # fmt: skip
BLOCKS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map("".join),
        inner.map(lambda body: f"{{% if contact.city %}}{body}{{% else %}}-{{% endif %}}"),
        inner.map(lambda body: f"{{% for t in contact.tags %}}{body}{{{{ t }}}}{{% endfor %}}"),
        inner.map(lambda body: f"{{% set told = contact.name %}}{body}{{{{ told }}}}"),
    ),
    max_leaves=8,
)
WORDS = st.text(alphabet=st.sampled_from("\r\n\x00.=<>&\"' éF\u2028rom aA:-_\ue002"), max_size=90)
CONTACTS = st.fixed_dictionaries(
    {"name": st.none() | WORDS, "city": st.none() | WORDS, "tags": st.lists(WORDS, max_size=3)}
)


FACTS: dict[str, dict[str, str]] = {"shop": {"name": "Toko <Büku>."}}


def octets(tree: Tree, coding: Coding[bytes], contact: dict[str, object], in_turn: bool) -> bytes:
    out: list[bytes] = []
    Program(tree, coding, in_turn, FACTS).run({"contact": contact, **FACTS}, out)
    return b"".join(out)


@settings(max_examples=300, deadline=None)
@given(BLOCKS, CONTACTS)
def test_both_roads_give_the_same_octets(source: str, contact: dict[str, object]) -> None:
    tree = parse(source)
    for coding in (WIRE_TEXT, WIRE_HTML):
        short = octets(tree, coding, contact, False)
        assert short == octets(tree, coding, contact, True)
        assert not short or on_the_wire(short) == short


@settings(max_examples=100, deadline=None)
@given(WORDS, WORDS)
def test_a_message_that_says_it_was_checked_needs_nothing_on_the_wire(name: str, city: str) -> None:
    compiled = frozen(
        "<html><body><p>.{{ contact.first_name }}</p><p>{{ contact.city }}{{ contact.city }}</p></body></html>",
        subject="{{ contact.first_name }}",
    )
    message = Renderer(compiled, envelope(keys=()), TOKENS).render(person(first_name=name, city=city), NOW)
    assert message.checked
    assert on_the_wire(message.data) == message.data
    body = message.data.partition(b"\r\n\r\n")[2]
    assert body_hash(body) == body_hash(body.rstrip(b"\r\n") + b"\r\n")
