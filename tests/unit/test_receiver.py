"""The receiver of the tests is itself a test: no message that is not signed as it should be gets past it."""

import asyncio
import base64
import re
import smtplib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest

from esp.model.content import SigningKey
from esp.wire.dkim import RSA, generate_key
from tests import dkim_verifiers
from tests.dkim_verifiers import ALGORITHMS, faults
from tests.mailing import frozen, keys, person, records, send
from tests.receiver import Receiver, receiving

HTML = "<p>Halo {{ contact.first_name }}, <a href='https://toko.example/1'>lihat</a></p><pre>\n.\n..dots\n</pre>"
_SIGNATURE = re.compile(rb"(?P<before>\tb=)(?P<value>[A-Za-z0-9+/=\s]+)(?=\r\n\S)")


@cache
def signed(*signers: SigningKey) -> bytes:
    return send(frozen(HTML), person(first_name="Sãri"), keys=signers or keys()).data


def forged(message: bytes, index: int) -> bytes:
    """``message`` with one bit of its signature number ``index`` (from the top) turned."""
    found = list(_SIGNATURE.finditer(message))[index]
    value = bytearray(base64.b64decode(found["value"]))
    value[7] ^= 1
    return message[: found.start("value")] + base64.b64encode(bytes(value)) + message[found.end("value") :]


async def deliver(message: bytes, receiver: Receiver) -> None:
    """By somebody else's client, octet for octet."""

    def talk() -> None:
        with smtplib.SMTP("127.0.0.1", receiver.port, "sender.example", 10) as client:
            client.ehlo()
            client.mail("news@toko.example")
            client.rcpt("budi@example.com")
            assert client.data(message)[0] == 250

    await asyncio.to_thread(talk)


async def receive(
    *messages: bytes, algorithms: Sequence[str] = ALGORITHMS, fail: Exception | None = None
) -> list[bytes]:
    """What a receiver took, after it has been verified; ``fail`` is raised in its block."""
    async with receiving(Receiver(algorithms=algorithms)) as receiver:
        for message in messages:
            await deliver(message, receiver)
        if fail is not None:
            raise fail
    return receiver.messages


async def test_what_is_signed_as_it_should_be_gets_past_the_receiver() -> None:
    assert await receive(signed()) == [signed()]


async def test_an_altered_message_fails_the_test_that_received_it() -> None:
    altered = signed().replace(b"lihat", b"klik!")
    with pytest.raises(AssertionError, match=r"message 1: by dkimpy the signatures are \[False, False\]"):
        await receive(signed(), altered)


async def test_a_fault_of_the_test_itself_is_not_hidden_by_its_mail() -> None:
    with pytest.raises(ValueError, match="the test's own"):
        await receive(signed().replace(b"lihat", b"klik!"), fail=ValueError("the test's own"))


async def test_what_should_be_unsigned_must_be() -> None:
    with pytest.raises(AssertionError, match="but should be"):
        await receive(signed(), algorithms=())


@pytest.mark.parametrize("name", ["dkimpy", "OpenDKIM"])
@pytest.mark.parametrize(("index", "found"), [(0, [False, True]), (1, [True, False])])
def test_each_verifier_checks_each_signature_by_itself(name: str, index: int, found: Sequence[bool]) -> None:
    assert f"by {name} the signatures are {list(found)}" in faults(forged(signed(), index), records())


@pytest.mark.parametrize(("blind", "seeing"), [("dkimpy_results", "OpenDKIM"), ("opendkim_results", "dkimpy")])
def test_neither_verifier_is_believed_alone(blind: str, seeing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dkim_verifiers, blind, lambda *_: [True, True])
    assert faults(forged(signed(), 1), records()) == [f"by {seeing} the signatures are [True, False]"]


def _somebody_elses() -> bytes:
    return signed(*(replace(key, domain="evil.example") for key in keys()))


def _with_another_key() -> bytes:
    return signed(replace(keys()[0], private_pem=generate_key(RSA)[0]), keys()[1])


@pytest.mark.parametrize("bad", [
    lambda: signed(keys()[0]), lambda: signed(keys()[1]), lambda: signed(*reversed(keys())), _somebody_elses,
    _with_another_key, lambda: signed()[signed().index(b"\r\nDate:") + 2 :], lambda: b"Subject: forged\r\n" + signed(),
    lambda: b"From: x@evil.example\r\n" + signed(), lambda: signed() + b"more\r\n", lambda: b"no message",
])  # fmt: skip
def test_nothing_else_passes(bad: Callable[[], bytes]) -> None:
    published = records() | {name.replace("toko", "evil"): text for name, text in records().items()}
    assert faults(signed(), published) == []
    assert faults(bad(), published)


def test_both_verifiers_know_both_algorithms() -> None:
    for index, algorithm in enumerate(ALGORITHMS):
        assert faults(signed(keys()[index]), records(), [algorithm]) == []
