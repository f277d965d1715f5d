#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What may not be done, and with which errno, for root.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
vm=$P/vms/work

for file in state class xid uuid stats domain.xml error firewall.xml; do
    expect_errno EACCES open "$vm/$file" w
    expect_errno EACCES open "$vm/$file" rw
    expect_errno EACCES truncate "$vm/$file" 0
done
expect_error "$vm/error" ' open: "firewall.xml" is only for reading'
expect_error "$vm/error" ' truncate: .*"firewall.xml"'
expect_errno EACCES open "$P/version" w
expect_error "$P/error" ' open: "version"'
expect_errno EACCES open "$P/events" w
expect_errno EACCES open "$P/backups/default/passphrase" r
expect_error "$P/backups/default/error" 'only for writing'

expect_errno ENOENT read "$P/vms/nosuch/state"
expect_errno ENOENT read "$vm/nosuch"
expect_errno ENOENT stat "$P/backups/nosuch"
expect_errno ENOENT unlink "$vm/nosuch"
expect_errno ENOENT rmdir "$P/vms/nosuch"

expect_errno EPERM mkdir "$P/vms/new"
expect_error "$P/error" 'new'
expect_errno EPERM rmdir "$vm"
expect_error "$P/error" 'work'
for directory in "$P" "$P/vms" "$vm" "$vm/prefs"; do
    expect_errno EPERM create "$directory/new"
    expect_errno EPERM mkdir "$directory/new"
    expect_errno EPERM mknod "$directory/new"
    expect_errno EPERM symlink target "$directory/new"
done
expect_errno EPERM unlink "$vm/state"
expect_errno EPERM unlink "$vm/control"
expect_errno EPERM unlink "$vm/prefs/label"
expect_errno EPERM rmdir "$vm/prefs"
expect_errno EPERM rmdir "$P/vms"
expect_errno EPERM rename "$vm/state" "$vm/other"
expect_errno EPERM rename "$vm/prefs" "$vm/other"
expect_errno EPERM link "$vm/state" "$vm/other"
expect_errno EPERM chmod "$vm/state" 777
expect_errno EPERM chown "$vm/state" 1
expect_errno EPERM utime "$vm/state" 0
for word in chmod chown touch; do expect_error "$vm/error" " $word: .*\"state\""; done
expect_errno EPERM rmdir "$P/backups/default"

# what exists is told so by the kernel
expect_errno EEXIST mkdir "$vm"
expect_errno EISDIR open "$vm" w
expect_errno ENOTDIR list "$vm/state"

# truncating a command file does nothing
expect_errno OK truncate "$vm/control" 0
expect_errno OK ftruncate "$vm/control" 100
content_is "$vm/state" Halted

# and all is as it was
same "the VMs" "dom0 fedora-23 personal sys-firewall work" "$(ls "$P/vms" | paste -sd ' ')"
content_is "$vm/state" Halted
content_is "$vm/prefs/label" blue
