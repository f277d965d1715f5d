#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Without -f it goes to the background when the mount answers, not earlier; it lets go of the
# terminal; `fusermount3 -u` and SIGTERM end it.
. "$(dirname "$0")/../lib/mount.sh"
requires fusermount3 pgrep
make_host
mkdir "$P"

start() {
    # the pipe ends only when nobody holds it any more
    timeout 20 "$QUBESFS" --root "$HOST" --connect test:///default --xenstore none "$P" 2>&1 |
        cat >"$TEST_TMP/out"
    [ -e "$P/version" ] || fail "in the background, but $P does not answer"
    [ ! -s "$TEST_TMP/out" ] || fail "it said: $(cat "$TEST_TMP/out")"
    daemon=$(pgrep -f -- "qubesfs.* $P\$")
    [ "$(wc -w <<<"$daemon")" = 1 ] || fail "processes: $daemon"
    cleanup_fn kill_daemon "$daemon"
}

kill_daemon() {
    kill -KILL "$1" 2>/dev/null || true
}

gone() {
    ! kill -0 "$daemon" 2>/dev/null
}

start
same "its directory" / "$(readlink "/proc/$daemon/cwd")"
content_is "$P/vms/work/state" Halted
fusermount3 -u "$P"
until_true 10 gone || fail "it lives on after fusermount3 -u"
! is_mounted "$P" || fail "still mounted"

start
kill -TERM "$daemon"
until_true 10 gone || fail "it lives on after SIGTERM"
! is_mounted "$P" || fail "still mounted after SIGTERM"

# busy: somebody stands in it
start
exec {inside}<"$P/version"
kill -TERM "$daemon"
until_true 10 gone || fail "it lives on after SIGTERM while a file is open"
exec {inside}<&-
! is_mounted "$P" || fail "still mounted after SIGTERM while a file is open"
