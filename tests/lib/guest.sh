#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# guest.sh: makes the tests' tiny Linux guest (kernel + initramfs, 15 MB, up in 3 s under software
# emulation) from Debian packages, once: build/guest/vmlinuz and build/guest/initramfs.
#
# On the serial console it says
#   GUEST-UP SECONDS          it has booted
#   GUEST-DISKS: sr0 vda ...  its block devices, whenever they change
#   GUEST-POWEROFF            somebody pressed the ACPI power button; it goes off
#   GUEST-ACTION WHAT         it does now what its kernel command line asks for:
#     qfs.action=poweroff|reboot|suspend|crash|none   done once (a rebooted guest does not reboot
#                        again; firmware makes the second boot take 8 s instead of 3)
#     qfs.delay=SECONDS                               so long after it has booted; default 0
#     qfs.button=ignore                               it does not react to the power button
#   GUEST-FOUND vda=... vdb=...   with qfs.mark=WORD: the first 16 bytes of its disks (letters and digits); then
#                        it writes WORD there, and says GUEST-MARKED WORD
#   GUEST-WROTE N        with qfs.write=yes: it has written to the N-th 4096 bytes of vdb, again and again
#
# Exit status: 0 made (or there already), 77 when a package for it can't be had, 1 broken.
set -eu
cd "$(dirname "$0")/../.."
OUT=$PWD/build/guest
mkdir -p "$OUT"
exec 9>"$OUT/lock"
flock 9
script=$PWD/tests/lib/guest.sh
if [ -s "$OUT/vmlinuz" ] && [ "$OUT/initramfs" -nt "$script" ]; then exit 0; fi

skip()
{
    echo "guest.sh: $*" >&2
    exit 77
}

PATH=$PATH:/usr/sbin:/sbin
for tool in busybox depmod cpio dpkg-deb apt-get; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
if ldd "$(command -v busybox)" >/dev/null 2>&1; then
    skip "busybox is not static: install busybox-static"
fi

cd "$OUT"
version=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
          sed -n 's/.*Depends: linux-image-//p' | head -n 1)
[ -n "$version" ] || skip "apt knows no linux-image-cloud-amd64"
if ! ls "linux-image-$version"_*.deb >/dev/null 2>&1; then
    apt-get download "linux-image-$version" >download.log 2>&1 ||
        skip "linux-image-$version can't be downloaded: $(tail -n 1 download.log)"
fi
rm -rf kernel root
dpkg-deb -x "linux-image-$version"_*.deb kernel
depmod -b kernel "$version"

mkdir -p root/bin root/modules root/proc root/sys root/dev root/etc/acpi/PWRF
cp "$(command -v busybox)" root/bin/busybox
number=10
for module in $(for name in virtio_pci virtio_blk button evdev; do
                    modprobe -S "$version" -d "$OUT/kernel" --show-depends "$name"
                done | awk '/^insmod/ && !seen[$2]++ { print $2 }'); do
    cp "$module" "root/modules/$number-$(basename "$module")"
    number=$((number + 1))
done

cat >root/etc/acpi/PWRF/00000080 <<'X'
#!/bin/busybox sh
grep -q qfs.button=ignore /proc/cmdline && exit
echo GUEST-POWEROFF
poweroff -f
X
cat >root/init <<'X'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for f in /modules/*; do insmod $f; done
echo "GUEST-UP $(cut -d' ' -f1 /proc/uptime)"
n=0; while [ ! -e /dev/input/event0 ] && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
acpid -f -d -c /etc/acpi &

# The clock outlives a reset: the year 2001 says that the action was done in an earlier life.
done_before() { grep -q ^2001 /sys/class/rtc/rtc0/date; }
note_done() { date -s 2001-01-01; hwclock -w -u; }
act()
{
    action=none delay=0
    for word in $(cat /proc/cmdline); do
        case $word in
        qfs.action=*) action=${word#*=} ;;
        qfs.delay=*) delay=${word#*=} ;;
        esac
    done
    [ $action = none ] && return
    done_before && return
    sleep $delay
    note_done >/dev/null
    echo "GUEST-ACTION $action"
    case $action in
    poweroff) poweroff -f ;;
    reboot) reboot -f ;;
    suspend) echo mem > /sys/power/state ;;
    crash) echo c > /proc/sysrq-trigger ;;
    esac
}
act &

start_of() { dd if=/dev/$1 bs=16 count=1 2>/dev/null | tr -dc 'a-zA-Z0-9'; }
mark()
{
    for word in $(cat /proc/cmdline); do
        case $word in
        qfs.mark=*)
            echo "GUEST-FOUND vda=$(start_of vda) vdb=$(start_of vdb)"
            for disk in vda vdb; do printf '%-16s' "${word#*=}" | dd of=/dev/$disk conv=notrunc 2>/dev/null; done
            sync
            echo "GUEST-MARKED ${word#*=}"
            ;;
        qfs.write=yes)
            n=1
            while :; do
                head -c 4096 /dev/urandom | dd of=/dev/vdb bs=4096 seek=$n conv=notrunc 2>/dev/null
                sync
                echo "GUEST-WROTE $n"
                n=$((n % 900 + 1))
                sleep 0.1
            done
            ;;
        esac
    done
}
mark &

old=
while :; do
    new=$(ls /sys/block | tr '\n' ' ')
    [ "$new" = "$old" ] || { echo "GUEST-DISKS: $new"; old=$new; }
    sleep 0.2
done
X
chmod +x root/init root/etc/acpi/PWRF/00000080
(cd root && find . | cpio -o -H newc --quiet | gzip -9) >initramfs.new
cp "kernel/boot/vmlinuz-$version" vmlinuz
mv initramfs.new initramfs
rm -rf kernel root
