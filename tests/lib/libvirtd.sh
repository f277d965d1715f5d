# SPDX-License-Identifier: GPL-2.0-or-later
#
# libvirtd.sh: a libvirtd of a test's own, to be killed, stopped and restarted at will.  Source it:
#
#   . tests/lib/libvirtd.sh
#   libvirtd_isolate "$0" "$@"   # first: runs the script again in namespaces of its own
#   libvirtd_start DIR           # virtlogd and libvirtd; logs in DIR; returns when qemu:///system answers
#   libvirtd_kill9; libvirtd_restart DIR     # guests live on
#   libvirtd_freeze; libvirtd_thaw           # SIGSTOP, SIGCONT
#   libvirtd_stop                # ends libvirtd, virtlogd and every guest
#
# In these namespaces libvirt's directories are empty ones of the test alone, so that qemu:///system is
# this libvirtd, and no process outlives the script.  Needs root.  Works with bash and dash.

PATH=$PATH:/usr/sbin:/sbin

# Exits with 77 (skipped) when the machine can't do it.
libvirtd_isolate()
{
    if [ -n "${QFS_ISOLATED:-}" ]; then
        return 0
    fi
    for libvirtd_tool in libvirtd virtlogd virsh qemu-system-x86_64 unshare bash; do
        if ! command -v "$libvirtd_tool" >/dev/null; then
            echo "skipped: $libvirtd_tool is not installed" >&2
            exit 77
        fi
    done
    if [ "$(id -u)" != 0 ]; then
        echo "skipped: needs root" >&2
        exit 77
    fi
    # bash as first process reaps orphans, so that `kill -0` tells the truth about daemons
    QFS_ISOLATED=1 exec unshare -m -p -f --kill-child --mount-proc --propagation private bash -c '
        set -e
        for directory in /run/libvirt /etc/libvirt /var/lib/libvirt /var/log/libvirt \
                         /var/cache/libvirt; do
            mkdir -p "$directory"
            mount -t tmpfs -o mode=0755 tmpfs "$directory"
        done
        set +e
        "$@"
        exit $?' isolated "$@"
}

libvirtd_start()
{
    mkdir -p "$1" /var/lib/libvirt/qemu /etc/libvirt/qemu
    # no cgroups: their names are shared with other libvirtds on the machine
    cat >/etc/libvirt/qemu.conf <<X
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
dynamic_ownership = 0
X
    cat >/etc/libvirt/libvirtd.conf <<X
auth_unix_rw = "none"
log_outputs = "2:file:$1/libvirtd.log"
X
    cat >/etc/libvirt/virtlogd.conf <<X
log_outputs = "2:file:$1/virtlogd.log"
X
    virtlogd -d -p /run/libvirt/virtlogd.pid -f /etc/libvirt/virtlogd.conf 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- ||
        return 1
    libvirtd_restart "$1"
}

# Starts libvirtd alone, where it was killed.
libvirtd_restart()
{
    libvirtd -d -p /run/libvirt/libvirtd.pid -f /etc/libvirt/libvirtd.conf 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- ||
        return 1
    for libvirtd_try in 1 2 3 4 5 6 7 8 9 10; do
        if virsh -q -c qemu:///system uri >/dev/null 2>"$1/virsh.log"; then
            return 0
        fi
        sleep 0.5
    done
    echo "libvirtd does not answer: $(cat "$1/virsh.log")" >&2
    return 1
}

libvirtd_pid()
{
    cat /run/libvirt/libvirtd.pid
}

# Returns when the process has gone.
libvirtd_kill9()
{
    libvirtd_victim=$(libvirtd_pid)
    kill -CONT "$libvirtd_victim" 2>/dev/null
    kill -9 "$libvirtd_victim"
    while kill -0 "$libvirtd_victim" 2>/dev/null; do
        sleep 0.05
    done
}

libvirtd_freeze()
{
    kill -STOP "$(libvirtd_pid)"
}

libvirtd_thaw()
{
    kill -CONT "$(libvirtd_pid)"
}

libvirtd_stop()
{
    for libvirtd_file in /run/libvirt/libvirtd.pid /run/libvirt/virtlogd.pid /run/libvirt/qemu/*.pid; do
        if [ -f "$libvirtd_file" ]; then
            kill -9 "$(cat "$libvirtd_file")" 2>/dev/null
        fi
    done
    return 0
}
