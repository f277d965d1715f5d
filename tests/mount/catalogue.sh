#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What other programs change in qubes.xml shows at once, with real inotify events, each once.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
qfs_mount
watch_start vms "$P/vms"

catalogue_add new
watch_exactly vms 'CREATE,ISDIR vms/new'
content_is "$P/vms/new/state" Halted
content_is "$P/vms/new/class" AppVM
content_is "$P/vms/new/prefs/netvm" sys-firewall

# a changed pref: on the file and on its directory, each MODIFY and CLOSE_WRITE once
watch_start label "$P/vms/new/prefs/label"
watch_start prefs "$P/vms/new/prefs"
before=$(stat -c '%i' "$P/vms/new/prefs/label")
catalogue_set new label purple
becomes "$P/vms/new/prefs/label" purple
watch_exactly label 'MODIFY vms/new/prefs/label' 'CLOSE_WRITE,CLOSE vms/new/prefs/label'
watch_exactly prefs 'MODIFY vms/new/prefs/label' 'CLOSE_WRITE,CLOSE vms/new/prefs/label'
same "inode of label" "$before" "$(stat -c '%i' "$P/vms/new/prefs/label")"

# a pref and a service that appear and vanish
watch_clear prefs
watch_start services "$P/vms/new/services"
catalogue set new backup_timestamp 12345 and set new services "{'cups': True}"
watch_expect prefs 'CREATE vms/new/prefs/backup_timestamp'
watch_expect services 'CREATE vms/new/services/cups'
content_is "$P/vms/new/services/cups" 1
catalogue unset new backup_timestamp
watch_expect prefs 'DELETE vms/new/prefs/backup_timestamp'
[ ! -e "$P/vms/new/prefs/backup_timestamp" ] || fail "backup_timestamp is still there"

# renamed: the directory moves, keeps its inode, and an open file goes on
watch_clear vms
watch_start self "$P/vms/new"
before=$(stat -c '%i' "$P/vms/new")
catalogue_rename new newer
watch_exactly vms 'MOVED_FROM,ISDIR vms/new' 'MOVED_TO,ISDIR vms/newer'
watch_expect self 'MOVE_SELF vms/new'
[ ! -e "$P/vms/new" ] || fail "the old name is still there"
same "inode of the renamed VM" "$before" "$(stat -c '%i' "$P/vms/newer")"
content_is "$P/vms/newer/prefs/label" purple

# removed: on the list, and on what somebody knows below
watch_clear vms
watch_start gone "$P/vms/newer"
watch_start state "$P/vms/newer/state"
catalogue_remove newer
watch_exactly vms 'DELETE,ISDIR vms/newer'
watch_expect gone 'DELETE vms/newer/state' 'DELETE_SELF vms/newer'
watch_expect state 'DELETE_SELF vms/newer/state'
expect_errno ENOENT stat "$P/vms/newer"

# one save, several changes: all of them
watch_clear vms
catalogue add one and add two and remove personal and rename work job
watch_expect vms 'CREATE,ISDIR vms/one'
watch_expect vms 'CREATE,ISDIR vms/two'
watch_expect vms 'DELETE,ISDIR vms/personal'
watch_expect vms 'MOVED_FROM,ISDIR vms/work' 'MOVED_TO,ISDIR vms/job'
same "the VMs" "dom0 fedora-23 job one sys-firewall two" "$(ls "$P/vms" | paste -sd ' ')"

# a save without a change tells nothing
watch_clear vms
watch_clear prefs
catalogue set one label red
watch_nothing vms
watch_nothing prefs
