#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a guest finds in XenStore when it boots, with the real xenstored: values, and who may read and write
# them.  Where they can't be written the VM does not start.
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/xenstore.sh"
cleanup_fn xenstore_stop
xenstore_start
make_host
mkdir -p "$HOST/usr/share/zoneinfo"
ln -s ../usr/share/zoneinfo/Europe/Warsaw "$HOST/etc/localtime"
catalogue set work services "{'cups': True, 'meminfo-writer': False, 'b d': True}"
catalogue add box HVm and set box uses_default_netvm False and set box netvm_qid none
# a toolstack introduces a guest before it runs; libvirt's test driver is none, but its numbers are known
for id in 2 3 4 5 6; do xen_domain $id; done
qfs_mount --xenstore "$XENSTORE"
key() {
    xenstore-read "/local/domain/$id/$1"
}
# entries NAME=VALUE...
entries() {
    local entry
    for entry; do same "$entry" "${entry#*=}" "$(key "${entry%%=*}")"; done
}

: "--- an AppVM and, started for it, its netvm"
echo start >"$P/vms/work/control"
id=$(cat "$P/vms/work/xid")
entries name=work qubes-vm-type=AppVM qubes-vm-updateable=False qubes-vm-persistence=rw-only \
    qubes-base-template=fedora-23 qubes-debug-mode=0 qubes-ip=10.137.2.5 qubes-netmask=255.255.255.0 \
    qubes-gateway=10.137.2.1 qubes-primary-dns=10.137.2.1 qubes-secondary-dns=10.137.2.254 \
    qubes-timezone=Europe/Warsaw qubes-service/cups=1 qubes-service/meminfo-writer=0 \
    qubes-block-devices= qubes-usb-devices=
same "services" "cups
meminfo-writer" "$(xenstore-list "/local/domain/$id/qubes-service" | sort)"
[ "$(key qubes-random-seed | base64 -d | wc -c)" = 64 ] || fail "no seed"
! xenstore-exists "/local/domain/$id/qubes-netvm-network" || fail "an AppVM offers a network"
# permissions as a guest meets them
same "read by the guest" 10.137.2.5 "$(xenstore-ls -p "/local/domain/$id" | sed -n 's/^qubes-ip = "\(.*\)".*/\1/p')"
xenstore-ls -p "/local/domain/$id" | grep "^qubes-ip = .*(n0,r$id)" >/dev/null || fail "qubes-ip: $(xenstore-ls -p "/local/domain/$id")"
xenstore-ls -p "/local/domain/$id" | grep "^qubes-block-devices = .*(n$id)" >/dev/null || fail "the guest can't offer devices"

id=$(cat "$P/vms/sys-firewall/xid")
entries name=sys-firewall qubes-vm-type=ProxyVM qubes-netvm-gateway=10.137.2.1 qubes-netvm-network=10.137.2.0 \
    qubes-netvm-primary-dns=10.137.2.1 qubes-netvm-secondary-dns=10.137.2.254 qubes-netvm-netmask=255.255.255.0 \
    qubes-netvm-external-ip=
! xenstore-exists "/local/domain/$id/qubes-ip" || fail "a VM without a netvm has an address"

: "--- an HVM has a place for its tools; a TemplateVM is persistent"
echo start >"$P/vms/box/control"
id=$(cat "$P/vms/box/xid")
entries qubes-vm-type=HVM qubes-tools= qubes-vm-updateable=True qubes-vm-persistence=full qubes-base-template=
echo start >"$P/vms/fedora-23/control"
id=$(cat "$P/vms/fedora-23/xid")
entries qubes-vm-type=TemplateVM qubes-vm-persistence=full

: "--- without XenStore it does not start, and says why"
echo kill >"$P/vms/work/control"
xenstore_kill
expect_errno ENOTCONN write "$P/vms/work/control" start
content_is "$P/vms/work/state" Halted
expect_error "$P/vms/work/error" 'start: .*XenStore'
xenstore_restart
echo start >"$P/vms/work/control"
id=$(cat "$P/vms/work/xid")
entries qubes-vm-type=AppVM
content_is "$P/vms/work/error" ''
