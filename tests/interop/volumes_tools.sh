#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 400
# restic and borg make incremental backups of vms/*/volumes: what has not changed is not stored again, and a
# restore gives back every byte.
. "$(dirname "$0")/../lib/mount.sh"
requires restic borg python3
make_host
vms=$HOST/var/lib/qubes/appvms
export HOME=$TEST_TMP/home XDG_CACHE_HOME=$TEST_TMP/cache
export RESTIC_PASSWORD=secret RESTIC_REPOSITORY=$TEST_TMP/restic
export BORG_REPO=$TEST_TMP/borg BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
mkdir -p "$HOME"

# no two pieces alike, nothing to compress; holes between
truncate -s 0 "$vms/work/private.img"
truncate -s 200M "$vms/work/private.img"
head -c 24M /dev/urandom | dd of="$vms/work/private.img" bs=1M conv=notrunc status=none
head -c 8M /dev/urandom | dd of="$vms/work/private.img" bs=1M seek=150 conv=notrunc status=none
qfs_mount

# stored DIRECTORY: MiB in it
stored() {
    du -sm --apparent-size "$1" | cut -f1
}
restic -q init
borg init --encryption=none

# backup NAME: by both, of all volumes as they are seen
backup() {
    (cd "$P" && restic -q backup vms/*/volumes)
    (cd "$P" && borg create --sparse --chunker-params buzhash,17,21,19,4095 "::$1" vms/*/volumes)
}
backup first
restic_before=$(stored "$TEST_TMP/restic") borg_before=$(stored "$TEST_TMP/borg")
[ "$restic_before" -ge 30 ] && [ "$restic_before" -lt 60 ] || fail "restic stores $restic_before MiB of 33"
[ "$borg_before" -ge 30 ] && [ "$borg_before" -lt 60 ] || fail "borg stores $borg_before MiB of 33"

: "--- 1 % of the data changes, in one place"
head -c 330K /dev/urandom | dd of="$vms/work/private.img" bs=1K seek=9000 conv=notrunc status=none
backup second
more=$(($(stored "$TEST_TMP/restic") - restic_before))
# both cut where the content says; a piece of restic's has up to 8 MiB (1 usually), and two may be touched
[ $more -le 17 ] || fail "restic stores $more MiB more"
more=$(($(stored "$TEST_TMP/borg") - borg_before))
# up to 2 MiB, as told above; and its index is written anew
[ $more -le 8 ] || fail "borg stores $more MiB more"

: "--- restored byte for byte"
restic -q restore latest --target "$TEST_TMP/restored"
(mkdir "$TEST_TMP/extracted" && cd "$TEST_TMP/extracted" && borg extract --sparse ::second)
for vm in work personal; do
    for tree in restored extracted; do
        cmp "$vms/$vm/private.img" "$TEST_TMP/$tree/vms/$vm/volumes/private.img"
    done
done
cmp "$HOST/var/lib/qubes/vm-templates/fedora-23/root.img" "$TEST_TMP/extracted/vms/fedora-23/volumes/root.img"
