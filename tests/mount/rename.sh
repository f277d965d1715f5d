#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# mv vms/OLD vms/NEW: the catalogue and all that refers to the VM, its directory, its definition, the
# plans' lists; with the kernel's two events, once.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
: >"$HOST/var/lib/qubes/appvms/work/work.conf"
cat >"$TEST_TMP/domains.xml" <<X
<node>
  <domain type='test'>
    <name>personal</name>
    <uuid>11111111-2222-4333-8444-555555555555</uuid>
    <memory>123456</memory>
    <os><type>hvm</type></os>
    <devices><disk type='file'>
      <source file='$HOST/var/lib/qubes/appvms/personal/private.img'/><target dev='vda'/>
    </disk></devices>
    <test:runstate xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>5</test:runstate>
  </domain>
</node>
X
# a VM that only the hypervisor has given a uuid
sed -i 's/uuid="8b1e5f6a-3c6d-4d0e-9a52-0c6f0f6b2a04" //' "$CATALOGUE"
qfs_mount --connect "test://$TEST_TMP/domains.xml"
echo work >"$P/backups/default/include"
mkdir "$P/backups/other"
printf 'personal\nwork\n' >"$P/backups/other/exclude"
inode=$(stat -c %i "$P/vms/work")
watch_start vms "$P/vms"
watch_start self "$P/vms/work"

mv "$P/vms/work" "$P/vms/job"
content_is "$P/vms/job/prefs/name" job
_absent "$P/vms/work" || fail "the old name is there"
same "the VMs" 'dom0 fedora-23 job personal sys-firewall' "$(ls "$P/vms" | paste -sd ' ')"
same "its inode" "$inode" "$(stat -c %i "$P/vms/job")"
watch_exactly vms 'MOVED_FROM,ISDIR vms/work' 'MOVED_TO,ISDIR vms/job'
watch_expect self 'MOVE_SELF vms/work'
grep -q 'name="job" .*dir_path="/var/lib/qubes/appvms/job" conf_file="job.conf"' "$CATALOGUE" ||
    fail "not in the catalogue: $(grep -n job "$CATALOGUE")"
[ -f "$HOST/var/lib/qubes/appvms/job/private.img" ] || fail "the directory did not follow"
[ -f "$HOST/var/lib/qubes/appvms/job/job.conf" ] || fail "its conf did not follow"
_absent "$HOST/var/lib/qubes/appvms/work" || fail "the old directory is there"
same "the notes" '' "$(ls "$HOST/var/lib/qubesfs/renames")"
becomes "$P/backups/default/include" job
becomes "$P/backups/other/exclude" "$(printf 'personal\njob')"
grep -q '^exclude=job' "$HOST/var/lib/qubesfs/plans/other" || fail "the plan was not saved"
expect_error "$P/events" 'vm work renamed job'

# refused, with the reason
expect_errno EEXIST rename "$P/vms/job" "$P/vms/personal"
expect_error "$P/vms/job/error" 'mv: "job": there is a VM called "personal" already'
expect_errno EINVAL rename "$P/vms/job" "$P/vms/9lives"
expect_error "$P/vms/job/error" 'does not begin with a letter'
expect_errno EPERM rename "$P/vms/dom0" "$P/vms/host"
expect_errno EPERM rename "$P/vms/fedora-23" "$P/vms/fedora"
expect_errno EPERM rename "$P/vms/job" "$P/job"
expect_errno EPERM rename "$P/vms/job/prefs" "$P/vms/job/properties"
mkdir "$HOST/var/lib/qubes/appvms/taken"
expect_errno EEXIST rename "$P/vms/job" "$P/vms/taken"
expect_error "$P/vms/job/error" 'there is a directory .*/appvms/taken'
echo start >"$P/vms/job/control"
becomes "$P/vms/job/state" Running
expect_errno EBUSY rename "$P/vms/job" "$P/vms/other"
expect_error "$P/vms/job/error" 'can.t be renamed while it runs; shut it down first'
for vm in job sys-firewall; do # its netvm was started with it
    echo kill >"$P/vms/$vm/control"
    becomes "$P/vms/$vm/state" Halted
done
content_is "$P/vms/job/prefs/name" job

# what others refer to by its name; and back again
mv "$P/vms/sys-firewall" "$P/vms/fw"
becomes "$P/vms/job/prefs/netvm" fw
mv "$P/vms/job" "$P/vms/work"
content_is "$P/vms/work/prefs/netvm" fw
! grep -q 'mv:' "$P/vms/work/error" || fail "the error stays"

# the definition of somebody else, found by its name alone
content_is "$P/vms/personal/uuid" 11111111-2222-4333-8444-555555555555
mv "$P/vms/personal" "$P/vms/private"
becomes "$P/vms/private/uuid" 11111111-2222-4333-8444-555555555555
grep -q '<name>private</name>' "$P/vms/private/domain.xml" || fail "no name in the definition"
grep -q "file='$HOST/var/lib/qubes/appvms/private/private.img'" "$P/vms/private/domain.xml" ||
    fail "no new path in the definition"
content_is "$P/vms/private/state" Halted

# who holds the catalogue's lock delays the one who asks, and no listing for long
"$LIB/catalogue" "$CATALOGUE" lock 90 >"$TEST_TMP/locked" &
locker=$!
end_locker() {
    kill $locker 2>/dev/null || true
}
cleanup_fn end_locker
until_true 60 grep -q locked "$TEST_TMP/locked"
watch_clear vms
expect_errno EINPROGRESS rename "$P/vms/work" "$P/vms/late"
ls "$P/vms" >/dev/null
end_locker
wait $locker || true
appears "$P/vms/late"
watch_exactly vms 'MOVED_FROM,ISDIR vms/work' 'MOVED_TO,ISDIR vms/late'
