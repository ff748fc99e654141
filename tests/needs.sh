#!/bin/sh
# Install the programs that the tests talk to, from Debian's packages, and say plainly what is missing where we can't.
set -eu

missing=""
need() { # package, then one thing of which the package brings at least one
    package=$1; shift
    for thing in "$@"; do
        if command -v "$thing" >/dev/null 2>&1 || [ -e "$thing" ]; then return 0; fi
    done
    missing="$missing $package"
}

postgres=$(find /usr/lib/postgresql -name initdb 2>/dev/null | head -n 1 || true)
need postgresql "${postgres:-initdb}"
need redis-server redis-server
need chromium chromium /usr/bin/chromium
need postfix /usr/sbin/smtp-sink smtp-sink
need swaks swaks
need jing jing
need opendkim-tools opendkim-testmsg
need libmail-dkim-perl /usr/share/perl5/Mail/DKIM/Verifier.pm
need strace strace
need curl curl
need dovecot-imapd /usr/lib/dovecot/imap
need dovecot-pop3d /usr/lib/dovecot/pop3

[ -z "$missing" ] && exit 0
echo "tests: installing$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "tests: this machine has no apt-get; install these yourself, then run make test again:$missing" >&2
    exit 1
fi
sudo=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "tests: not root and no sudo; as root: apt-get install$missing" >&2; exit 1; }
    sudo=sudo
fi
$sudo apt-get update -qq
# Postfix and Redis are only used as programs: nothing of theirs is configured or kept running.
$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
