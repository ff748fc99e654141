"""Pieces of quoted-printable join to what was encoded, whatever the pieces were."""

import quopri

from hypothesis import example, given
from hypothesis import strategies as st

from esp.wire.quoted_printable import encode_piece

TEXTS = st.lists(
    st.one_of(
        st.text(max_size=200),
        st.text(alphabet=" .=F\nrom\té", max_size=200),
        st.integers(70, 80).map(lambda n: "x" * n),
        st.integers(70, 80).map(lambda n: "é" + "x" * n + " "),
    ),
    max_size=6,
)


@given(TEXTS)
@example(["a ", "\n", ".", "From ", "x" * 75 + " ", "\n"])
def test_joined_pieces_decode_to_the_joined_text(texts: list[str]) -> None:
    encoded = b"".join(map(encode_piece, texts))
    lines = encoded.split(b"\r\n")
    assert all(len(line) <= 76 and not line.startswith((b".", b"From ")) for line in lines)
    assert all(not line.endswith((b" ", b"\t")) for line in lines)
    assert encoded.isascii()
    assert b"\n" not in encoded.replace(b"\r\n", b"")
    assert b"\r" not in encoded.replace(b"\r\n", b"")
    expected = b"".join(
        text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode("utf-8", "replace")
        for text in texts
    )
    assert quopri.decodestring(encoded) == expected
