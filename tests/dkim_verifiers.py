"""Verifiers that none of us wrote, all without DNS: dkimpy, OpenDKIM's library, and Perl's Mail::DKIM.

``faults`` is the oracle for every message that a receiver of the tests takes: each of its two signatures must verify
by dkimpy and by OpenDKIM, one by one. Debian 12's Mail::DKIM (libmail-dkim-perl) knows RSA only, and is a third voice
in the tests of the signer.
"""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import dkim

from tests.opendkim import opendkim_results

ALGORITHMS = ("rsa-sha256", "ed25519-sha256")  # what a domain of ours signs with, in this order
_MANY = 2000  # messages from which a second process is worth its start
_SIGNATURE = re.compile(rb"^DKIM-Signature:((?:[^\n]|\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_FROM = re.compile(rb"^From:((?:[^\n]|\n[ \t])*)", re.IGNORECASE | re.MULTILINE)

# The only thing replaced is the DNS query: the record's text comes from the command line.
_PERL = r"""
use strict; use warnings; use JSON::PP; use Net::DNS; use Mail::DKIM::Verifier; use Mail::DKIM::DNS;
my $records = decode_json($ARGV[0]);
no warnings 'redefine';
*Mail::DKIM::DNS::query_async = sub {
    my ($name, $type, %prms) = @_;
    my $text = $records->{$name};
    my @found = defined $text
        ? (Net::DNS::RR->new(owner => $name, type => 'TXT', txtdata => [unpack '(a200)*', $text])) : ();
    my $result = $prms{Callbacks}{Success}->(@found);
    return sub { $result };
};
binmode STDIN;
my $message = do { local $/; <STDIN> };
my $verifier = Mail::DKIM::Verifier->new;
$verifier->PRINT($message);
$verifier->CLOSE;
print join ',', map { $_->selector . '=' . $_->result } $verifier->signatures;
"""


def dkimpy_results(message: bytes, records: Mapping[str, str]) -> list[bool]:
    """Whether each signature, from the top, is valid; none where it is no message.

    ``records`` maps ``s._domainkey.d`` to the TXT record.
    """

    def query(name: bytes, timeout: int = 5) -> bytes | None:
        text = records.get(name.decode().rstrip("."))
        return None if text is None else text.encode()

    try:
        verifier = dkim.DKIM(message)
    except dkim.MessageFormatError:
        return []
    count = sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers)
    results = []
    for index in range(count):
        try:
            results.append(bool(verifier.verify(index, dnsfunc=query)))
        except dkim.DKIMException:
            results.append(False)
    return results


def perl_results(message: bytes, records: dict[str, str]) -> dict[str, str]:
    """Result by selector: pass, fail, invalid. Debian's version knows RSA only."""
    run = subprocess.run(
        ["perl", "-e", _PERL, json.dumps(records)], input=message, capture_output=True, check=True, timeout=30
    )
    return dict(pair.split("=", 1) for pair in run.stdout.decode().split(",") if pair)


def faults(message: bytes, records: Mapping[str, str], algorithms: Sequence[str] = ALGORITHMS) -> list[str]:
    """What is wrong with the signatures of a message of ours (without dot-stuffing), in words; empty where all is well.

    There must be one signature by each of ``algorithms``, in that order, aligned with From (RFC 7489 section 3.1.1,
    strictly), and valid by dkimpy and by OpenDKIM.
    """
    header = message.partition(b"\r\n\r\n")[0]
    tags = [_tags(value) for value in _SIGNATURE.findall(header)]
    found = [f"{given.get('a', 'nothing')} by {given.get('d', 'nobody')}" for given in tags]
    sender = [value.rpartition(b"@")[2].strip(b"> \r\n").decode().lower() for value in _FROM.findall(header)]
    wanted = [f"{algorithm} by {sender[0] if sender else 'nobody'}" for algorithm in algorithms]
    wrong = [] if found == wanted and len(sender) == 1 else [f"signed {found}, but should be {wanted}"]
    for name, verify in (("dkimpy", dkimpy_results), ("OpenDKIM", opendkim_results)):
        results = verify(message, records)
        if results != [True] * len(algorithms):
            wrong.append(f"by {name} the signatures are {results}")
    return wrong


def _tags(value: bytes) -> dict[str, str]:
    pairs = (part.partition("=") for part in re.sub(r"\s", "", value.decode("utf-8", "replace")).split(";"))
    return {name: content for name, _, content in pairs if name}


def all_faults(
    messages: Sequence[bytes], records: Mapping[str, str], algorithms: Sequence[str] = ALGORITHMS
) -> list[str]:
    """``faults`` of every message, each with the message's number."""
    check = partial(faults, records=dict(records), algorithms=tuple(algorithms))
    if len(messages) < _MANY:
        found = [check(message) for message in messages]
    else:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(check, messages, chunksize=200))
    return [f"message {number}: {fault}" for number, some in enumerate(found) for fault in some]
