"""Events told to apps: signed so that the standard's own library verifies them, in order, again after a failure."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook

from esp.adapters.hooks import HttpHooks
from esp.adapters.sql.schema import webhook_endpoints
from esp.flows.webhooks import GIVE_UP, Running, run_webhooks, serve, wait_after
from tests.api_house import MESSAGE, ApiHouse, api_house
from tests.sending_app import working


class App:
    """An app's own server: what it was told, and how it answers."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[int], int] = lambda _time: 200
        root = web.Application()
        root.router.add_post("/hooks", self._take)
        self.server = TestServer(root)

    async def _take(self, request: web.Request) -> web.Response:
        self.told.append((dict(request.headers), await request.read()))
        status = self.answer(len(self.told))
        if status == 0:
            await asyncio.sleep(3600)
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.told]


@pytest.fixture
async def shop() -> AsyncIterator[App]:
    it = App()
    async with it.server:
        yield it


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[ApiHouse]:
    async with api_house(database_url, tmp_path) as found:
        found.app.hooks = HttpHooks(allow_private=True)
        yield found


async def tell(api: ApiHouse) -> None:
    """One round of the dispatcher, until everybody it began with is done."""
    running = Running()
    for _ in range(3):  # on PostgreSQL a place is safe when the writers of before have ended
        await run_webhooks(api.app, running)
        await asyncio.gather(*running.tasks.values())


async def hook(api: ApiHouse, shop: App, *types: str) -> dict[str, Any]:
    made = await api.mine.post("/webhooks", {"url": str(shop.server.make_url("/hooks")), "types": list(types)})
    assert made.status == 201, made.body
    return dict(made.body)


async def test_a_delivered_message_is_told_signed_and_in_order(api: ApiHouse, shop: App) -> None:
    made = await hook(api, shop)
    sent = await api.mine.post("/messages", MESSAGE)
    async with working(api.app), asyncio.timeout(60):
        await api.house.receiver.wait_for(1)
    async with asyncio.timeout(60):
        while [it["type"] for it in shop.bodies()] != ["accepted", "delivered"]:
            await tell(api)
            await asyncio.sleep(0.05)
    for headers, body in shop.told:
        Webhook(made["secret"]).verify(body, headers)
    assert {it["data"]["message"] for it in shop.bodies()} == {sent.body["id"]}
    assert len({headers["webhook-id"] for headers, _ in shop.told}) == 2
    attempts = await api.mine.get(f"/webhooks/{made['id']}/attempts")
    assert [one["status"] for one in attempts.body["data"]] == [200, 200]
    await tell(api)
    assert len(shop.told) == 2


async def test_what_was_not_taken_comes_again_and_what_was_does_not(api: ApiHouse, shop: App) -> None:
    made = await hook(api, shop, "accepted")
    for _ in range(3):
        await api.mine.post("/messages", MESSAGE)
    shop.answer = lambda time: 500 if time == 2 else 200
    await tell(api)
    failing = await api.mine.get(f"/webhooks/{made['id']}")
    assert failing.body["failing_since"]
    ids = [headers["webhook-id"] for headers, _ in shop.told]
    assert len(ids) == 3
    await api.mine.ask("PATCH", f"/webhooks/{made['id']}", {"paused": True})
    await api.mine.ask("PATCH", f"/webhooks/{made['id']}", {"paused": False})  # now, instead of after the wait
    await tell(api)
    assert [headers["webhook-id"] for headers, _ in shop.told] == [*ids, ids[1]]
    assert (await api.mine.get(f"/webhooks/{made['id']}")).body["failing_since"] is None


async def test_a_replay_tells_everything_once_more_under_the_same_ids(api: ApiHouse, shop: App) -> None:
    made = await hook(api, shop)
    await api.mine.post("/messages", MESSAGE)
    await tell(api)
    since = (api.app.clock.now() - timedelta(hours=1)).isoformat()
    assert (await api.mine.post(f"/webhooks/{made['id']}/replay", {"since": since})).status == 202
    await tell(api)
    one, two = (headers["webhook-id"] for headers, _ in shop.told)
    assert one == two


async def test_an_endpoint_that_fails_for_days_or_is_gone_is_paused(api: ApiHouse, shop: App) -> None:
    made = await hook(api, shop)
    await api.mine.post("/messages", MESSAGE)
    shop.answer = lambda _time: 500
    await tell(api)
    (endpoint,) = await api.app.store.webhooks.all(api.house.workspace)
    assert endpoint.failing_since is not None
    before = endpoint.failing_since - GIVE_UP
    async with api.app.store.database.write() as connection:  # type: ignore[attr-defined]
        await connection.execute(update(webhook_endpoints).values(failing_since=before))
    (endpoint,) = await api.app.store.webhooks.all(api.house.workspace)
    assert endpoint.failing_since == before
    assert not await serve(api.app, endpoint, await api.app.store.webhooks.safe_until())
    assert (await api.mine.get(f"/webhooks/{made['id']}")).body["paused_reason"]
    asked = len(shop.told)
    await tell(api)
    assert len(shop.told) == asked


async def test_a_hanging_endpoint_delays_no_other(api: ApiHouse, shop: App) -> None:
    hanging = App()
    hanging.answer = lambda _time: 0
    async with hanging.server:
        await hook(api, hanging)
        await hook(api, shop)
        await api.mine.post("/messages", MESSAGE)
        running = Running()
        async with asyncio.timeout(60):
            while not shop.told:
                await run_webhooks(api.app, running)
                await asyncio.sleep(0.02)
        assert len(shop.told) == 1
        await running.close()


async def test_nothing_private_is_reached_and_no_redirect_followed(api: ApiHouse, shop: App) -> None:
    shop.answer = lambda _time: 302
    made = await hook(api, shop)
    await api.mine.post("/messages", MESSAGE)
    await tell(api)
    assert (await api.mine.get(f"/webhooks/{made['id']}/attempts")).body["data"][0]["status"] == 302
    outside = HttpHooks(allow_private=False)
    port = shop.server.port
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "0"):
        status, said = await outside.post(f"http://{host}:{port}/hooks", {}, b"{}")
        assert status == 0, (host, said)
    assert len(shop.told) == 1
    await outside.close()


async def test_others_have_nothing_to_do_with_an_endpoint(api: ApiHouse, shop: App) -> None:
    made = await hook(api, shop)
    assert made["secret"].startswith("whsec_")
    assert "secret" not in str((await api.mine.get("/webhooks")).body)
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/attempts")):
        assert (await api.theirs.ask(method, f"/webhooks/{made['id']}{path}")).status == 404
    assert (await api.mine.post("/webhooks", {"url": "ftp://x.example/"})).status == 422
    assert (await api.mine.post("/webhooks", {"url": "https://u:p@x.example/"})).status == 422
    assert (await api.mine.post("/webhooks", {"url": "https://x.example/", "types": ["nope"]})).status == 422


def test_waits_double_up_to_an_hour() -> None:
    assert timedelta(seconds=3) < wait_after(1) < timedelta(seconds=7)
    assert timedelta(minutes=44) < wait_after(50) < timedelta(minutes=76)
