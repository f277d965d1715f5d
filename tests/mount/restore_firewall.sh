#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 240
# R3 may keep a VM's firewall rules in a file of any name: they come back in force, on R3 and on R4.
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/restore.sh"
requires python3
"$LIB/sample-host" "$HOST"
catalogue_set work firewall_conf rules.xml
work=$HOST/var/lib/qubes/appvms/work
cp "$work/firewall.xml" "$work/rules.xml"
echo '<QubesFirewallRules policy="allow"/>' >"$work/firewall.xml"
cp "$work/rules.xml" "$TEST_TMP/rules.xml"
qfs_mount
plan_ready format 3
printf '%s\n' work personal fedora-23 sys-firewall >"$P/backups/default/include"
cat "$P/backups/default/backup" >"$TEST_TMP/backup"
qfs_unmount

for form in r3 r4; do
    empty_host $form
    qfs_mount
    plan_ready
    cat "$TEST_TMP/backup" >"$P/backups/default/backup"
    appears "$P/vms/work"
    if [ $form = r3 ]; then
        cmp "$TEST_TMP/rules.xml" "$work/firewall.xml" || fail "other rules are in force"
        content_is "$P/vms/work/prefs/firewall_conf" firewall.xml
    else
        grep -q '<firewall version="2">' "$P/vms/work/firewall.xml" || fail "no rules of R4's form"
        cp "$P/vms/work/firewall.xml" "$TEST_TMP/converted.xml"
        # as what was never called otherwise
        cmp "$TEST_TMP/converted.xml" "$P/vms/personal/firewall.xml" || fail "other rules are in force"
    fi
    qfs_unmount
done
