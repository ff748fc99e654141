"""Whom a campaign reaches: CSV files read, variants split, batches cut, drafts judged. Pure."""
