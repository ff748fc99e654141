"""Run by tests in a process of its own: the providers' own Python libraries, pointed here by their base URL."""

import asyncio
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import postmark
import resend
import sendgrid
from mailgun.client import Client as Mailgun
from resend.exceptions import ResendError
from sendgrid.helpers.mail import Attachment, Category, CustomArg, Mail, ReplyTo, TrackingSettings

FROM, TO = "Toko <app@toko.example>", "ani@rumah.example"


def drive_resend(base: str, key: str) -> dict[str, object]:
    resend.api_key, resend.api_url = key, f"{base}/api/resend"
    email: resend.Emails.SendParams = {
        "from": FROM, "to": [TO], "subject": "resend one", "html": "<p>Hi</p>", "text": "Hi",
        "reply_to": "cs@toko.example", "tags": [{"name": "kind", "value": "order"}], "headers": {"X-One": "1"},
        "attachments": [{"filename": "a.txt", "content": list(b"abc")}]}
    first = resend.Emails.send(email, {"idempotency_key": "resend-1"})
    again = resend.Emails.send(email, {"idempotency_key": "resend-1"})
    batch = resend.Batch.send([{**email, "subject": "resend two"}, {**email, "subject": "resend three"}])
    later = resend.Emails.send({**email, "subject": "later", "scheduled_at": os.environ["TOMORROW"]})
    moved = resend.Emails.update({"id": later["id"], "scheduled_at": os.environ["DAY_AFTER"]})
    cancelled = resend.Emails.cancel(later["id"])
    found = resend.Emails.get(first["id"])
    refused = {}
    for name, change in {"unverified": {"from": "x@elsewhere.example"}, "unknown": {"topic_id": "t"},
                         "remote": {"attachments": [{"filename": "a", "path": "http://127.0.0.1/a"}]}}.items():
        try:
            resend.Emails.send({**email, **change})  # type: ignore[typeddict-item]
        except ResendError as error:
            refused[name] = [error.code, error.error_type, error.message]
    return {"same": first["id"] == again["id"], "batch": len(batch["data"]), "moved": moved["id"] == later["id"],
            "cancelled": cancelled["id"] == later["id"], "subject": found["subject"], "refused": refused}


async def drive_postmark(base: str, key: str) -> dict[str, object]:
    async with postmark.ServerClient(key, base_url=f"{base}/api/postmark", retries=0) as client:
        email = {"sender": FROM, "to": TO, "subject": "postmark one", "text_body": "Hi", "html_body": "<p>Hi</p>",
                 "tag": "order", "metadata": {"n": "1"}, "message_stream": "outbound", "track_opens": False}
        one = await client.outbound.send(email)
        batch = await client.outbound.send_batch([{**email, "subject": "postmark two"}, {**email, "to": "nobody"}])
        templated = await client.outbound.send_with_template(
            {"sender": FROM, "to": TO, "template_alias": "welcome", "template_model": {"name": "Ani"}})
        refused = ""
        try:
            await client.outbound.send({**email, "sender": "x@elsewhere.example"})
        except Exception as error:
            refused = str(error)
    return {"one": one.error_code, "batch": [it.error_code for it in batch], "templated": templated.error_code,
            "refused": refused}


def drive_sendgrid(base: str, key: str) -> dict[str, object]:
    client = sendgrid.SendGridAPIClient(key, host=f"{base}/api/sendgrid")
    mail = Mail(from_email="app@toko.example", to_emails=TO, subject="sendgrid one", html_content="<p>Hi</p>")
    mail.reply_to = ReplyTo("cs@toko.example", "Layanan")
    mail.add_category(Category("order"))
    mail.add_custom_arg(CustomArg("n", "1"))
    mail.add_attachment(Attachment("YWJj", "a.txt", "text/plain"))
    answer = client.send(mail)
    refused = []
    mail.tracking_settings = TrackingSettings()
    mail.batch_id = "MAIL_BATCH"  # type: ignore[assignment]
    try:
        body = {**Mail("app@toko.example", TO, "x", "x").get(), "asm": {"group_id": 1}}
        client.client.mail.send.post(request_body=body)
    except Exception as error:
        refused = [error.status_code, json.loads(error.body)["errors"][0]]  # type: ignore[attr-defined]
    return {"status": answer.status_code, "id": bool(answer.headers["X-Message-Id"]), "refused": refused}


def drive_mailgun(base: str, key: str) -> dict[str, object]:
    with Mailgun(auth=("api", key), api_url=f"{base}/api/mailgun") as client:
        data = {"from": FROM, "to": [TO], "subject": "mailgun one", "text": "Hi", "o:tag": "order", "v:n": "1"}
        one = client.messages.create(domain="toko.example", data=data)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "a.bin"
            path.write_bytes(bytes(range(256)))
            two = client.messages.create(
                domain="toko.example", data={**data, "subject": "mailgun two"},
                files=[("attachment", ("a.bin", path.read_bytes()))])
        refused = client.messages.create(domain="toko.example", data={**data, "o:dkim": "yes"})
    return {"one": [one.status_code, one.json()["message"]], "two": two.status_code,
            "refused": [refused.status_code, refused.json()["message"]]}


if __name__ == "__main__":
    base, key = sys.argv[1:]
    print(json.dumps({
        "resend": drive_resend(base, key), "postmark": asyncio.run(drive_postmark(base, key)),
        "sendgrid": drive_sendgrid(base, key), "mailgun": drive_mailgun(base, key)}))
