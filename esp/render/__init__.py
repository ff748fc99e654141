"""One recipient's message, whole and signed, from a frozen variant."""

from esp.merge.preview import render_preview
from esp.render.message import Renderer

__all__ = ["Renderer", "render_preview"]
