"""A mail in the browser: the frozen variant rendered for the very person who got it."""

import asyncio

from esp.app import App
from esp.model.content import CompiledVariant, Envelope, Recipient
from esp.ports.engagement import Letter
from esp.render.message import Renderer
from esp.wire.tokens import TokenSigner


async def show(app: App, letter: Letter) -> str | None:
    """The mail as a page, without its open pixel; None where the variant is gone. Raises what the store raises."""
    original = await app.store.engagement.original(letter.workspace_id, letter.campaign_id, letter.variant_id)
    if original is None:
        return None
    envelope = Envelope(
        workspace_id=letter.workspace_id, campaign_id=letter.campaign_id, from_name="", from_address="nobody@invalid",
        reply_to="", bounce_domain="invalid", message_id_domain="invalid", tracking_url=app.settings.public_url,
        list_id="", list_name=letter.lists[0].name if letter.lists else "", feedback_id="",
        track_opens=False, track_clicks=original.track_clicks,
    )
    variant = CompiledVariant(original.label, (), original.payload)
    recipient = Recipient(letter.delivery_id, letter.contact_id, letter.address, letter.fields, letter.tracked)
    # In a thread: what a template may cost is bounded, but not so tightly that others' clicks could wait for it.
    return await asyncio.to_thread(_page, variant, envelope, app.tokens, recipient)


def _page(variant: CompiledVariant, envelope: Envelope, tokens: TokenSigner, recipient: Recipient) -> str:
    return Renderer(variant, envelope, tokens, signed=False).render_page(recipient)
