#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What is written to prefs/ is saved in the catalogue, by each property's rules, or refused in words.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
work=$P/vms/work

echo 2000 >"$work/prefs/memory"
content_is "$work/prefs/memory" 2000
grep -q 'name="work".* memory="2000"' "$CATALOGUE" || fail "it is not in the catalogue"
same "length" 5 "$(stat -c %s "$work/prefs/memory")"
printf 2100 >>"$work/prefs/memory"
content_is "$work/prefs/memory" 2100
same "owner and mode" 660 "$(stat -c %a "$CATALOGUE")"
same "what stays of it" 1 "$(find "${CATALOGUE%/*}" -maxdepth 1 -name 'qubes.xml*' | wc -l)"

# refused: the reason in `error`, until the same succeeds; nothing changes
cp "$CATALOGUE" "$TEST_TMP/before"
expect_errno EINVAL write "$work/prefs/maxmem" 30000
expect_error "$work/error" 'prefs/maxmem: "work": maxmem can.t be 30000: .*10 times its memory, 2100'
expect_errno EINVAL write "$work/prefs/memory" '12\n34'
expect_errno EINVAL write "$work/prefs/memory" '1234\0'
expect_errno EINVAL write "$work/prefs/memory" "$(printf '%05000d' 1)"
expect_errno ENOENT write "$work/prefs/netvm" nobody
expect_error "$work/error" 'prefs/netvm: "work": netvm can.t be "nobody": there is no such VM'
expect_errno EINVAL write "$P/vms/sys-firewall/prefs/netvm" sys-firewall
expect_errno ENOENT write "$work/prefs/kernel" 9.9
expect_errno EINVAL write "$work/prefs/label" pink
expect_errno EACCES write "$work/prefs/uuid" 0a7c6a71-4c2d-4f7b-9c29-0d6a3c8e7f99
expect_errno EACCES write "$work/prefs/name" job
expect_errno EACCES write "$P/vms/dom0/prefs/memory" 500
expect_errno EPERM create "$work/prefs/made-up"
expect_errno EPERM unlink "$work/prefs/memory"
cmp "$CATALOGUE" "$TEST_TMP/before"
content_is "$work/prefs/maxmem" 4000
echo 8000 >"$work/prefs/maxmem"
! grep -q maxmem "$work/error" || fail "the error stays"

# others' names, defaults
echo none >"$work/prefs/netvm"
content_is "$work/prefs/netvm" none
echo default >"$work/prefs/netvm"
content_is "$work/prefs/netvm" sys-firewall
grep -q 'name="work".* uses_default_netvm="True" netvm_qid="2"' "$CATALOGUE" || fail "no default"
echo default >"$work/prefs/memory"
content_is "$work/prefs/memory" 400
echo yes >"$work/prefs/autostart"
content_is "$work/prefs/autostart" True

# one that the catalogue does not hold is made by the first write, and goes by its default
_absent "$work/prefs/mac" || fail "there is a mac"
echo 00:16:3e:5e:6c:05 >"$work/prefs/mac"
content_is "$work/prefs/mac" 00:16:3E:5E:6C:05
grep -q 'mac="00:16:3E:5E:6C:05"' "$CATALOGUE" || fail "no mac in the catalogue"
echo default >"$work/prefs/mac"
vanishes "$work/prefs/mac"
expect_errno EINVAL write "$work/prefs/vcpus" x
! touch "$work/prefs/mac" 2>/dev/null || fail "a property without a value was made"
vanishes "$work/prefs/mac"

# what a running VM can't change
echo start >"$work/control"
becomes "$work/state" Running
expect_errno EBUSY write "$work/prefs/template" fedora-23
expect_error "$work/error" 'template can.t change while it runs; shut it down first'
echo 500 >"$work/prefs/memory"
content_is "$work/prefs/memory" 500

# another program saves; a symbolic link is followed
catalogue_set work memory 600
becomes "$work/prefs/memory" 600
mv "$CATALOGUE" "$HOST/elsewhere.xml"
ln -s "$HOST/elsewhere.xml" "$CATALOGUE"
echo 700 >"$work/prefs/memory"
[ -L "$CATALOGUE" ] || fail "the link was replaced"
grep -q 'memory="700"' "$HOST/elsewhere.xml" || fail "not saved through the link"

# a running qubesd owns it
begin_qubesd
expect_errno EROFS write "$work/prefs/memory" 800
expect_error "$work/error" 'prefs/memory: .*belongs to the qubesd that runs here'
expect_errno EROFS write "$work/services/cups" 0
end_qubesd
wait $qubesd || true
echo 800 >"$work/prefs/memory"
content_is "$work/prefs/memory" 800
