"""Run by tests in a process of its own: one Django message through django-anymail's backends, pointed here."""

import json
import sys
from datetime import UTC, datetime, timedelta

import django
from anymail.message import AnymailMessage
from django.conf import settings
from django.core.mail import get_connection

base, key = sys.argv[1:]
settings.configure(ANYMAIL={
    "RESEND_API_KEY": key, "RESEND_API_URL": f"{base}/api/resend/",
    "POSTMARK_SERVER_TOKEN": key, "POSTMARK_API_URL": f"{base}/api/postmark/",
    "SENDGRID_API_KEY": key, "SENDGRID_API_URL": f"{base}/api/sendgrid/v3/",
    "MAILGUN_API_KEY": key, "MAILGUN_API_URL": f"{base}/api/mailgun/v3/",
}, DEFAULT_CHARSET="utf-8", USE_TZ=True)
django.setup()

found = {}
for name in ("resend", "postmark", "sendgrid", "mailgun"):
    message = AnymailMessage(
        subject=f"anymail {name} é", body="Hi", from_email="Toko é <app@toko.example>",
        to=['"Bu, Ani" <ani@rumah.example>'], cc=["citra@rumah.example"], reply_to=["cs@toko.example"],
        headers={"X-One": "1"},
        connection=get_connection(f"anymail.backends.{name}.EmailBackend"))
    message.attach_alternative("<p>Hi <img src='cid:logo'></p>", "text/html")
    message.attach("a.txt", "abc", "text/plain")
    message.metadata = {"order": "42"}
    if name != "resend":
        message.tags = ["order"]
    if name in ("sendgrid", "mailgun"):
        message.send_at = datetime.now(UTC) - timedelta(seconds=1)
    message.send()
    status = message.anymail_status
    found[name] = [sorted(status.status), bool(status.message_id)]
print(json.dumps(found))
