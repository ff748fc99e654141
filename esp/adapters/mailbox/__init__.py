"""Mailboxes elsewhere, by IMAP and POP3."""

from esp.adapters.mailbox.doors import OutsideMailboxes

__all__ = ["OutsideMailboxes"]
