"""Any octets at all are read within bounds, and never a failure is taken from a returned mail."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from esp.inbound.message import TooComplexError, read
from esp.inbound.recognise import Incoming, Mailbox, recognise
from esp.verdict import judge_report
from tests.mailroom_house import DSN, sample

SAMPLES = [sample(path.name) for path in sorted(DSN.glob("*.eml"))]
CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\r", b"\n\n", b"\x00", b"\r\n--", b"=?utf-8?b?", b"Content-Type: multipart/mixed; boundary=\r\n",
                     b"a@b " * 200, b"<style" * 100, b"550 " * 100, b"\xff\xfe", b"message/rfc822"]),
)), max_size=6)


def _judged(raw: bytes) -> None:
    try:
        found = recognise(Incoming(read(raw), Mailbox.RETURN_PATH, null_sender=True))
    except TooComplexError:
        return
    for report in found.reports:
        judge_report(report.status, report.action, report.diagnostic, report.prose)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), CUTS)
def test_broken_samples_are_read(raw: bytes, cuts: list[tuple[float, int, bytes]]) -> None:
    for place, length, new in cuts:
        at = int(place * len(raw))
        raw = raw[:at] + new + raw[at + length :]
    _judged(raw)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000))
def test_any_octets_are_read(raw: bytes) -> None:
    _judged(raw)


def test_text_made_to_be_slow_is_not() -> None:
    head = b"From: MAILER-DAEMON@x.example\r\nSubject: failure notice\r\n\r\ncould not be delivered\r\n"
    pumps = (b"a@", b"a@b ", b"550 ", b"to: ", b"<", b"<a", b"delivered to ", b" ", b"\r\n\r\n", b"Status: ")
    for pump in pumps:
        before = time.process_time()
        _judged(head + pump * (100_000 // len(pump)))
        assert time.process_time() - before < 1.0, pump


def test_a_returned_mail_is_never_searched_for_failures() -> None:
    raw = sample("27-unknown-user-prose.eml")
    found = recognise(Incoming(read(raw), Mailbox.RETURN_PATH, null_sender=True))
    assert [report.recipient for report in found.reports] == ["orang0@warung.example"]
    assert "budi@lain.example" not in found.reports[0].prose
