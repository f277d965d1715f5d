#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in dom0: the daemon against libxl and XenStore; each step says when it was done.  Status 0 if all was
# right.  /share has the daemon, a host's directory, and what came out.
set -u
P=/qubes HOST=/host
V="virsh -q -c xen:///system"
failed=0
now() { cut -d' ' -f1 /proc/uptime; }
say() { echo "[$(now)] $*"; }
ok() { say "ok: $*"; }
bad() {
    say "FAILED: $*"
    failed=1
    tail -n 15 /tmp/daemon.log
    cat $P/error
}
# within SECONDS COMMAND...
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.5 # the guest needs the only processor, too
    done
}
logs() {
    mkdir -p /share/logs
    cp -r /var/log/libvirt /var/log/xen /tmp/daemon.log /tmp/watch* /share/logs/ 2>/dev/null
    xenstore-ls -f >/share/logs/xenstore 2>/dev/null
    xl dmesg >/share/logs/xl-dmesg 2>/dev/null
    cp $P/events $P/error /share/logs/ 2>/dev/null
}
trap logs EXIT

tar -C / -xf /share/host.tar
mkdir -p $P
/share/qubesfs -f --root $HOST --templates /share/templates --store $HOST/var/lib/qubes/qubes.xml \
    $P >/tmp/daemon.log 2>&1 &
daemon=$!
within 120 test -e $P/version || { bad "no mount"; exit 1; }
ok "mounted; $(xl info 2>/dev/null | grep -E 'xen_version' | tr -s ' ')"
within 60 sh -c "[ \"\$(cat $P/vms/guest/state)\" = Halted ]" && ok "libxl answers: guest is Halted" ||
    bad "state $(cat $P/vms/guest/state)"

truncate -s 8M /tmp/b.img /tmp/c.img
loop=$(losetup -f --show /tmp/b.img)
device=$P/devices/dom0:${loop#/dev/}
within 20 test -e "$device" && ok "$loop is offered" || bad "no $device"

say "echo start"
if ! echo start >$P/vms/guest/control; then
    say "start answered with an error (EINPROGRESS after 15 s is right): $(cat $P/vms/guest/error)"
    [ ! -s $P/vms/guest/error ] || { bad "start"; exit 1; }
fi
within 300 sh -c "[ \"\$(cat $P/vms/guest/state)\" = Running ]" && ok "guest runs, xid $(cat $P/vms/guest/xid)" ||
    { bad "guest is $(cat $P/vms/guest/state)"; exit 1; }
console=/var/log/xen/console/guest-guest.log
within 300 grep -q DOMU-UP $console && ok "guest's kernel is up" || bad "guest prints nothing"
# let the hotplug of its own disks settle
within 120 grep -q "DOMU-DISKS: xvda" $console || bad "guest has no disks"

ls $P/vms/guest/devices >/dev/null
inotifywait -m --timefmt '%s' --format '%T %e %w%f' -o /tmp/watch $P/vms/guest/devices "$device" 2>/tmp/watch.err &
watcher=$!
within 60 grep -q established /tmp/watch.err || bad "no watch"

say "echo attach guest"
if echo "attach guest" >"$device"; then ok "attach answered"; else say "attach still at work"; fi
within 120 grep -q state=attached "$device" && ok "$(grep -E 'state|attached|frontend' "$device" | tr '\n' ' ')" ||
    bad "not attached: $(cat "$device")"
within 120 grep -q 'CREATE.*xvdi' /tmp/watch && ok "inotifywait: $(grep CREATE /tmp/watch | tail -n 1)" || bad "no event"
within 120 grep -q 'DOMU-DISKS: .*xvdi' $console && ok "guest sees xvdi" || bad "guest does not see xvdi"
say "echo detach"
if echo detach >"$device"; then ok "detach answered"; else say "detach still at work"; fi
within 120 grep -q state=free "$device" && ok "free again" || bad "not free: $(cat "$device")"
within 60 grep -q 'DELETE.*xvdi' /tmp/watch && ok "inotifywait: $(grep DELETE /tmp/watch | tail -n 1)" || bad "no event"

# behind our back: libxl tells nobody, XenStore does
cat >/tmp/disk.xml <<X
<disk type='block' device='disk'><driver name='phy' type='raw'/><source dev='$loop'/><target dev='xvdj' bus='xen'/></disk>
X
say "virsh attach-device"
$V attach-device guest /tmp/disk.xml --live || bad "virsh attach-device"
within 60 grep -q 'CREATE.*xvdj' /tmp/watch && ok "virsh's attach is seen" || bad "virsh's attach is not seen"
$V detach-device guest /tmp/disk.xml --live || bad "virsh detach-device"
within 60 grep -q 'DELETE.*xvdj' /tmp/watch && ok "virsh's detach is seen" || bad "virsh's detach is not seen"

# xl, of which not even libvirt knows.  The time between XenStore's event and ours: both by the same clock.
xid=$(cat $P/vms/guest/xid)
xl_attach() { # FRONTEND
    /share/latency $P/vms/guest/devices "/local/domain/$xid/device/vbd" >/tmp/watch.t 2>&1 &
    local measure=$! start end
    sleep 1
    start=$(date +%s%N)
    xl block-attach guest "format=raw,vdev=$1,access=rw,target=$loop" || bad "xl block-attach"
    end=$(date +%s%N)
    wait $measure && ok "xl block-attach $1 took $(((end - start) / 1000000)) ms; $(cat /tmp/watch.t)" ||
        bad "xl's attach: $(cat /tmp/watch.t)"
    within 60 grep -q "frontend=$1" "$device" || bad "xl's attach is not seen"
}
xl_attach xvdk
xl block-detach guest xvdk || bad "xl block-detach"
within 60 sh -c "! [ -e $P/vms/guest/devices/xvdk ]" && ok "xl's detach is seen" || bad "xl's detach is not seen"
xl_attach xvdl
if echo detach >"$device"; then ok "echo detach of what xl attached"; else say "detach still at work"; fi
within 120 grep -q state=free "$device" && ok "free again" || bad "not free: $(cat "$device")"

# a backup out of dom0
echo secret >$P/backups/default/passphrase
echo guest >$P/backups/default/include
echo "shutdown wait 120" >$P/vms/guest/control || say "shutdown answered with an error"
within 200 sh -c "[ \"\$(cat $P/vms/guest/state)\" = Halted ]" && ok "guest is halted" || {
    echo kill >$P/vms/guest/control
    within 60 sh -c "[ \"\$(cat $P/vms/guest/state)\" = Halted ]" || bad "guest does not stop"
}
if cp $P/backups/default/backup /tmp/guest.qbk && [ -s /tmp/guest.qbk ]; then
    ok "backup of $(stat -c %s /tmp/guest.qbk) bytes"
else
    bad "backup"
fi
echo rename >$P/backups/default/conflict
if (cat /tmp/guest.qbk >$P/backups/default/backup) 2>/tmp/restore.err; then
    within 60 sh -c "ls $P/vms | grep -q '^guest.'" || bad "restored, but there is no VM"
    again=$(ls $P/vms | grep '^guest.')
    images=$HOST/var/lib/qubes/appvms
    cmp $images/guest/private.img "$images/$again/private.img" &&
        cmp $images/guest/root.img "$images/$again/root.img" &&
        ok "restored as $again, its volumes are the same" || bad "$again has other volumes"
else
    bad "not restored: $(cat /tmp/restore.err)"
fi

kill $watcher 2>/dev/null
umount $P
within 30 sh -c "! kill -0 $daemon 2>/dev/null" && ok "ended" || bad "the daemon does not end"
losetup -d "$loop"
say "$([ $failed = 0 ] && echo ALL RIGHT || echo SOMETHING FAILED)"
exit $failed
