#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# demo.sh start|stop|say BUILD: mounts BUILD/demo/qubes, a tree over the sample host below
# BUILD/demo/root, with libvirt's embedded test driver for a hypervisor; takes it away again; or only
# says what to type.  Each may be done twice.
set -eu

lib=$(cd "$(dirname "$0")/../lib" && pwd)
build=$2
qubesfs=${QUBESFS:-$build/qubesfs}
root=$build/demo/root
mount=$build/demo/qubes

# The tree belongs to root, as Qubes' does; so mounting it does not do for an ordinary user.
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

is_mounted() {
    $sudo grep -qF " $(readlink -m "$mount") " /proc/self/mountinfo
}

say() {
    [ -z "$sudo" ] || echo "The tree belongs to root: first type  sudo -s"
    sed -e "s|MOUNT|$mount|g" -e "s|BUILD|$build|g" "$(dirname "$0")/ten-things"
}

case $1 in
start)
    if is_mounted && $sudo [ -e "$mount/version" ]; then
        echo "$mount is mounted already."
    else
        [ -e /dev/fuse ] || $sudo modprobe fuse || {
            echo "no /dev/fuse here: this kernel or container has no FUSE" >&2
            exit 1
        }
        mkdir -p "$build/demo"
        [ -e "$root/var/lib/qubes/qubes.xml" ] || "$lib/sample-host" "$root"
        # after a killed daemon it is a stale mount, which mkdir would fail on
        $sudo [ -d "$mount" ] || mkdir -p "$mount" 2>/dev/null || true
        $sudo "$qubesfs" --root "$root" --connect test:///default --xenstore none "$mount"
    fi
    say
    ;;
stop)
    if is_mounted; then
        $sudo umount "$mount" || {
            echo "$mount is in use: leave it (cd) and try again" >&2
            exit 1
        }
    fi
    # what the daemon saved below its root belongs to root
    $sudo rm -rf --one-file-system "$build/demo"
    ;;
say)
    say
    ;;
esac
