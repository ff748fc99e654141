"""The edge as it is served, on one port with the admin: none of the admin's guards stands before a recipient."""

from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from admin_ui import app as admin
from esp import wiring
from esp.app import App
from esp.settings import load
from esp.wire.tokens import Purpose
from tests.edge_world import make_world
from tracking.edge.door import build_edge
from tracking.edge.pages import MAIL_POLICY, PAGE_POLICY


async def test_a_recipient_meets_none_of_the_admins_guards(tmp_path: Path) -> None:
    app: App = await wiring.build(load(server={"data_dir": tmp_path}))
    world = await make_world(app.store.database, tmp_path)  # type: ignore[attr-defined]
    root = admin.build(app)
    build_edge(app).mount(root)
    client: TestClient[web.Request, web.Application] = TestClient(TestServer(root))
    await client.start_server()
    ids = (world.sent.workspace_id, world.sent.campaign_id, world.sent.deliveries[0])
    try:
        token = app.tokens.sign(Purpose.UNSUBSCRIBE, *ids)
        page = await client.get(f"/u/{token}", allow_redirects=False)
        assert (page.status, page.headers["Content-Security-Policy"]) == (200, PAGE_POLICY)
        where = (await page.text()).split('rel="stylesheet" href="')[1].split('"')[0]
        style = await client.get(where, allow_redirects=False)
        assert (style.status, style.content_type) == (200, "text/css")
        view = await client.get(f"/v/{app.tokens.sign(Purpose.VIEW, *ids)}")
        assert (view.status, view.headers["Content-Security-Policy"]) == (200, MAIL_POLICY)
        assert view.headers["Referrer-Policy"] == "no-referrer"
        assert (await client.get(f"/o/{app.tokens.sign(Purpose.OPEN, *ids)}.gif")).content_type == "image/gif"
        click = await client.get(f"/c/{app.tokens.sign(Purpose.CLICK, *ids)}/0", allow_redirects=False)
        assert click.headers["Location"] == "https://shop.example/one"
        for headers in ({}, {"Origin": "https://mail.example", "Sec-Fetch-Site": "cross-site"}):
            one_click = await client.post(
                f"/u/{token}", data="List-Unsubscribe=One-Click", allow_redirects=False,
                headers={"Content-Type": "application/x-www-form-urlencoded", **headers},
            )
            assert one_click.status == 200
        assert not client.session.cookie_jar.filter_cookies(client.make_url("/"))
    finally:
        await client.close()
        await app.close()
