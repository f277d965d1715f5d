#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A VM that goes between opendir and readdir stays away; rewinddir shows what is there now.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
qfs_mount
sed '/ name="work"/d' "$CATALOGUE" >"$TEST_TMP/without.xml"

"$LIB/../mount/listing_race.py" "$P" "$CATALOGUE" "$TEST_TMP/without.xml"

# and that it came again is told, as it was the first time
inotifywait -m -q --format '%e %f' "$P/vms" >"$TEST_TMP/events" 2>/dev/null &
watcher=$!
cleanup_fn kill $watcher
sleep 0.3
"$LIB/../mount/listing_race.py" "$P" "$CATALOGUE" "$TEST_TMP/without.xml"
until_true 2 grep -qx 'CREATE,ISDIR work' "$TEST_TMP/events" || fail "not told: $(cat "$TEST_TMP/events")"
