"""The kinds of value that a workspace's own contact fields may hold."""

from enum import StrEnum


class FieldType(StrEnum):
    """How a value stands in ``contacts.fields``: text and choice as text, a number as a number, a date as YYYY-MM-DD,
    a boolean as true or false, choices as a list of texts in the order of the field's own choices."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    CHOICES = "choices"
