"""Merpati's core: lists, sending and receiving mail. It knows nothing of tracking or the admin."""

__version__ = "0.1.0"
