"""A mail in the browser: the frozen variant rendered for the very person who got it."""

from email import message_from_bytes
from email.policy import default
from html import escape

from esp.app import App
from esp.model.content import CompiledVariant, Envelope, Recipient
from esp.ports.engagement import Letter
from esp.render.message import Renderer


async def show(app: App, letter: Letter) -> str | None:
    """The mail's HTML, or its text as a page; None where the variant is gone. Raises what the store raises.

    It goes through the same renderer as the mail did, so that it is the same but for the open pixel: who reads
    here has been counted by their click already.
    """
    original = await app.store.engagement.original(letter.workspace_id, letter.campaign_id, letter.variant_id)
    if original is None:
        return None
    envelope = Envelope(
        workspace_id=letter.workspace_id, campaign_id=letter.campaign_id, from_name="", from_address="nobody@invalid",
        reply_to="", bounce_domain="invalid", message_id_domain="invalid", tracking_url=app.settings.public_url,
        list_id="", list_name=letter.lists[0].name if letter.lists else "", feedback_id="",
        track_opens=False, track_clicks=original.track_clicks,
    )
    renderer = Renderer(CompiledVariant(original.label, (), original.payload), envelope, app.tokens, signed=False)
    recipient = Recipient(letter.delivery_id, letter.contact_id, letter.address, letter.fields)
    # Our own output, small and well-formed by construction: nothing of it was ever received.
    message = message_from_bytes(renderer.render(recipient, app.clock.now()).data, policy=default)
    body = message.get_body(("html", "plain"))
    if body is None:
        return None
    content = str(body.get_content())
    if body.get_content_subtype() == "html":
        return content
    return (
        '<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(letter.subject)}</title></head><body><pre>{escape(content)}</pre></body></html>"
    )
