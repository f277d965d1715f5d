#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every command of a VM's `control`: finished when write returns, told in state, xid and events.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
vm=$P/vms/work

# does COMMAND STATE
does() {
    expect_errno OK write "$vm/control" "$1\n"
    content_is "$vm/state" "$2"
}

grep -qx start "$vm/control" || fail "start is not valid for a halted VM"
! grep -qx pause "$vm/control" || fail "pause is valid for a halted VM"

does start Running
[ "$(cat "$vm/xid")" -gt 0 ] || fail "xid of a running VM: $(cat "$vm/xid")"
content_is "$P/vms/sys-firewall/state" Running # its netvm, started first
! grep -qx start "$vm/control" || fail "start is valid for a running VM"
grep -q '<name>work</name>' "$vm/domain.xml"

does pause Paused
does unpause Running
does pause Paused
does resume Running
expect_errno OK write "$vm/control" suspend
grep -Eqx 'Suspended|Paused' "$vm/state"
does resume Running
does restart Running
does refresh Running
does shutdown Halted
content_is "$vm/xid" -1
does start Running
does stop Halted
does start Running
does 'shutdown wait' Halted
does start Running
does 'shutdown wait 5' Halted
does start Running
does kill Halted

# several lines in one write, in order; a missing newline and any offset are fine
does 'start\npause' Paused
expect_errno OK append "$vm/control" unpause
content_is "$vm/state" Running
expect_errno OK rewrite "$vm/control" kill
content_is "$vm/state" Halted
expect_errno OK writes "$vm/control" start pause
content_is "$vm/state" Paused
echo kill >>"$vm/control"
content_is "$vm/state" Halted

same "the error file's size" 0 "$(stat -c %s "$vm/error")"
for line in 'vm work state Halted Running' 'vm work state Running Paused' \
    'vm work state Paused Running' 'vm sys-firewall state Halted Running'; do
    expect_error "$P/events" "^[^ ]+ $line\$"
done
