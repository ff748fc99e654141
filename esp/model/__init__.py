"""Nouns: frozen dataclasses, enums and transition tables. Pure; imports nothing but errors."""
