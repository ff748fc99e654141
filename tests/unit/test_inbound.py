"""Reading and recognising received mail: reports, the order of the rules, and mail made to break a parser."""

import resource
import signal

import pytest

from esp.inbound import service
from esp.inbound.correlate import addressed
from esp.inbound.feedback import complaint
from esp.inbound.message import TooComplexError, read
from esp.inbound.recognise import RULES, Incoming, Mailbox, recognise
from esp.inbound.report import recipient_reports
from esp.inbound.service import UNREADABLE, Reader
from esp.ports.mailroom import InboundKind
from tests.mailroom_house import DSN, SIGNER, sample

TO = {"10-leave.eml": Mailbox.UNSUBSCRIBE, "28-leave-address.eml": Mailbox.UNSUBSCRIBE, "29-bulk.eml": Mailbox.COMMAND,
      "30-confirm.eml": Mailbox.CONFIRM, "31-command.eml": Mailbox.COMMAND}


def _rule(name: str) -> str:
    to = TO.get(name, Mailbox.RETURN_PATH)
    return recognise(Incoming(read(sample(name)), to, name not in TO)).rule


def test_every_rule_but_the_postmasters_decides_a_sample() -> None:
    decided = {_rule(path.name) for path in DSN.glob("*.eml")}
    assert decided == {rule.name for rule in RULES} - {"postmaster"}


def test_a_report_is_read_with_its_folded_diagnostic() -> None:
    (report,) = recipient_reports(read(sample("01-hard.eml")))
    assert (report.recipient, report.action, report.status) == ("orang0@warung.example", "failed", "5.1.1")
    assert report.diagnostic.endswith("Recipient address rejected: User unknown in virtual mailbox table")


def test_a_feedback_report_names_where_our_token_may_stand() -> None:
    found = complaint(read(sample("07-complaint.eml", return_path="b-x@bounce.toko.example")))
    assert found is not None
    assert found.type == "abuse"
    assert set(found.evidence) == {"b-x@bounce.toko.example"}


def test_the_first_valid_token_decides_whose_message_it_is() -> None:
    good = SIGNER.return_path(1, 2, 3)
    found = addressed(SIGNER, ("b-forged@x.example", f"{good}@x.example", f"{SIGNER.return_path(4, 5, 6)}@x.example"))
    assert found.mailbox is Mailbox.RETURN_PATH
    assert found.claims is not None
    assert found.claims.delivery_id == 3


def _nested(depth: int) -> bytes:
    lines = ["MIME-Version: 1.0"]
    for level in range(depth):
        lines += [f'Content-Type: multipart/mixed; boundary="b{level}"', "", f"--b{level}"]
    return "\r\n".join([*lines, "Content-Type: text/plain", "", "x"]).encode()


BOMBS = {
    "deep": _nested(2000),
    "a hundred deep": _nested(100),
    "many parts": b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n\r\n\r\n" * 50_000 + b"--b--\r\n",
    "a megabyte of header": b"X: " + b"a" * 1_000_000 + b"\r\n\r\nx\r\n",
    "a hundred thousand headers": b"X: y\r\n" * 100_000 + b"\r\nx\r\n",
    "dashes": b"\r\n".join([b"Subject: x", b"", *[b"--"] * 60_000]),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_before_it_is_parsed(bomb: str) -> None:
    with pytest.raises(TooComplexError):
        read(BOMBS[bomb])


@pytest.mark.parametrize("raw", [b"", b"\x00" * 5000, b"\xff\xfe\r\n\r\n", b"Content-Type: message/delivery-status",
                                 b"Content-Type: multipart/report; boundary=\r\n\r\n--\r\n", b":\r\n\r\n",
                                 b"Content-Type: =?utf-8?q?multipart/=00?=\r\n\r\n"])
def test_broken_mail_is_other_mail(raw: bytes) -> None:
    assert recognise(Incoming(read(raw), Mailbox.RETURN_PATH, True)).kind is InboundKind.OTHER


async def test_the_reader_answers_across_processes_and_survives_a_bomb() -> None:
    reader = Reader()
    try:
        assert await reader.recognise(BOMBS["deep"], Mailbox.RETURN_PATH, True) == UNREADABLE
        good = await reader.recognise(sample("07-complaint.eml"), Mailbox.POSTMASTER, True)
        assert good.kind is InboundKind.COMPLAINT
        assert good == recognise(Incoming(read(sample("07-complaint.eml")), Mailbox.POSTMASTER, True))
    finally:
        await reader.close()


async def test_a_reader_that_takes_too_long_is_killed_and_the_next_mail_is_read() -> None:
    reader = Reader(patience=0.0)  # nothing is quick enough
    try:
        assert await reader.recognise(sample("01-hard.eml"), Mailbox.RETURN_PATH, True) == UNREADABLE
        reader._patience = 60.0
        found = await reader.recognise(sample("01-hard.eml"), Mailbox.RETURN_PATH, True)
        assert found.kind is InboundKind.BOUNCE
    finally:
        await reader.close()


async def test_the_readers_memory_is_bounded_by_the_system() -> None:
    reader = Reader()
    try:
        await reader.recognise(sample("01-hard.eml"), Mailbox.RETURN_PATH, True)
        assert reader._child is not None
        assert resource.prlimit(reader._child.pid, resource.RLIMIT_AS) == (512 * 1024 * 1024,) * 2
        assert resource.prlimit(reader._child.pid, resource.RLIMIT_CORE) == (0, 0)
    finally:
        await reader.close()


def test_a_mail_that_takes_too_much_processor_time_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    def spin(_raw: bytes) -> None:
        while True:
            pass

    monkeypatch.setattr(service, "read", spin)
    monkeypatch.setattr(service, "_CPU_SECONDS", 0.05)
    before = signal.signal(signal.SIGPROF, service._out_of_time)
    try:
        assert service.judge({"raw": "", "mailbox": Mailbox.RETURN_PATH.value, "null_sender": True}) == UNREADABLE
    finally:
        signal.signal(signal.SIGPROF, before)
