"""The API's door and its resources: who may, what is said where something is wrong, and that all of it works."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from openapi_spec_validator import OpenAPIV31SpecValidator

from esp.entry.api.all import GROUPS, mount
from esp.entry.api.body import Bodies
from esp.entry.api.problems import MEDIA_TYPE
from esp.errors import DependencyError
from esp.model.relay import Scope
from tests.api_house import MESSAGE, ApiHouse, Client, api_house

OPERATIONS = [operation for group in GROUPS for operation in group.all]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiHouse]:
    async with api_house(f"sqlite:///{tmp_path / 'api.db'}", tmp_path) as found:
        yield found


async def make_list(client: Client) -> str:
    made = await client.post("/lists", {"name": "News"})
    assert made.status == 201, made.body
    return str(made.body["id"])


# ---- the door --------------------------------------------------------------------------------------------------------


async def test_no_operation_is_open_without_a_key_and_its_scope(api: ApiHouse) -> None:
    nobody = Client(api.session, api.mine.base, "")
    wrong = Client(api.session, api.mine.base, api.mine.key[:-1] + ("0" if api.mine.key[-1] != "0" else "1"))
    useless = await api.client()
    narrow = await api.client(Scope.DOMAINS_READ)
    for operation in OPERATIONS:
        path = operation.path.replace("{", "").replace("}", "")
        for client, status in ((nobody, 401), (wrong, 401), (useless, 403)):
            answer = await client.ask(operation.method, path)
            assert answer.status == status, (operation.path, answer.body)
            assert answer.headers["Content-Type"].startswith(MEDIA_TYPE)
        if operation.scope not in (Scope.DOMAINS_READ,):
            assert (await narrow.ask(operation.method, path)).status == 403, operation.path
    assert (await nobody.get("/contacts")).headers["WWW-Authenticate"].startswith("Bearer")
    assert (await narrow.get("/domains")).status == 200


async def test_a_revoked_key_ends(api: ApiHouse) -> None:
    made = await api.mine.post("/keys", {"name": "Shop", "scopes": ["messages:send"]})
    assert made.status == 201, made.body
    client = Client(api.session, api.mine.base, made.body["key"])
    assert (await client.post("/messages", MESSAGE)).status == 202
    assert (await client.post("/keys", {"name": "More", "scopes": ["full"]})).status == 403
    assert (await api.theirs.ask("DELETE", f"/keys/{made.body['id']}")).status == 404
    assert (await api.mine.ask("DELETE", f"/keys/{made.body['id']}")).status == 204
    listed = await api.mine.get("/keys")
    assert made.body["key"] not in str(listed.body)
    assert next(one for one in listed.body["data"] if one["id"] == made.body["id"])["revoked_at"]


async def test_a_key_gives_no_more_than_it_has(api: ApiHouse) -> None:
    client = await api.client(Scope.KEYS_WRITE, Scope.SEND, sandbox=True)
    assert (await client.post("/keys", {"name": "x", "scopes": ["full"]})).status == 403
    assert (await client.post("/keys", {"name": "x", "scopes": ["messages:send"]})).status == 403
    assert (await client.post("/keys", {"name": "x", "scopes": ["messages:send"], "sandbox": True})).status == 201


async def test_a_key_is_good_from_its_networks_alone(api: ApiHouse) -> None:
    inside = await api.client(Scope.FULL, networks=["127.0.0.0/8"])
    outside = await api.client(Scope.FULL, networks=["10.0.0.0/8"])
    assert (await inside.get("/lists")).status == 200
    assert (await outside.get("/lists")).status == 401
    assert (await outside.get("/lists", X_Forwarded_For="10.1.2.3")).status == 200  # by the proxy on this machine


async def test_every_fault_is_a_problem_and_never_a_page(api: ApiHouse) -> None:
    mine = api.mine
    found = [
        (await mine.get("/nothing"), 404), (await mine.ask("DELETE", "/lists"), 405),
        (await mine.post("/lists", b"{"), 415),
        (await mine.post("/lists", b"{", Content_Type="application/json"), 400),
        (await mine.post("/lists", b"[]", Content_Type="application/json"), 422),
        (await mine.post("/lists", b'{"name": "x\\u0000"}', Content_Type="application/json"), 422),
        (await mine.post("/lists", b'{"name": ' + b"[" * 5000 + b"]" * 5000 + b"}", Content_Type="application/json"),
         400),
        (await mine.post("/lists", b"\x1f\x8b", Content_Type="application/json", Content_Encoding="gzip"), None),
        (await mine.post("/lists", b" " * 300_000, Content_Type="application/json"), 413),
        (await mine.get("/lists?archived=maybe"), 422), (await mine.get("/lists?nope=1"), 422),
        (await mine.get("/contacts?limit=0"), 422), (await mine.get("/contacts?cursor=abc"), 422),
        (await mine.put("/segments/x", {"name": "x", "rule": {}}), 404),
        (await mine.get("/lists/%00"), 404), (await mine.get("/contacts?prefix=%00"), 422),
        (await mine.post("/lists", {"name": "x"}, Idempotency_Key="x" * 300), 422),
    ]
    for answer, status in found:
        if status is not None:
            assert answer.status == status, answer.body
            assert answer.headers["Content-Type"].startswith(MEDIA_TYPE), answer.body
            assert set(answer.body) >= {"type", "title", "status", "detail", "instance"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff" or status is None
    assert "POST" in found[1][0].headers["Allow"]
    early = await mine.post("/messages", {**MESSAGE, "send_at": "0001-01-01T00:00:00+14:00"})
    assert early.status == 422


async def test_a_bug_of_ours_says_nothing_about_itself(api: ApiHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("canary secret")

    monkeypatch.setattr(api.app.store.contacts, "lists", broken)
    answer = await api.mine.get("/lists")
    assert answer.status == 500
    assert "canary" not in str(answer.body)
    assert answer.body["instance"].startswith("urn:uuid:")


async def test_a_database_that_is_down_is_503_and_accepts_nothing(
    api: ApiHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise ConnectionRefusedError("connection refused")

    async def unwell() -> None:
        raise DependencyError("down")

    monkeypatch.setattr(api.app.store.contacts, "lists", down)
    monkeypatch.setattr(api.app.store, "check", unwell)
    answer = await api.mine.get("/lists")
    assert answer.status == 503
    assert answer.headers["Retry-After"]


async def test_too_much_at_once_is_asked_to_come_back(api: ApiHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esp.entry.api.door.Bodies", lambda: Bodies(10))
    root = web.Application()
    mount(api.app, root)
    async with TestServer(root) as server:
        client = Client(api.session, str(server.make_url("/api/v1")), api.mine.key)
        answer = await client.post("/messages", MESSAGE)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_answers_say_what_is_left_of_the_rate(api: ApiHouse) -> None:
    answer = await api.mine.get("/lists")
    assert answer.headers["RateLimit-Policy"] == '"key";q=1000;w=1'
    assert answer.headers["RateLimit"].startswith('"key";r=')


async def test_the_document_is_valid_and_the_page_needs_no_script(api: ApiHouse) -> None:
    spec = (await Client(api.session, api.mine.base, "").get("/openapi.json")).body
    OpenAPIV31SpecValidator(spec).validate()
    assert len({one["operationId"] for path in spec["paths"].values() for one in path.values()}) == len(OPERATIONS)
    page = await Client(api.session, api.mine.base, "").get("/docs")
    text = page.body.decode()
    assert "<script" not in text
    assert "style=" not in text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert all(f'id="{operation.name}"' in text for operation in OPERATIONS)
    assert (await Client(api.session, api.mine.base, "").get("/docs.css")).status == 200


# ---- resources -------------------------------------------------------------------------------------------------------


async def test_contacts_are_upserted_read_and_deleted(api: ApiHouse) -> None:
    mine = api.mine
    news = await make_list(mine)
    fresh = {"first_name": "Ani", "lists": [news], "tags": ["vip"], "consent": "at the till"}
    made = await mine.put("/contacts/Ani@Rumah.example", fresh)
    assert made.status == 200, made.body
    assert made.body["subscriptions"][0]["list"] == news
    assert made.body["tags"] == ["vip"]
    again = await mine.put("/contacts/ani@rumah.example", fresh)
    assert again.body["updated_at"] == made.body["updated_at"]
    by_id = await mine.get(f"/contacts/{made.body['id']}")
    assert by_id.body == again.body
    changed = await mine.put(f"/contacts/{made.body['id']}", {"city": "Yogya"}, If_Match=by_id.headers["ETag"])
    assert (changed.status, changed.body["city"], changed.body["first_name"]) == (200, "Yogya", "Ani")
    stale = await mine.put(f"/contacts/{made.body['id']}", {"city": "Solo"}, If_Match=by_id.headers["ETag"])
    assert stale.status == 412
    fresh_tag = (await mine.get(f"/contacts/{made.body['id']}")).headers["ETag"]
    assert (await mine.get(f"/contacts/{made.body['id']}", If_None_Match=fresh_tag)).status == 304
    unknown = await mine.put("/contacts/ani@rumah.example", {"fields": {"shoe": 39}})
    assert (unknown.status, unknown.body["errors"][0]["field"]) == (422, "fields.shoe")
    no_consent = await mine.put("/contacts/ani@rumah.example", {"lists": [news]})
    assert (no_consent.status, no_consent.body["errors"][0]["field"]) == (422, "consent")
    assert (await api.theirs.get(f"/contacts/{made.body['id']}")).status == 404
    assert (await api.theirs.get("/contacts/ani@rumah.example")).status == 404
    assert (await api.theirs.ask("DELETE", f"/contacts/{made.body['id']}")).status == 404
    assert (await mine.ask("DELETE", "/contacts/ani@rumah.example")).status == 204
    assert (await mine.get("/contacts/ani@rumah.example")).status == 404


async def test_a_thousand_contacts_at_once_name_their_bad_rows(api: ApiHouse) -> None:
    news = await make_list(api.mine)
    rows = [{"email": f"p{n}@rumah.example", "first_name": f"P{n}"} for n in range(999)] + [{"email": "nobody"}]
    done = await api.mine.post("/contacts/bulk", {"contacts": rows, "lists": [news], "tags": ["t"], "consent": "form"})
    assert done.status == 200, done.body
    assert (done.body["created"], done.body["errors"][0]["index"]) == (999, 999)
    again = await api.mine.post("/contacts/bulk", {"contacts": rows})
    assert (again.body["created"], again.body["unchanged"]) == (0, 999)
    assert 999 in [one["subscribed"] for one in (await api.mine.get("/lists")).body["data"]]
    first = await api.mine.get("/contacts?limit=200&tag=T")
    assert len(first.body["data"]) == 200
    second = await api.mine.get(f"/contacts?limit=200&tag=T&cursor={first.body['next']}")
    assert not {one["id"] for one in first.body["data"]} & {one["id"] for one in second.body["data"]}
    assert [one["email"] for one in (await api.mine.get("/contacts?prefix=P998")).body["data"]] == [
        "p998@rumah.example"]
    too_many = await api.mine.post("/contacts/bulk", {"contacts": [{"email": "a@b.example"}] * 1001})
    assert too_many.status == 422


async def test_lists_and_subscriptions(api: ApiHouse) -> None:
    mine = api.mine
    news = await make_list(mine)
    await mine.put("/contacts/ani@rumah.example", {})
    on = await mine.put(f"/lists/{news}/contacts/ani@rumah.example", {"wording": "Yes, news"})
    assert (on.status, on.body["state"]) == (200, "subscribed")
    assert (await mine.get(f"/lists/{news}")).body["subscribed"] == 1
    assert [one["email"] for one in (await mine.get(f"/lists/{news}/contacts")).body["data"]] == ["ani@rumah.example"]
    off = await mine.put(f"/lists/{news}/contacts/ani@rumah.example", {"state": "unsubscribed"})
    assert off.body["state"] == "unsubscribed"
    renamed = await mine.ask("PATCH", f"/lists/{news}", {"name": "Letters", "archived": True})
    assert (renamed.body["name"], renamed.body["archived_at"] is None) == ("Letters", False)
    assert news not in str((await mine.get("/lists")).body)
    assert (await api.theirs.get(f"/lists/{news}")).status == 404
    assert (await api.theirs.get(f"/lists/{news}/contacts")).status == 404
    assert (await api.theirs.ask("PATCH", f"/lists/{news}", {"name": "x"})).status == 404


async def test_segments_name_lists_and_tags_by_what_is_seen_outside(api: ApiHouse) -> None:
    mine = api.mine
    news = await make_list(mine)
    await mine.put("/contacts/ani@rumah.example", {"city": "Solo", "lists": [news], "tags": ["vip"], "consent": "x"})
    rule = {"match": "all", "rules": [{"field": "city", "op": "is", "value": "Solo"}, {"list": news}, {"tag": "vip"}]}
    counted = await mine.post("/segments/count", {"rule": rule})
    assert counted.body == {"count": 1}, counted.body
    made = await mine.post("/segments", {"name": "Solo", "rule": rule})
    assert made.status == 201, made.body
    assert made.body["rule"]["rules"][1]["list"] == news
    path = f"/segments/{made.body['id']}"
    assert (await mine.get(f"{path}/count")).body == {"count": 1}
    assert [one["email"] for one in (await mine.get(f"{path}/contacts")).body["data"]] == ["ani@rumah.example"]
    assert (await mine.put(path, {"name": "Solo", "rule": made.body["rule"]})).status == 200
    wrong = await mine.post("/segments", {"name": "x", "rule": {"match": "all", "rules": [{"list": "nope"}]}})
    assert wrong.status == 422
    theirs = await api.theirs.post("/segments/count", {"rule": rule})
    assert theirs.status == 422  # our list is not there for them
    assert (await api.theirs.get(path)).status == 404
    assert (await mine.ask("DELETE", path)).status == 204


async def test_a_campaign_from_draft_to_figures(api: ApiHouse) -> None:
    mine = api.mine
    news = await make_list(mine)
    await mine.put("/contacts/ani@rumah.example", {"lists": [news], "consent": "x"})
    draft = {"name": "Spring", "domain": "toko.example", "from_address": "halo@toko.example", "lists": [news],
             "variants": [{"subject": "Hello", "source": "<p>Hi {{ contact.first_name }}</p>"}]}
    made = await mine.post("/campaigns", draft)
    assert made.status == 201, made.body
    path = f"/campaigns/{made.body['id']}"
    assert (await mine.get(f"{path}/forecast")).body["will_get"] == 1
    got = await mine.get(path)
    assert (await mine.put(path, {**draft, "name": "Summer"}, If_Match=got.headers["ETag"])).status == 200
    assert (await mine.put(path, {**draft, "name": "Autumn"}, If_Match=got.headers["ETag"])).status == 412
    for other in (path, f"{path}/statistics", f"{path}/forecast"):
        assert (await api.theirs.get(other)).status == 404
    assert (await api.theirs.post(f"{path}/start")).status == 404
    started = await mine.post(f"{path}/start")
    assert (started.status, started.body["state"]) == (200, "sending"), started.body
    assert (await mine.post(f"{path}/start")).status == 409
    assert (await mine.post(f"{path}/pause")).body["state"] == "paused"
    assert (await mine.post(f"{path}/resume")).body["state"] == "sending"
    assert (await mine.post(f"{path}/cancel")).body["state"] == "cancelled"
    figures = await mine.get(f"{path}/statistics")
    assert figures.status == 200, figures.body
    assert (await mine.get("/campaigns?state=cancelled")).body["data"][0]["id"] == made.body["id"]
    incomplete = await mine.post("/campaigns", {"name": "x", "variants": [{"subject": "", "source": ""}]})
    assert (await mine.post(f"/campaigns/{incomplete.body['id']}/start")).status == 422
    assert (await mine.ask("DELETE", f"/campaigns/{incomplete.body['id']}")).status == 204


async def test_domains_suppressions_events_and_the_week(api: ApiHouse) -> None:
    mine = api.mine
    made = await mine.post("/domains", {"name": "baru.example"})
    assert made.status == 201, made.body
    assert any(one["purpose"] == "DKIM" for one in made.body["records"])
    assert (await mine.get("/domains/toko.example")).body["verified"] is True
    assert (await api.theirs.get("/domains/toko.example")).status == 404
    assert (await mine.ask("DELETE", f"/domains/{made.body['id']}")).status == 204
    added = await mine.post("/suppressions", {"addresses": ["Ani@rumah.example", "*@buruk.example"], "note": "asked"})
    assert added.body == {"added": 2, "already_there": 0}, added.body
    assert (await mine.post("/suppressions", {"addresses": ["ani@rumah.example"]})).body["already_there"] == 1
    assert (await mine.get("/suppressions?prefix=ani")).body["data"][0]["note"] == "asked"
    assert (await api.theirs.get("/suppressions")).body["data"] == []
    assert (await api.theirs.ask("DELETE", "/suppressions/ani@rumah.example")).status == 404
    assert (await mine.ask("DELETE", "/suppressions/*@buruk.example")).status == 204
    sent = await mine.post("/messages", {**MESSAGE, "to": "ani@rumah.example"})
    assert sent.body["recipients"][0]["suppressed"] == "suppressed_manual"
    events = await mine.get("/events")
    assert events.body["data"][0]["type"] in ("suppressed", "accepted")
    assert (await mine.get("/events?type=suppressed")).body["data"][0]["address"] == "ani@rumah.example"
    assert (await api.theirs.get("/events")).body["data"] == []
    assert (await mine.get("/statistics")).status == 200
