"""Everything with an RFC number: headers, MIME, DKIM, SMTP replies, DSNs, signed tokens. Pure."""
