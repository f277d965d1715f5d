#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# P/events is a log: it grows, an open handle sees later lines, tail -F follows it, inotify tells;
# over 1 MiB it is cut.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait tail
make_host
qfs_mount
control=$P/vms/work/control

exec {log}<"$P/events"
cat <&"$log" >/dev/null
watch_start events "$P/events"
tail -n 0 -F "$P/events" >"$TEST_TMP/tailed" 2>/dev/null &
cleanup_fn kill $!
sleep 0.3

echo start >"$control"
watch_expect events 'MODIFY events' 'CLOSE_WRITE,CLOSE events'
cat <&"$log" >"$TEST_TMP/later"
expect_error "$TEST_TMP/later" ' vm work state Halted Running$'
exec {log}<&-
until_true "$WITHIN" grep -q ' vm work state Halted Running$' "$TEST_TMP/tailed" ||
    fail "tail -F has seen: $(cat "$TEST_TMP/tailed")"

# each line: a time, then words
! grep -Evq '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+) [^ ]' "$P/events" ||
    fail "a strange line in: $(cat "$P/events")"
same "size of events" "$(stat -c %s "$P/events")" "$(wc -c <"$P/events")"

# errors are long lines: enough of them to pass 1 MiB twice
python3 -I - "$control" <<'END'
import os, sys
for i in range(8000):
    descriptor = os.open(sys.argv[1], os.O_WRONLY)
    try:
        os.write(descriptor, b"x%d" % i + b"y" * 250)
    except OSError:
        pass
    os.close(descriptor)
END
size=$(stat -c %s "$P/events")
[ "$size" -le 1048576 ] || fail "events has $size bytes"
[ "$(wc -l <"$P/events")" -ge 1000 ] || fail "events has $(wc -l <"$P/events") lines"
tail -n 1 "$P/events" | grep -q x7999 || fail "the newest line is: $(tail -n 1 "$P/events")"
head -n 1 "$P/events" | grep -Eq '^[0-9]{4}-' || fail "the first line is cut"
