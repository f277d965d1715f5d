#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# inotify and prefs/: a user's write makes the kernel's own events, the daemon adds one pair for each
# file whose content is another now, and none where nothing has changed.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
qfs_mount
prefs=$P/vms/work/prefs

# changes FILE: how many MODIFY and CLOSE_WRITE there were
changes() {
    echo "$(watch_count all "MODIFY vms/work/prefs/$1")" \
        "$(watch_count all "CLOSE_WRITE,CLOSE vms/work/prefs/$1")"
}
_changes_are() {
    [ "$(changes "$1")" = "$2" ]
}
expect_changes() {
    until_true "$WITHIN" _changes_are "$1" "$2" || fail "events of $1: $(changes "$1"), not $2"
}

# The writer's own events and the daemon's: the kernel merges two that are alike and follow each other.
_changes_are_merged() {
    [[ "$(changes "$1")" =~ ^[12]\ [12]$ ]]
}
expect_own_changes() {
    until_true "$WITHIN" _changes_are_merged "$1" || fail "events of $1: $(changes "$1")"
}

watch_start all "$prefs"
expect_errno OK rewrite "$prefs/memory" 1000
expect_own_changes memory
sleep 0.5
expect_own_changes memory
content_is "$prefs/memory" 1000
watch_clear all

# the same value again, and one that is refused: the user's own ones
expect_errno OK rewrite "$prefs/memory" 1000
expect_errno EINVAL rewrite "$prefs/memory" x
sleep 0.5
expect_changes memory '1 2'
watch_clear all

# what follows from it: each file once
expect_errno OK rewrite "$prefs/netvm" none
expect_own_changes netvm
expect_changes uses_default_netvm '1 1'
expect_changes dispvm_netvm '1 1'
sleep 0.5
same "changes of other files" '' \
    "$(watch_events all | grep MODIFY | grep -Ev '/(netvm|uses_default_netvm|dispvm_netvm)$' || true)"
expect_changes uses_default_netvm '1 1'
watch_clear all

# somebody else's change
catalogue_set work label green
expect_changes label '1 1'
content_is "$prefs/label" green
watch_clear all

# one that is made and goes
expect_errno OK rewrite "$prefs/vcpus" 3
echo 00:16:3e:5e:6c:05 >"$prefs/mac"
watch_expect all 'CREATE vms/work/prefs/mac' 'CLOSE_WRITE,CLOSE vms/work/prefs/mac'
echo default >"$prefs/mac"
watch_expect all 'DELETE vms/work/prefs/mac'
sleep 0.5
same "events of making it" 1 "$(watch_count all 'CREATE vms/work/prefs/mac')"
same "events of its end" 1 "$(watch_count all 'DELETE vms/work/prefs/mac')"
