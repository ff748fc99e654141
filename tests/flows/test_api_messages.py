"""Messages over HTTP: kept, sent, refused in words, scheduled, called off, found again."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from esp.model.relay import Scope
from tests.api_house import MESSAGE, ApiHouse, api_house
from tests.sending_app import working


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[ApiHouse]:
    async with api_house(database_url, tmp_path) as found:
        yield found


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[ApiHouse]:
    """On SQLite alone, for what the kind of database is nothing to."""
    async with api_house(f"sqlite:///{tmp_path / 'small.db'}", tmp_path) as found:
        yield found


async def delivered(api: ApiHouse, count: int) -> list[Any]:
    async with working(api.app), asyncio.timeout(60):
        await api.house.receiver.wait_for(count)
    return [message_from_bytes(raw, policy=policy.default) for raw in api.house.receiver.messages]


async def test_a_message_is_accepted_and_arrives(api: ApiHouse) -> None:
    answer = await api.mine.post("/messages", MESSAGE)
    assert answer.status == 202, answer.body
    assert answer.body["state"] == "accepted"
    (mail,) = await delivered(api, 1)
    assert mail["Subject"] == "Your order"
    assert mail["Message-ID"] == f"<{answer.body['message_id']}>"
    async with asyncio.timeout(30):
        while True:
            found = await api.mine.get(f"/messages/{answer.body['id']}")
            if found.body["recipients"][0]["state"] == "delivered":
                break
            await asyncio.sleep(0.05)
    assert found.body["recipients"][0]["address"] == "ani@rumah.example"
    events = await api.mine.get(f"/messages/{answer.body['id']}/events")
    assert "delivered" in [one["type"] for one in events.body["data"]]


async def test_everything_a_message_may_hold_arrives_whole(small: ApiHouse) -> None:
    image = bytes(range(256)) * 20
    answer = await small.mine.post("/messages", {
        **MESSAGE, "to": ["Ani, Bu <ani@rumah.example>", '"Budi \\"B\\"" <budi@rumah.example>'],
        "cc": "Citra <citra@rumah.example>", "bcc": ["diam@rumah.example"], "reply_to": "Layanan <cs@toko.example>",
        "subject": "Pesanan Anda — sudah dikirim", "html": "<p>Halo <img src='cid:logo'></p>",
        "headers": {"X-Order": "42", "List-Unsubscribe": "<https://toko.example/" + "u" * 200 + ">"},
        "attachments": [
            {"filename": "logo.png", "content": base64.b64encode(image).decode(), "content_type": "image/png",
             "content_id": "logo"},
            {"filename": "tagihan November — lengkap.pdf", "content": base64.b64encode(b"%PDF-1.4").decode(),
             "content_type": "application/pdf"}]})
    assert answer.status == 202, answer.body
    mail = (await delivered(small, 4))[0]
    assert mail["To"].addresses[0].display_name == "Ani, Bu"
    assert mail["To"].addresses[1].display_name == 'Budi "B"'
    assert mail["Cc"].addresses[0].addr_spec == "citra@rumah.example"
    assert mail["Bcc"] is None
    assert b"diam@" not in b"".join(small.house.receiver.messages)
    assert mail["Reply-To"].addresses[0].addr_spec == "cs@toko.example"
    assert mail["Subject"] == "Pesanan Anda — sudah dikirim"
    assert mail["X-Order"] == "42"
    assert b"List-Unsubscribe: <https://toko.example/" in small.house.receiver.messages[0]
    assert mail.get_content_type() == "multipart/mixed"
    related, pdf = mail.iter_parts()
    assert pdf.get_filename() == "tagihan November — lengkap.pdf"
    assert pdf.get_content() == b"%PDF-1.4"
    alternative, logo = related.iter_parts()
    assert logo["Content-ID"] == "<logo>"
    assert logo.get_content() == image
    assert [one.get_content_type() for one in alternative.iter_parts()] == ["text/plain", "text/html"]
    assert set(small.house.receiver.taken) == {
        "ani@rumah.example", "budi@rumah.example", "citra@rumah.example", "diam@rumah.example"}


async def test_a_template_is_filled_in_with_data(small: ApiHouse) -> None:
    made = await small.mine.post("/templates", {
        "name": "order-sent", "subject": "Order {{ order.number }}",
        "html": "<p>Hello {{ name }}{% for one in order.lines %}, {{ one }}{% endfor %}</p>"})
    assert made.status == 201, made.body
    answer = await small.mine.post("/messages", {
        "from": "app@toko.example", "to": "ani@rumah.example", "template": "order-sent",
        "data": {"name": "<Ani>", "order": {"number": 42, "lines": ["a", "b"]}}})
    assert answer.status == 202, answer.body
    (mail,) = await delivered(small, 1)
    assert mail["Subject"] == "Order 42"
    assert mail.get_content().strip() == "<p>Hello &lt;Ani&gt;, a, b</p>"


async def test_refusals_name_the_field_and_the_reason(small: ApiHouse) -> None:
    post = small.mine.post
    foreign = await post("/messages", {**MESSAGE, "from": "x@elsewhere.example"})
    assert (foreign.status, foreign.body["errors"][0]["field"]) == (403, "from")
    typo = await post("/messages", {**MESSAGE, "subjekt": "x"})
    assert typo.status == 422
    assert typo.body["errors"] == [{"field": "subjekt", "message": "There is no such field; did you mean subject?"}]
    empty = await post("/messages", {"from": "app@toko.example", "to": "ani@rumah.example"})
    assert (empty.status, empty.body["errors"][0]["field"]) == (422, "text")
    nobody = await post("/messages", {"from": "app@toko.example", "text": "x"})
    assert (nobody.status, nobody.body["errors"][0]["field"]) == (422, "to")
    header = await post("/messages", {**MESSAGE, "headers": {"Received": "x"}})
    assert (header.status, header.body["errors"][0]["field"]) == (422, "headers.Received")
    template = await post("/messages", {**MESSAGE, "text": "{{ broken", "data": {}})
    assert (template.status, template.body["errors"][0]["field"]) == (422, "text")
    loops = "{% for a in x %}{% for b in x %}{{ b }}{% endfor %}{% endfor %}"
    bomb = await post("/messages", {**MESSAGE, "text": loops, "data": {"x": list(range(1000))}})
    assert (bomb.status, bomb.body["errors"][0]["field"]) == (422, "data")
    crowd = await post("/messages", {**MESSAGE, "to": [f"a{n}@rumah.example" for n in range(1001)]})
    assert crowd.status == 422
    assert not small.house.receiver.messages


async def test_a_batch_is_sent_and_refuses_one_by_one(small: ApiHouse) -> None:
    await small.mine.post("/suppressions", {"addresses": ["budi@rumah.example"]})
    streams = await small.app.store.relay.streams(small.house.workspace)
    stream = next(one for one in streams if one.handle == "transactional")
    await small.app.store.relay.change_stream(
        small.house.workspace, stream.public_id, name=stream.name, track_opens=False, track_clicks=False,
        suppressed=type(stream.suppressed)("refuse"), keep_days=1, keep_octets=0)
    answer = await small.mine.post("/messages/batch", {"messages": [
        {**MESSAGE, "subject": "one"}, {**MESSAGE, "to": "budi@rumah.example"}, {**MESSAGE, "subject": "three"}]})
    assert answer.status == 202, answer.body
    one, two, three = answer.body["data"]
    assert one["message"]["id"] != three["message"]["id"]
    assert two["message"] is None
    assert two["problem"]["status"] == 422
    malformed = await small.mine.post("/messages/batch", {"messages": [MESSAGE, {**MESSAGE, "to": "nobody"}]})
    assert malformed.status == 422
    assert malformed.body["errors"][0]["field"] == "messages.1.to"
    mails = await delivered(small, 2)
    assert sorted(mail["Subject"] for mail in mails) == ["one", "three"]


async def test_an_idempotency_key_sends_once(api: ApiHouse) -> None:
    first = await api.mine.post("/messages", MESSAGE, Idempotency_Key="order-42")
    again = await api.mine.post("/messages", MESSAGE, Idempotency_Key="order-42")
    assert first.status == again.status == 202
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await api.mine.post("/messages", {**MESSAGE, "subject": "Another"}, Idempotency_Key="order-42")
    assert other.status == 409
    elsewhere = await api.theirs.post("/messages", MESSAGE, Idempotency_Key="order-42")
    assert elsewhere.status == 403  # their own key, and not their domain: nothing of ours is seen
    many = await asyncio.gather(*(api.mine.post("/messages", MESSAGE, Idempotency_Key="many") for _ in range(10)))
    assert {one.status for one in many} <= {202, 409}
    assert len({one.body["id"] for one in many if one.status == 202}) == 1
    assert len((await api.mine.get("/messages")).body["data"]) == 2


async def test_what_was_refused_may_be_sent_again_with_the_same_key(small: ApiHouse) -> None:
    bad = await small.mine.post("/messages", {**MESSAGE, "to": "nobody"}, Idempotency_Key="k")
    assert bad.status == 422
    good = await small.mine.post("/messages", MESSAGE, Idempotency_Key="k")
    assert good.status == 202


async def test_a_kept_message_is_not_sent_twice_by_a_process_that_died_before_it_kept_the_answer(
    small: ApiHouse,
) -> None:
    first = await small.mine.post("/messages", MESSAGE, Idempotency_Key="k")
    async with small.app.store.database.write() as connection:  # type: ignore[attr-defined]
        await connection.exec_driver_sql("DELETE FROM api_answers")
    again = await small.mine.post("/messages", MESSAGE, Idempotency_Key="k")
    assert again.body["id"] == first.body["id"]


async def test_a_scheduled_message_waits_is_moved_and_called_off(small: ApiHouse) -> None:
    made = await small.mine.post("/messages", {**MESSAGE, "send_at": "2096-01-01T00:00:00+07:00"})
    assert made.status == 422  # more than ninety days ahead
    soon = small.app.clock.now().replace(microsecond=0)
    assert (await small.mine.post("/messages", {**MESSAGE, "send_at": "2026-01-01T00:00:00"})).status == 422
    at = (soon + timedelta(days=1)).isoformat()
    made = await small.mine.post("/messages", {**MESSAGE, "send_at": at})
    assert (made.status, made.body["state"]) == (202, "scheduled")
    path = f"/messages/{made.body['id']}"
    assert (await small.mine.ask("PATCH", path, {"send_at": (soon + timedelta(days=2)).isoformat()})).status == 200
    assert (await small.mine.ask("PATCH", path, {"send_at": (soon - timedelta(days=2)).isoformat()})).status == 422
    called_off = await small.mine.post(f"{path}/cancel")
    assert (called_off.status, called_off.body["state"]) == (200, "cancelled")
    assert (await small.mine.post(f"{path}/cancel")).status == 409


async def test_a_held_message_goes_out_when_it_is_released(small: ApiHouse) -> None:
    made = await small.mine.post("/messages", {**MESSAGE, "hold": True})
    assert made.body["state"] == "held"
    released = await small.mine.post(f"/messages/{made.body['id']}/release")
    assert (released.status, released.body["state"]) == (200, "accepted")
    assert len(await delivered(small, 1)) == 1


async def test_messages_are_found_by_what_is_known_of_them(api: ApiHouse) -> None:
    for number in range(5):
        await api.mine.post("/messages", {
            **MESSAGE, "to": f"p{number}@rumah.example", "subject": f"Order {number}", "tags": [f"t{number % 2}"],
            "metadata": {"n": str(number)}})
    async def subjects(query: str) -> list[str]:
        return [one["subject"] for one in (await api.mine.get(f"/messages?{query}")).body["data"]]

    assert await subjects("to=P3@rumah.example") == ["Order 3"]
    assert await subjects("subject=oRDER%204") == ["Order 4"]
    assert await subjects("tag=t1") == ["Order 3", "Order 1"]
    assert await subjects("from=app@toko.example&limit=2") == ["Order 4", "Order 3"]
    assert await subjects("state=held") == []
    first = await api.mine.get("/messages?limit=3")
    rest = await api.mine.get(f"/messages?limit=3&cursor={first.body['next']}")
    assert [one["subject"] for one in (*first.body["data"], *rest.body["data"])] == [
        f"Order {n}" for n in (4, 3, 2, 1, 0)]
    assert rest.body["next"] is None
    assert first.body["data"][0]["metadata"] == {"n": "4"}
    assert (await api.theirs.get("/messages")).body["data"] == []
    assert (await api.theirs.get(f"/messages/{first.body['data'][0]['id']}")).status == 404
    assert (await api.theirs.get(f"/messages?cursor={first.body['next']}")).status == 422


async def test_a_sandbox_key_delivers_nothing(small: ApiHouse) -> None:
    client = await small.client(Scope.SEND, sandbox=True)
    answer = await client.post("/messages", MESSAGE)
    assert (answer.status, answer.body["state"]) == (202, "sandbox")
