#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# --connect none, and one that does not answer: states are NA, commands are refused, the rest works.
. "$(dirname "$0")/../lib/mount.sh"
make_host

for uri in none "test:///$TEST_TMP/nosuch.xml"; do
    qfs_mount --connect "$uri"
    content_is "$P/vms/work/state" NA
    content_is "$P/vms/dom0/state" Running
    content_is "$P/vms/work/prefs/label" blue
    actual=$("$LIB/sysop" write "$P/vms/work/control" start)
    case $actual in ENODEV | ENOTCONN) ;; *) fail "start without a hypervisor ($uri): $actual" ;; esac
    [ -s "$P/vms/work/error" ] || fail "no word about it"
    qfs_unmount
done
