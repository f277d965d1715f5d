#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 400
# Every kind of backup that the program writes of an R3 host, restored onto empty hosts: byte for byte
# the original, with the same properties.
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/restore.sh"
original=$TEST_TMP/original
make_host "$original"
echo 'firefox.desktop' >"$original/var/lib/qubes/appvms/work/whitelisted-appmenus.list"
mkdir "$original/home/user/closed"
echo x >"$original/home/user/closed/file"
chmod 500 "$original/home/user/closed"
touch -d '2001-02-03 04:05:06' "$original/home/user/closed" "$original/home/user/.bashrc"
cp -a "$original" "$HOST"
vms='fedora-23 sys-firewall work personal'
kinds='4-1-gzip 4-1-zstd 4-1-none 3-1-gzip 3-0-zstd 3-0-none'

: "--- backups of each kind"
qfs_mount
plan_ready
plan=$P/backups/default
printf '%s\n' dom0 $vms >"$plan/include"
for kind in $kinds; do
    IFS=- read -r format encrypted compression <<<"$kind"
    echo 1 >"$plan/encrypted"
    echo "$format" >"$plan/format"
    echo "$encrypted" >"$plan/encrypted"
    echo "$compression" >"$plan/compression"
    cat "$plan/backup" >"$TEST_TMP/$kind"
done
for vm in $vms; do
    properties $vm >"$TEST_TMP/$vm.properties"
done
qfs_unmount

check_files() { # HOST'S-FORM
    local qubes=$HOST/var/lib/qubes from=$original/var/lib/qubes vm home services=servicevms
    [ "$1" = r3 ] || services=appvms
    same_image "$from/vm-templates/fedora-23/root.img" "$qubes/vm-templates/fedora-23/root.img"
    same_image "$from/vm-templates/fedora-23/private.img" "$qubes/vm-templates/fedora-23/private.img"
    same_image "$from/servicevms/sys-firewall/private.img" "$qubes/$services/sys-firewall/private.img"
    for vm in work personal; do
        same_image "$from/appvms/$vm/private.img" "$qubes/appvms/$vm/private.img"
    done
    home=$(echo "$HOST"/home/user/home-restore-*)
    diff -r --no-dereference "$original/home/user" "$home"
    same 'modes and times' "$(cd "$original/home/user" && find . -mindepth 1 -printf '%p %m %Ts %l\n' | sort)" \
        "$(cd "$home" && find . -mindepth 1 -printf '%p %m %Ts %l\n' | sort)"
}

for kind in $kinds; do
    : "--- $kind onto R3"
    empty_host r3
    qfs_mount
    plan_ready
    restore_ok "$TEST_TMP/$kind"
    for vm in $vms; do
        appears "$P/vms/$vm"
        # this host has no default netvm, and what uses the default goes on using it; format 4 has R4's
        # form, which knows a ProxyVM only by its netvm
        differs='netvm:'
        [ "${kind:0:1}" = 3 ] || differs='netvm:\|^class '
        diff <(grep -v "$differs" "$TEST_TMP/$vm.properties") <(properties $vm | grep -v "$differs")
    done
    check_files r3
    grep -q 'address="192.0.2.10"' "$P/vms/work/firewall.xml"
    if [ "${kind:0:1}" = 3 ]; then
        for file in firewall.xml whitelisted-appmenus.list; do
            cmp "$original/var/lib/qubes/appvms/work/$file" "$HOST/var/lib/qubes/appvms/work/$file"
        done
    fi
    qfs_unmount
done

: "--- onto a disk without a catalogue: the settings of the host come along"
empty_host fresh
qfs_mount
plan_ready
restore_ok "$TEST_TMP/3-1-gzip"
for vm in $vms; do
    appears "$P/vms/$vm"
    diff "$TEST_TMP/$vm.properties" <(properties $vm)
done
check_files r3
qfs_unmount

for kind in 4-1-gzip 3-0-none; do
    : "--- $kind onto R4"
    empty_host r4
    qfs_mount
    plan_ready
    restore_ok "$TEST_TMP/$kind"
    for vm in $vms; do
        appears "$P/vms/$vm"
    done
    check_files r4
    same 'template' fedora-23 "$(cat "$P/vms/work/prefs/template")"
    same 'cups' 1 "$(cat "$P/vms/work/services/cups")"
    [ "${kind:0:1}" = 4 ] || same 'menu' firefox.desktop "$(cat "$P/vms/work/features/menu-items")"
    grep -q '<firewall version="2"' "$P/vms/work/firewall.xml"
    qfs_unmount
done
