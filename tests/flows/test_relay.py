"""What an app hands over is kept, signed, sent and accounted for."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esp.model.relay import MessageState
from tests.relay_house import House, house_at
from tests.sending_app import working


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_at(database_url, tmp_path) as found:
        yield found


async def test_accepted_mail_arrives_signed(house: House) -> None:
    accepted = await house.taken()
    assert accepted.state is MessageState.ACCEPTED
    assert [it.suppressed for it in accepted.recipients] == [""]
    async with working(house.app), asyncio.timeout(30):
        await house.receiver.wait_for(1)
    head, _, body = house.receiver.messages[0].partition(b"\r\n\r\n")
    assert head.endswith(b"From: Toko <app@toko.example>\r\nTo: ani@rumah.example\r\nSubject: Your order")
    assert f"Message-ID: <{accepted.header_id}>".encode() in head
    assert body == b"Thank you.\r\n"
