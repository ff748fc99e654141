"""Apps written for other providers: their own libraries, with another base URL, send through here."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from tests.api_house import ApiHouse, Client, api_house
from tests.sending_app import working


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiHouse]:
    async with api_house(f"sqlite:///{tmp_path / 'api.db'}", tmp_path) as found:
        yield found


async def drive(api: ApiHouse, script: str) -> Any:
    """The script's last line, as JSON; it runs apart, for what libraries warn about is not ours."""
    now = api.app.clock.now()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parents[1] / "sdks" / script), api.origin, api.mine.key,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"TOMORROW": (now + timedelta(days=1)).isoformat(), "DAY_AFTER": (now + timedelta(days=2)).isoformat(),
             "PATH": "/usr/bin:/bin"})
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out.splitlines()[-1])


async def arrived(api: ApiHouse, count: int) -> dict[str, Any]:
    async with working(api.app), asyncio.timeout(60):
        await api.house.receiver.wait_for(count)
    mails = [message_from_bytes(raw, policy=policy.default) for raw in api.house.receiver.messages]
    return {str(mail["Subject"]): mail for mail in mails}


async def test_the_providers_own_libraries_send_through_here(api: ApiHouse) -> None:
    await api.mine.post("/templates", {"name": "welcome", "subject": "postmark hello {{ name }}", "text": "Hi"})
    found = await drive(api, "providers.py")
    resend = found["resend"]
    assert (resend["same"], resend["batch"], resend["moved"], resend["cancelled"]) == (True, 2, True, True)
    assert resend["subject"] == "resend one"
    assert resend["refused"]["unverified"][:2] == [403, "validation_error"]
    assert "topic_id" in resend["refused"]["unknown"][2]
    assert "path" in resend["refused"]["remote"][2]
    assert found["postmark"]["one"] == found["postmark"]["templated"] == 0
    assert found["postmark"]["batch"] == [0, 300]
    assert "not a verified" in found["postmark"]["refused"]
    assert (found["sendgrid"]["status"], found["sendgrid"]["id"]) == (202, True)
    assert found["sendgrid"]["refused"][0] == 400
    assert found["sendgrid"]["refused"][1]["field"] == "asm"
    assert found["mailgun"]["one"] == [200, "Queued. Thank you."]
    assert found["mailgun"]["two"] == 200
    assert found["mailgun"]["refused"][0] == 400
    assert "o:dkim" in found["mailgun"]["refused"][1]
    mails = await arrived(api, 9)
    assert set(mails) == {"resend one", "resend two", "resend three", "postmark one", "postmark two",
                          "postmark hello Ani", "sendgrid one", "mailgun one", "mailgun two"}
    assert [one.get_content() for one in mails["resend one"].iter_attachments()] == ["abc"]
    assert mails["resend one"]["X-One"] == "1"
    assert mails["sendgrid one"]["Reply-To"].addresses[0].display_name == "Layanan"
    (binary,) = mails["mailgun two"].iter_attachments()
    assert binary.get_content() == bytes(range(256))
    rows = (await api.mine.get("/messages?tag=order")).body["data"]
    assert {one["subject"] for one in rows} >= {"postmark one", "sendgrid one", "mailgun one"}
    assert all(one["metadata"] == {"n": "1"} for one in rows)


async def test_django_anymail_sends_through_here(api: ApiHouse) -> None:
    found = await drive(api, "anymail_backends.py")
    assert all(known for _, known in found.values())
    mails = await arrived(api, 8)  # four messages, each to two
    assert set(mails) == {f"anymail {name} é" for name in ("resend", "postmark", "sendgrid", "mailgun")}
    for mail in mails.values():
        assert mail["From"].addresses[0].display_name == "Toko é"
        assert mail["To"].addresses[0].display_name == "Bu, Ani"
        assert mail["Cc"].addresses[0].addr_spec == "citra@rumah.example"
        assert mail["X-One"] == "1"
        (text,) = mail.iter_attachments()
        assert text.get_filename() == "a.txt"


@pytest.mark.parametrize(("path", "headers", "shape"), [
    ("/api/resend/emails", {"Authorization": "Bearer nope"}, {"statusCode", "name", "message"}),
    ("/api/postmark/email", {"X-Postmark-Server-Token": "nope"}, {"ErrorCode", "Message"}),
    ("/api/sendgrid/v3/mail/send", {"Authorization": "Bearer nope"}, {"errors"}),
    ("/api/mailgun/v3/toko.example/messages", {"Authorization": "Basic YXBpOm5vcGU="}, {"message"}),
])
async def test_a_wrong_key_is_refused_in_each_providers_words(
    api: ApiHouse, path: str, headers: dict[str, str], shape: set[str]
) -> None:
    nobody = Client(api.session, api.origin, "")
    wrong = await nobody.ask("POST", path, {}, **headers)
    assert (wrong.status, set(wrong.body)) == (401, shape)
    nothing = await nobody.ask("GET", f"{path}/nothing/here", **headers)
    assert (nothing.status, set(nothing.body)) == (404, shape)
