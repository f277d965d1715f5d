#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 400
# Backups of an R4 host in formats 4 and 3, restored onto empty hosts of both releases.
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/restore.sh"
original=$TEST_TMP/original
"$LIB/sample-host-r4" "$original"
cp -a "$original" "$HOST"

: "--- backups of each format"
qfs_mount
plan_ready
plan=$P/backups/default
cat "$plan/backup" >"$TEST_TMP/4"
echo 3 >"$plan/format"
echo zstd >"$plan/compression"
cat "$plan/backup" >"$TEST_TMP/3"
for vm in fedora sys-net work; do
    properties $vm >"$TEST_TMP/$vm.properties"
done
qfs_unmount

check_files() {
    local qubes=$HOST/var/lib/qubes from=$original/var/lib/qubes
    same_image "$from/vm-templates/fedora/root.img" "$qubes/vm-templates/fedora/root.img"
    same_image "$from/vm-templates/fedora/private.img" "$qubes/vm-templates/fedora/private.img"
    same_image "$from/appvms/work/private.img" "$qubes/appvms/work/private.img"
    [ ! -e "$qubes/appvms/work/root.img" ] || fail "work has a root.img of its own"
    same_image "$from/appvms/sys-net/private.img" "$1"
    local home
    home=$(echo "$HOST"/home/user/home-restore-*)
    diff -r --no-dereference "$original/home/user" "$home"
}

for format in 4 3; do
    : "--- format $format onto R4"
    empty_host r4
    qfs_mount
    plan_ready
    restore_ok "$TEST_TMP/$format"
    appears "$P/vms/work"
    appears "$P/vms/fedora"
    check_files "$HOST/var/lib/qubes/appvms/sys-net/private.img"
    same 'netvm' sys-net "$(cat "$P/vms/work/prefs/netvm")"
    same 'template' fedora "$(cat "$P/vms/work/prefs/template")"
    if [ $format = 4 ]; then
        for vm in fedora sys-net work; do
            diff "$TEST_TMP/$vm.properties" <(properties $vm)
        done
        cmp "$original/var/lib/qubes/appvms/work/firewall.xml" "$HOST/var/lib/qubes/appvms/work/firewall.xml"
    fi
    grep -q 192.0.2.10 "$P/vms/work/firewall.xml"
    grep -q '^# work: restored$' "$P/backups/default/contents" || fail "$(cat "$P/backups/default/contents")"
    qfs_unmount

    : "--- format $format onto R3"
    empty_host r3
    qfs_mount
    plan_ready
    restore_ok "$TEST_TMP/$format"
    appears "$P/vms/work"
    check_files "$HOST/var/lib/qubes/servicevms/sys-net/private.img"
    same 'netvm' sys-net "$(cat "$P/vms/work/prefs/netvm")"
    same 'template' fedora "$(cat "$P/vms/work/prefs/template")"
    same 'memory' 1234 "$(cat "$P/vms/work/prefs/memory")"
    same 'cups' 1 "$(cat "$P/vms/work/services/cups")"
    grep -q '<QubesFirewallRules' "$P/vms/work/firewall.xml"
    qfs_unmount
done
