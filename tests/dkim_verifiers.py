"""Two verifiers that none of us wrote: dkimpy, and Perl's Mail::DKIM (Debian's libmail-dkim-perl), both without DNS."""

import json
import subprocess

import dkim

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


def dkimpy_results(message: bytes, records: dict[str, str]) -> list[bool]:
    """Whether each signature, from the top, is valid. ``records`` maps ``s._domainkey.d`` to the TXT record."""

    def query(name: bytes, timeout: int = 5) -> bytes:
        return records[name.decode().rstrip(".")].encode()

    verifier = dkim.DKIM(message)
    count = sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers)
    results = []
    for index in range(count):
        try:
            results.append(bool(dkim.DKIM(message).verify(index, dnsfunc=query)))
        except dkim.DKIMException:
            results.append(False)
    return results


def perl_results(message: bytes, records: dict[str, str]) -> dict[str, str]:
    """Result by selector: pass, fail, invalid. Debian's version knows RSA only."""
    run = subprocess.run(
        ["perl", "-e", _PERL, json.dumps(records)], input=message, capture_output=True, check=True, timeout=30
    )
    return dict(pair.split("=", 1) for pair in run.stdout.decode().split(",") if pair)
