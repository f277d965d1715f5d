#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# demo.sh start|stop|say BUILD: mounts BUILD/demo/qubes, a tree over the sample host below
# BUILD/demo/root, with libvirt's embedded test driver for a hypervisor; takes it away again; or only
# says what to type.  Each may be done twice.  An ordinary user can do it: the tree is then theirs.
set -eu

lib=$(cd "$(dirname "$0")/../lib" && pwd)
build=$2
qubesfs=${QUBESFS:-$build/qubesfs}
root=$build/demo/root
mount=$build/demo/qubes

is_mounted() {
    grep -qF " $(readlink -m "$mount") " /proc/self/mountinfo
}

say() {
    sed -e "s|MOUNT|$mount|g" -e "s|BUILD|$build|g" "$(dirname "$0")/ten-things"
}

case $1 in
start)
    if is_mounted && [ -e "$mount/version" ]; then
        echo "$mount is mounted already."
    else
        if ! [ -e /dev/fuse ]; then
            sudo=
            [ "$(id -u)" = 0 ] || sudo=sudo
            $sudo modprobe fuse || {
                echo "no /dev/fuse here: this kernel or container has no FUSE" >&2
                exit 1
            }
        fi
        # not below the mount of a killed daemon: that one can't be looked at, and is replaced
        is_mounted || mkdir -p "$mount"
        [ -e "$root/var/lib/qubes/qubes.xml" ] || "$lib/sample-host" "$root"
        "$qubesfs" --root "$root" --connect test:///default --xenstore none "$mount"
    fi
    say
    ;;
stop)
    # without root's rights the daemon itself keeps it busy, and it takes a lazy one
    if is_mounted; then
        fusermount3 -u "$mount" 2>/dev/null || fusermount3 -u -z "$mount"
    fi
    # the daemon may still be at its end
    rm -rf --one-file-system "$build/demo" 2>/dev/null ||
        { sleep 1 && rm -rf --one-file-system "$build/demo"; }
    ;;
say)
    say
    ;;
esac
