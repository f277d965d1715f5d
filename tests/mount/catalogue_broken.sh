#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A catalogue that breaks while mounted: the last good state stays, P/error says where; and goes on
# when it is mended.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
cp "$CATALOGUE" "$TEST_TMP/good.xml"

replace() {
    cp "$1" "$CATALOGUE.new"
    mv "$CATALOGUE.new" "$CATALOGUE"
}
has_error() {
    grep -q 'qubes\.xml' "$P/error"
}
no_error() {
    ! has_error
}

sed '3s/ qid="[0-9]*"/ qid="x"/' "$TEST_TMP/good.xml" >"$TEST_TMP/bad.xml"
replace "$TEST_TMP/bad.xml"
until_true "$WITHIN" has_error || fail "a broken catalogue, and no word about it"
expect_error "$P/error" 'qubes\.xml:3'
content_is "$P/vms/work/prefs/label" blue
same "the VMs" 5 "$(ls "$P/vms" | wc -l)"

# in place, as an editor does it, and cut off
head -c 1000 "$TEST_TMP/good.xml" >"$CATALOGUE"
sleep 0.3
content_is "$P/vms/work/prefs/label" blue
has_error || fail "the error has gone though the catalogue is still broken"

rm "$CATALOGUE"
sleep 0.3
content_is "$P/vms/work/prefs/label" blue

sed 's/name="personal"/name="private"/' "$TEST_TMP/good.xml" >"$TEST_TMP/mended.xml"
replace "$TEST_TMP/mended.xml"
appears "$P/vms/private"
vanishes "$P/vms/personal"
until_true "$WITHIN" no_error || fail "mended, but: $(cat "$P/error")"

# a writer that keeps the lock keeps nobody from reading the tree
"$LIB/catalogue" "$CATALOGUE" lock 30 >"$TEST_TMP/lock" &
locker=$!
cleanup_fn kill $locker
until_true 5 grep -q locked "$TEST_TMP/lock"
content_is "$P/vms/work/state" Halted
expect_errno OK write "$P/vms/work/control" start
content_is "$P/vms/work/state" Running
