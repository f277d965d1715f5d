#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tail -F follows `events` through inotify, and goes on when it is cut to the newest 1000 lines.
. "$(dirname "$0")/../lib/mount.sh"
requires tail
make_host
qfs_mount
tail -n 0 -F "$P/events" >"$TEST_TMP/tailed" 2>"$TEST_TMP/tail.words" &
cleanup_fn kill $!
sleep 0.5
seen() {
    grep -q "$1" "$TEST_TMP/tailed"
}

# lines until the log is cut; tail may follow while they are written
python3 -IB - "$P/vms/work/control" "$P/events" <<'END'
import os, sys
size, cut = 0, False
for i in range(10000):
    fd = os.open(sys.argv[1], os.O_WRONLY)
    try:
        os.write(fd, b"x%d" % i + b"y" * 190)
    except OSError:
        pass
    os.close(fd)
    before, size = size, os.stat(sys.argv[2]).st_size
    if size > 1 << 20:
        sys.exit(f"events has {size} bytes")
    if size < before:
        lines = open(sys.argv[2]).read().splitlines()
        if not 1000 <= len(lines) <= 1003 or before < 1000000:
            sys.exit(f"cut at {before} bytes to {len(lines)} lines")
        sys.exit(0)
sys.exit("it is never cut")
END
echo start >"$P/vms/personal/control"
until_true 5 seen 'vm personal state Halted Running$' ||
    fail "tail has seen last: $(tail -n 3 "$TEST_TMP/tailed"), and says: $(cat "$TEST_TMP/tail.words")"
echo kill >"$P/vms/personal/control"
until_true 5 seen 'vm personal state Running Halted$' || fail "tail does not go on"
[ "$(wc -l <"$TEST_TMP/tailed")" -gt 1000 ] || fail "tail has seen $(wc -l <"$TEST_TMP/tailed") lines"
