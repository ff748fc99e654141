"""``merpati mailbox`` and ``merpati inbound``, as a script uses them."""

import mailbox
from pathlib import Path

import pytest

from tests.dovecot import PASSWORD, USER, Dovecot
from tests.e2e.test_audience_commands import Merpati, merpati

__all__ = ["merpati"]


def test_a_mailbox_is_collected_from(merpati: Merpati, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Dovecot.start()
    try:
        monkeypatch.setenv("MERPATI_MAILBOXES__ALLOW_PRIVATE_ADDRESSES", "true")
        monkeypatch.setenv("MAILBOX_PASSWORD", PASSWORD)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        merpati("user", "add", "owner@toko.example", "--workspace", "Toko", "--json")
        server.put(b"Subject: one\r\n\r\nHello\r\n")
        added = merpati("mailbox", "add", "Bounces", "--host", "127.0.0.1", "--username", USER, "--port",
                        str(server.imaps), "--json")
        assert (added["name"], added["waiting"], "secret" in added) == ("Bounces", 1, False)
        assert "It works" in merpati("mailbox", "check", "Bounces")
        assert merpati("mailbox", "collect", "1").startswith("1 messages")
        assert merpati("mailbox", "collect", "1").startswith("0 messages")
        assert merpati("mailbox", "list", "--json")[0]["collected"] == 1
        merpati("mailbox", "check", "Nobody", ends=1)
        merpati("mailbox", "remove", "Bounces")
        assert merpati("mailbox", "list", "--json") == []
    finally:
        server.stop()


def test_mail_is_taken_in_from_files(merpati: Merpati, tmp_path: Path) -> None:
    merpati("user", "add", "owner@toko.example", "--workspace", "Toko", "--json")
    (tmp_path / "one.eml").write_bytes(b"Subject: one\r\n\r\nHello\r\n")
    (tmp_path / "large.eml").write_bytes(b"Subject: large\r\n\r\n" + b"x" * 11_000_000)
    box = mailbox.mbox(tmp_path / "two.mbox")
    for number in range(2):
        box.add(f"Subject: {number}\n\nHello\n".encode())
    box.close()
    folder = mailbox.Maildir(tmp_path / "dir")
    folder.add(b"Subject: kept\n\nHello\n")
    folder.close()
    taken = merpati("inbound", "one.eml", "large.eml", "two.mbox", "dir", "--json")
    assert (taken["stored"], len(taken["too_large"])) == (4, 1)
    (tmp_path / "empty").mkdir()
    merpati("inbound", "empty", ends=1)
