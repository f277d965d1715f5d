#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# build.sh: makes an image with Xen 4.17, a Debian 12 dom0 and a small PV guest from Debian packages,
# once, in build/xen: xen.bin vmlinux dom0-initrd.gz root.img.  Needs root and the packages of the
# set `xen` in tests/lib/packages.sh.
set -eu
cd "$(dirname "$0")/../.."
LAB=$PWD/build/xen
mkdir -p "$LAB/dl"
exec 9>"$LAB/lock"
flock 9
if [ -s "$LAB/root.img" ] && [ "$LAB/root.img" -nt "$PWD/tests/xen/build.sh" ]; then exit 0; fi
cd "$LAB"

# ---- 1. packages that are unpacked, not installed (kernels, hypervisor) -------------------
KV=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -1)         # 6.1.0-NN-amd64
CV=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -1)   # 6.1.0-NN-cloud-amd64
(cd dl; for p in linux-image-$KV linux-image-$CV xen-hypervisor-4.17-amd64; do
   ls ${p}_*.deb >/dev/null 2>&1 || apt-get download $p; done)
[ -d kern ]  || dpkg-deb -x dl/linux-image-${KV}_*.deb kern      # dom0: the cloud kernel has no CONFIG_XEN_DOM0
[ -d ckern ] || dpkg-deb -x dl/linux-image-${CV}_*.deb ckern     # domU: smaller, boots faster
[ -d hv ]    || dpkg-deb -x dl/xen-hypervisor-4.17-amd64_*.deb hv
gunzip -c hv/boot/xen-4.17-amd64.gz > xen.bin
# Unpacking the xz-compressed vmlinuz costs Xen ~4 s of emulated time: do it here once. (The cloud kernel is lz4: cheap.)
o=$(LC_ALL=C grep -obUaP '\xfd7zXZ\x00' kern/boot/vmlinuz-$KV | head -1 | cut -d: -f1)
tail -c +$((o + 1)) kern/boot/vmlinuz-$KV | xz -dc --single-stream 2>/dev/null > vmlinux || true
head -c 4 vmlinux | grep -q ELF

# ---- 2. dom0 root ------------------------------------------------------------------------
if [ ! -d root ]; then
rm -rf root.new
mmdebstrap --mode=root --variant=essential --format=directory \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --aptopt='Apt::Install-Recommends "false"' \
  --include=xen-utils-4.17,xenstore-utils,libvirt-daemon,libvirt-daemon-driver-xen,libvirt-clients,fuse3,libfuse3-3,inotify-tools,kmod,udev,procps,iproute2,mount,dmsetup,busybox-static,strace,libisal2,libdeflate0,libzstd1,libarchive13,libgcrypt20,libbz2-1.0,liblzma5,libsodium23,libssl3,libxml2,libvirt0,libudev1,openssl,python3-minimal \
  bookworm "$LAB/root.new"
mv root.new root
fi
# libvirtd gives up altogether when a driver fails to start; qemu's wants the user libvirt-qemu (libvirt-daemon-system). Keep libxl+storage+secret.
for d in qemu network nwfilter interface nodedev; do rm -f root/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_$d.so; done
depmod -b kern $KV; depmod -b ckern $CV
deps() { # base ver modules... -> .ko paths in load order
  local b=$1 v=$2; shift 2
  for m; do modprobe -S $v -d $b --show-depends $m; done | awk '/^insmod/ && !s[$2]++ {print $2}'; }
MD=root/lib/modules/$KV; rm -rf root/lib/modules; mkdir -p $MD
deps kern $KV loop xen-blkback xen-netback xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-blkfront \
     fuse overlay dm-mod tun bridge 9p 9pnet_virtio ext4 virtio_pci virtio_blk crc32c_generic |
  while read -r f; do install -D -m644 $f root/${f#*kern/}; done
cp kern/lib/modules/$KV/modules.builtin* kern/lib/modules/$KV/modules.order $MD/; depmod -b root $KV

# ---- 3. domU kernel + initramfs, kept inside the dom0 root under /guest ---------------------
mkdir -p root/guest; cp ckern/boot/vmlinuz-$CV root/guest/vmlinuz
rm -rf g; mkdir -p g/bin g/sbin g/proc g/sys g/dev g/mod
cp root/bin/busybox g/bin/busybox
deps ckern $CV xen-blkfront | while read -r f; do cp $f g/mod/; done
cat > g/init <<'X'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
insmod /mod/xen-blkfront.ko
echo "DOMU-UP $(uname -r)"
grep -q hold /proc/cmdline && (while ! [ -b /dev/xvdb ]; do sleep 1; done; exec sleep 100000 < /dev/xvdb) &
old=; while :; do new=$(ls /sys/block | grep xvd | tr '\n' ' ')
  [ "$new" = "$old" ] || { echo "DOMU-DISKS: $new"; old=$new; }; sleep 1; done
X
printf '#!/bin/busybox sh\nexec /bin/busybox poweroff -f\n' > g/sbin/poweroff
printf '#!/bin/busybox sh\nexec /bin/busybox reboot -f\n'   > g/sbin/reboot
chmod +x g/init g/sbin/*
(cd g && find . | cpio -o -H newc --quiet | gzip -9) > root/guest/initrd.gz

# ---- 4. dom0 init: daemons up, then the caller's script from the 9p share ------------------
cat > root/sbin/labinit <<'X'
#!/bin/bash
# PID 1 of dom0
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TERM=dumb
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev 2>/dev/null
# Xen's hotplug scripts lock with "stat /dev/stdin": without these links they spin until libxl's 40 s limit
ln -s /proc/self/fd /dev/fd; for n in 0:stdin 1:stdout 2:stderr; do ln -s fd/${n%:*} /dev/${n#*:}; done
mkdir -p /dev/pts /dev/shm; mount -t devpts -o gid=5,mode=620 d /dev/pts; mount -t tmpfs t /dev/shm
mount -t tmpfs -o mode=755 t /run; mkdir -p /run/lock /run/xenstored /run/xen /run/libvirt; mount -t tmpfs t /tmp
say() { echo "LAB[$(cut -d' ' -f1 /proc/uptime)] $*"; }
say "dom0 userspace"
ip link set lo up; hostname dom0
for m in xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xen-blkback loop fuse; do modprobe $m || say "no module $m"; done
mount -t xenfs x /proc/xen
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add --subsystem-match=block --subsystem-match=misc --subsystem-match=mem; udevadm settle -t 20
modprobe 9p; modprobe 9pnet_virtio; mkdir -p /share
mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072,cache=none share /share || say "9p FAILED"
[ -r /share/env ] && . /share/env       # e.g. XENSTORED=oxenstored  NO_LIBVIRT=1
B=/usr/lib/xen-4.17/bin
mkdir -p /var/log/xen/console /var/lib/xen /var/log/libvirt /var/lib/libvirt /etc/libvirt
$B/${XENSTORED:-xenstored} --pid-file /run/xenstore.pid
for i in $(seq 50); do xenstore-read -s / >/dev/null 2>&1 && break; sleep .1; done
$B/xen-init-dom0
$B/xenconsoled --pid-file=/run/xenconsoled.pid --log=all
say "xenstored (${XENSTORED:-xenstored}) + xenconsoled up"
if [ -z "${NO_LIBVIRT:-}" ]; then
  virtlogd -d; libvirtd -d
  for i in $(seq 100); do virsh -q -c xen:///system uri >/dev/null 2>&1 && break; sleep .2; done
  say "libvirtd up"
fi
if [ -f /share/run.sh ]; then
  bash /share/run.sh > /share/out.log 2>&1; rc=$?; echo $rc > /share/rc; say "run.sh rc=$rc"
else
  say "no run.sh: a shell on the console"; setsid bash -c 'exec bash -i <>/dev/hvc0 >&0 2>&1'
fi
sync; umount /share; say "power off"; echo o > /proc/sysrq-trigger; sleep 30
X
chmod +x root/sbin/labinit
echo 01234567890123456789012345678901 > root/etc/machine-id

# ---- 5. dom0 initrd: just enough to mount /dev/vda ----------------------------------------
rm -rf i; mkdir -p i/bin i/m i/dev i/proc i/n; cp root/bin/busybox i/bin/
deps kern $KV virtio_pci virtio_blk crc32c_generic ext4 > i.list
n=0; while read -r f; do n=$((n + 1)); cp $f i/m/$(printf %02d $n)-$(basename $f); done < i.list
cat > i/init <<'X'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs d /dev; /bin/busybox mount -t proc p /proc
for f in /m/*; do /bin/busybox insmod $f; done
i=0; while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do /bin/busybox usleep 50000; i=$((i + 1)); done
/bin/busybox mount -t ext4 /dev/vda /n || exec /bin/busybox sh
/bin/busybox umount /proc; exec /bin/busybox switch_root /n /sbin/labinit
X
chmod +x i/init; (cd i && find . | cpio -o -H newc --quiet | gzip -9) > dom0-initrd.gz

# ---- 6. the disk ---------------------------------------------------------------------------
rm -f root.img.new; mke2fs -q -t ext4 -O ^has_journal -m 0 -d root root.img.new 900M
mv root.img.new root.img
ls -las xen.bin vmlinux dom0-initrd.gz root.img root/guest/*; du -sh root
