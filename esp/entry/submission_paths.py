"""Paths and parameters of MAIL and RCPT (RFC 5321 section 4.1.2, RFC 1870, 3461, 6152, 6531), read strictly."""

import re
from dataclasses import dataclass
from typing import Final

from esp.wire.addresses import Address, AddressError, parse_address

_ENVID: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2}){1,100}")  # RFC 3461 section 4.4
_ORCPT: Final = re.compile(r"[A-Za-z0-9-]{1,40};(?:[!-*,-<>-~]|\+[0-9A-F]{2}|[^\x00-\x7f]){1,500}")
_SIZE: Final = re.compile(r"\d{1,20}")
_NOTIFY: Final = frozenset(("SUCCESS", "FAILURE", "DELAY"))


class PathError(Exception):
    """The command is refused; the text is the reply."""


@dataclass(frozen=True, slots=True)
class MailFrom:
    """``sender`` '' is the null sender. ``size`` as declared, 0 where it was not."""

    sender: str
    size: int = 0
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class RcptTo:
    address: str
    notify: frozenset[str] = frozenset()
    original: str = ""


def read_mail(argument: str) -> MailFrom:
    """``FROM:<path> parameters``. Raises PathError."""
    path, parameters = _split(argument, "FROM:", "501 5.5.4 Write MAIL FROM:<address>")
    size, smtputf8, ret, envid = 0, False, "", ""
    for name, value in _pairs(parameters, "MAIL"):
        match name, value.upper():
            case "SIZE", _ if _SIZE.fullmatch(value):
                size = int(value)
            case "BODY", "7BIT" | "8BITMIME":
                pass
            case "SMTPUTF8", "":
                smtputf8 = True
            case "RET", ("FULL" | "HDRS") as ret:
                pass
            case "ENVID", _ if _ENVID.fullmatch(value):
                envid = value
            case "AUTH", _ if value:  # RFC 4954 section 5: said by servers that trust each other; nothing to us
                pass
            case "BODY" | "SIZE" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH", _:
                raise PathError(f"501 5.5.4 The value of {name} cannot be used")
            case _:
                raise PathError("555 5.5.4 A parameter of MAIL is not known here")
    if not path:
        return MailFrom("", size, smtputf8, ret, envid)
    return MailFrom(_address(path, smtputf8, "501 5.1.7").text, size, smtputf8, ret, envid)


def read_rcpt(argument: str, smtputf8: bool) -> RcptTo:
    """``TO:<path> parameters``. Raises PathError."""
    path, parameters = _split(argument, "TO:", "501 5.5.4 Write RCPT TO:<address>")
    notify, original = frozenset[str](), ""
    for name, value in _pairs(parameters, "RCPT"):
        if name == "NOTIFY":
            notify = frozenset(value.upper().split(","))
            if not notify <= _NOTIFY and notify != {"NEVER"}:
                raise PathError("501 5.5.4 The value of NOTIFY cannot be used")
        elif name == "ORCPT":
            if not _ORCPT.fullmatch(value) or (not smtputf8 and not value.isascii()):
                raise PathError("501 5.5.4 The value of ORCPT cannot be used")
            original = value
        else:
            raise PathError("555 5.5.4 A parameter of RCPT is not known here")
    if not path:
        raise PathError("501 5.1.3 A recipient is needed between the angle brackets")
    return RcptTo(_address(path, smtputf8, "553 5.1.3").text, notify, original)


def _split(argument: str, keyword: str, refusal: str) -> tuple[str, str]:
    """The path without its brackets, and what follows it. One space after the colon is wrong but common."""
    if argument[: len(keyword)].upper() != keyword:
        raise PathError(refusal)
    rest = argument[len(keyword):].removeprefix(" ")
    path, closing, parameters = rest.partition(">")
    if not path.startswith("<") or not closing or (parameters and not parameters.startswith(" ")):
        raise PathError(refusal)
    return path[1:], parameters


def _pairs(parameters: str, command: str) -> list[tuple[str, str]]:
    if not parameters:
        return []
    pairs = [(name.upper(), value) for name, _, value in (word.partition("=") for word in parameters.split())]
    if len({name for name, _ in pairs}) < len(pairs):
        raise PathError(f"501 5.5.4 A parameter of {command} stands there twice")
    return pairs


def _address(path: str, smtputf8: bool, code: str) -> Address:
    if not path.isascii() and not smtputf8:
        raise PathError("553 5.6.7 An address that is not ASCII needs SMTPUTF8")
    try:
        if path != path.strip():
            raise AddressError("The address holds a blank.")
        return parse_address(path)
    except AddressError as error:
        raise PathError(f"{code} {error}".encode("ascii", "replace").decode().rstrip(".")) from None
