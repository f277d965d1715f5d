#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 120
# A backup of a host of the other release holds a VM's firewall rules in the form that its reader knows; what can't
# be said there is told in contents.
. "$(dirname "$0")/../lib/mount.sh"
requires scrypt gzip openssl
export PASSPHRASE=fire
docs=$LIB/../../docs golden=$LIB/../golden/firewall
make_host
work=$HOST/var/lib/qubes/appvms/work
cp "$golden/deny-r3.xml" "$work/firewall.xml"
# what expires in there is as far from now as from the golden files' time, on the same sides
qfs_mount
plan=$P/backups/default

restore() { # SCRIPT
    rm -rf "$TEST_TMP/copy" "$TEST_TMP/restored"
    cat "$plan/backup" >"$TEST_TMP/copy"
    "$docs/$1" "$TEST_TMP/copy" "$TEST_TMP/restored"
}
number=3 # qid of work
prepare() { # FORMAT
    echo "$1" >"$plan/format"
    echo work >"$plan/include"
    echo "$PASSPHRASE" >"$plan/passphrase"
}

: "--- R3, format 4"
prepare 4
restore emergency-restore-4.sh
cmp "$golden/deny-r3-to-r4.xml" "$TEST_TMP/restored/vm$number/firewall.xml" || fail "not R4's rules"
grep -q "	vm$number/firewall.xml	" "$plan/contents" || fail "$(cat "$plan/contents")"
grep -q '^# left out: work: firewall.xml: rule 8 (accept): ' "$plan/contents" || fail "$(cat "$plan/contents")"
[ "$(stat -c %s "$TEST_TMP/copy")" -le "$(stat -c %s "$plan/backup")" ] || fail "larger than told"

: "--- its own form is stored as it is"
prepare 3
restore emergency-restore.sh
cmp "$golden/deny-r3.xml" "$TEST_TMP/restored/vm$number/firewall.xml" || fail "not the same"

: "--- what can't be said is told; without a file there is none"
prepare 4
cp "$golden/deny-r4.xml" "$work/firewall.xml"
grep -q "^# left out: work: firewall.xml: ALL its rules, .*QubesFirewallRules" "$plan/contents" ||
    fail "$(cat "$plan/contents")"
! grep -q "	vm$number/firewall.xml	" "$plan/contents" || fail "$(cat "$plan/contents")"
rm "$work/firewall.xml"
! grep -q firewall.xml "$plan/contents" || fail "$(cat "$plan/contents")"
# what is no file can't be read: no backup without rules
mkdir "$work/firewall.xml"
! cat "$plan/backup" >/dev/null 2>&1 || fail "a backup without the rules"
grep -q "firewall" "$plan/error" || fail "$(cat "$plan/error")"
rmdir "$work/firewall.xml"

: "--- R4, format 3"
# its volumes as files, where the sample host has them
sed 's,pool="vm-pool" vid="qubes_dom0/vm-work-private",pool="varlibqubes" vid="appvms/work/private",' \
    "$LIB/../data/r4.xml" >"$CATALOGUE.new"
mv "$CATALOGUE.new" "$CATALOGUE"
number=5
until_true 60 test -d "$P/vms/default-dvm" || fail "the R4 catalogue is not shown"
cp "$golden/deny-r4.xml" "$work/firewall.xml"
prepare 3
restore emergency-restore.sh
cmp "$golden/deny-r4-to-r3.xml" "$TEST_TMP/restored/vm$number/firewall.xml" || fail "not R3's rules"
