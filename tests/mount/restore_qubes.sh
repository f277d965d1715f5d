#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 400
# Backups as Qubes' own tools made them, formats 2, 3 and 4, verified and restored; and one that ends before
# all that its catalogue promises.
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/restore.sh"
requires openssl scrypt bzip2 python3
docs=$LIB/../../docs

# sources DIR VM...: words for qubes-backup: all of an unpacked backup, VM by VM
sources() {
    local directory=$1 vm file
    shift
    echo "qubes.xml=$directory/qubes.xml"
    for vm; do
        if [ -e "$directory/$vm/root.img" ] && [ "$whole_templates" = 1 ]; then
            echo "$vm/.=$directory/$vm"
            continue
        fi
        for file in "$directory/$vm"/*; do
            echo "$vm/${file##*/}=$file"
        done
    done
    echo "dom0-home/user=$directory/dom0-home/user"
}

: "--- a host of each release, its backup unpacked"
make_host "$TEST_TMP/r3"
"$LIB/sample-host-r4" "$TEST_TMP/r4"
for release in r3 r4; do
    rm -rf --one-file-system "$HOST"
    cp -a "$TEST_TMP/$release" "$HOST"
    qfs_mount
    plan_ready
    plan=$P/backups/default
    if [ $release = r3 ]; then
        printf '%s\n' dom0 fedora-23 sys-firewall work personal >"$plan/include"
        echo 3 >"$plan/format"
        cat "$plan/backup" >"$TEST_TMP/backup"
        "$docs/emergency-restore.sh" "$TEST_TMP/backup" "$TEST_TMP/out-r3"
    else
        cat "$plan/backup" >"$TEST_TMP/backup"
        "$docs/emergency-restore-4.sh" "$TEST_TMP/backup" "$TEST_TMP/out-r4"
    fi
    qfs_unmount
done

# check RELEASE: what was restored is what was there
check() {
    local from=$TEST_TMP/$1/var/lib/qubes to=$HOST/var/lib/qubes image
    for image in $(cd "$from" && find . -name private.img -o -name root.img); do
        same_image "$from/$image" "$to/$image"
    done
    diff -r --no-dereference "$TEST_TMP/$1/home/user" "$HOST"/home/user/home-restore-*
}

for made in 'format=3' 'format=3 encrypted=0 filter=bzip2 hmac-text=new' 'format=2 encrypted=0' 'format=4' \
    'format=4 writer=tarwriter outer=ustar'; do
    : "--- $made"
    release=r3 whole_templates=1 vms='vm2 vm3 vm4 vm1'
    case $made in *format=4*) release=r4 whole_templates=0 vms='vm1 vm2 vm3' ;; esac
    # shellcheck disable=SC2046,SC2086  # words
    "$LIB/qubes-backup" $made $(sources "$TEST_TMP/out-$release" $vms) >"$TEST_TMP/backup"
    empty_host $release
    qfs_mount
    plan_ready
    # without a closing manifest an fsync can't know the end, the close can
    dd if="$TEST_TMP/backup" of="$P/backups/default/verify" bs=1M conv=fsync status=none ||
        fail "$(cat "$P/backups/default/error")"
    same 'state' done "$(status_field state)"
    restore_ok "$TEST_TMP/backup"
    appears "$P/vms/work"
    check $release
    qfs_unmount
done

: "--- one that ends early: a VM that the catalogue inside promises is missing"
# shellcheck disable=SC2046,SC2086  # words
"$LIB/qubes-backup" format=4 $(sources "$TEST_TMP/out-r4" vm1 vm2) >"$TEST_TMP/backup"
empty_host r4
qfs_mount
plan_ready
before=$(disk_state)
for file in verify backup; do
    ! cat "$TEST_TMP/backup" >"$P/backups/default/$file" 2>"$TEST_TMP/stderr" || fail "taken for a whole one"
    grep -q 'Input/output error' "$TEST_TMP/stderr" || fail "$(cat "$TEST_TMP/stderr")"
    status_becomes state failed
done
expect_error "$P/backups/default/error" 'work'
expect_untouched "$before"
