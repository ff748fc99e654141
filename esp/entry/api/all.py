"""Everything the API can do, in the order in which it is documented."""

from typing import Final

from aiohttp import web

from esp.app import App
from esp.entry.api import (
    campaigns,
    contacts,
    domains,
    events,
    keys,
    lists,
    messages,
    segments,
    suppressions,
    templates,
    webhooks,
)
from esp.entry.api.compat_mailgun import Mailgun
from esp.entry.api.compat_postmark import Postmark
from esp.entry.api.compat_resend import Resend
from esp.entry.api.compat_sendgrid import SendGrid
from esp.entry.api.door import PREFIX, ForeignApi, build
from esp.entry.api.operation import Operations

GROUPS: Final[tuple[Operations, ...]] = (
    messages.operations, templates.operations, contacts.operations, lists.operations, segments.operations,
    campaigns.operations, domains.operations, suppressions.operations, events.operations, webhooks.operations,
    keys.operations,
)
FOREIGN: Final[tuple[ForeignApi, ...]] = (Resend(), Postmark(), SendGrid(), Mailgun())


def mount(app: App, root: web.Application) -> None:
    """Put the API under ``/api`` of ``root``. Its middlewares must leave that prefix alone."""
    root.add_subapp(PREFIX, build(app, GROUPS, FOREIGN))
