#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What `control` refuses: the errno, the line for people, where it shows, and how it goes away.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
vm=$P/vms/work

# refuses ERRNO COMMAND WORDS: and the VM's error has a line with these words
refuses() {
    expect_errno "$1" write "$vm/control" "$2\n"
    expect_error "$vm/error" "$3"
    expect_error "$P/events" "$3"
    ! grep -qi 'error:' "$vm/error" || fail "a prefix in: $(cat "$vm/error")"
}

refuses EINVAL bogus bogus
refuses EINVAL 'start now' now
refuses EINVAL 'shutdown wait soon' soon
refuses EINVAL 'shutdown wait -1' 'wait -1'
refuses EINVAL 'START' START
expect_errno EINVAL write "$vm/control" '\n'
expect_errno EINVAL write "$vm/control" 'start\0'
python3 -I -c 'print("start\n" * 1000, end="")' >"$TEST_TMP/long"
expect_errno EINVAL write "$vm/control" "@$TEST_TMP/long"
content_is "$vm/state" Halted

refuses EALREADY stop 'stop|shutdown'
for command in shutdown kill; do
    refuses EALREADY $command $command
done
for command in pause unpause suspend resume; do
    [ "$("$LIB/sysop" write "$vm/control" $command)" != OK ] || fail "$command of a halted VM is taken"
    expect_error "$vm/error" "$command"
done
expect_errno OK write "$vm/control" start
refuses EALREADY start start
expect_errno EALREADY write "$vm/control" unpause
expect_errno OK write "$vm/control" pause
refuses EALREADY pause pause

# the first line that fails stops the rest
expect_errno OK write "$vm/control" unpause
expect_errno EINVAL write "$vm/control" 'pause\nbogus\nunpause\n'
content_is "$vm/state" Paused

# a line stays until the same command succeeds
expect_error "$vm/error" '^[^ ]+ start[ :]'
expect_errno OK write "$vm/control" kill
expect_error "$vm/error" '^[^ ]+ start[ :]'
expect_errno OK write "$vm/control" start
! grep -Eq '^[^ ]+ start[ :]' "$vm/error" || fail "start succeeded, its line stays: $(cat "$vm/error")"
expect_errno OK write "$vm/control" kill

refuses EINVAL bogus bogus
refuses EINVAL 'shutdown wait 0' '1 to [0-9]+ seconds'
expect_errno OK write "$vm/control" refresh
! grep -Eq '^[^ ]+ control:' "$vm/error" || fail "a typing error stays: $(cat "$vm/error")"

# dom0 takes refresh, no other
expect_errno OK write "$P/vms/dom0/control" refresh
for command in start shutdown kill pause; do
    [ "$("$LIB/sysop" write "$P/vms/dom0/control" $command)" != OK ] || fail "dom0 takes $command"
done
[ -s "$P/vms/dom0/error" ] || fail "dom0 refuses without a word"
content_is "$P/vms/dom0/state" Running
