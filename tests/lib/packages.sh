#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# packages.sh SET...: installs the Debian 12 packages of these sets that are missing.
# Without a missing one it needs neither network nor root.
set -eu

packages() {
    case $1 in
    build)
        echo gcc libc6-dev make pkg-config libfuse3-dev libvirt-dev libxml2-dev libssl-dev libgcrypt20-dev libisal-dev libdeflate-dev libzstd-dev \
            liblzma-dev libbz2-dev libudev-dev libxen-dev
        ;;
    demo)
        echo fuse3
        ;;
    test)
        # compilers and libraries
        echo clang libclang-rt-14-dev libcmocka-dev
        # what a mount test uses
        echo fuse3 inotify-tools python3 rsync strace procps util-linux
        # file systems that clone, and what else copies a backup
        echo btrfs-progs xfsprogs curl openssh-client
        # what an archive is checked with
        echo openssl scrypt gzip bzip2 xz-utils zstd tar cpio busybox-static pv libxml2-utils
        # what makes incremental backups of volumes
        echo restic borgbackup
        # a real hypervisor with a small guest, and XenStore
        echo libvirt-daemon-system libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients \
            qemu-system-x86 qemu-utils kmod xen-utils-4.17 xenstore-utils
        # the manual
        echo mandoc groff-base bsdextrautils
        ;;
    xen)
        # an image with Xen and a dom0, and what boots it
        echo mmdebstrap kmod cpio xz-utils e2fsprogs qemu-system-x86 python3
        ;;
    *)
        echo "packages.sh: no set '$1' (build, demo, test, xen)" >&2
        exit 2
        ;;
    esac
}

wanted=
for set in "$@"; do
    list=$(packages "$set")
    wanted="$wanted $(echo "$list" | tr '\n' ' ')"
done

if ! command -v dpkg-query >/dev/null; then
    echo "packages.sh: no Debian here; what is needed goes by these names there:$wanted" >&2
    exit 0
fi

# dpkg-query complains about packages that it has never heard of; they are just missing
# shellcheck disable=SC2086  # a list of words
present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
    sed -n 's/^installed //p') || true
missing=
for package in $wanted; do
    case "
$present
" in
    *"
$package
"*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null || {
        echo "packages.sh: neither root nor sudo here; have root install:$missing" >&2
        exit 1
    }
fi
echo "installing:$missing"
# an old list of packages may still do where the network does not
$sudo apt-get -qq update || true
# shellcheck disable=SC2086  # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends $missing >/dev/null
