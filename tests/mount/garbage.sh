#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Nonsense from users: 4096 random writes to `control`, impossible names, values that are no text.
# All is refused, nothing changes, and what the error files say stays readable.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount

python3 -I - "$P" <<'END'
import errno, os, random, sys, unicodedata

mount = os.fsencode(sys.argv[1])
work = mount + b"/vms/work"
random.seed(1)


def refused(call, allowed, what):
    try:
        call()
    except OSError as error:
        name = errno.errorcode[error.errno]
        assert name in allowed, f"{what}: {name}, not {allowed}"
        return
    raise AssertionError(f"{what}: taken")


def write(path, data):
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def junk(length):
    return bytes(random.randrange(256) for _ in range(length))


words = [b"start", b"stop", b"pause", b"shutdown", b"wait", b"kill", b"refresh", b"restart"]
for i in range(4096):
    kind = i % 4
    if kind == 0:
        data = b"!" + junk(random.randrange(1, 60))
    elif kind == 1:
        data = random.choice(words) + b" " + b"x" + junk(random.randrange(1, 20))
    elif kind == 2:
        data = random.choice(words) + random.choice([b"\0", b"\x01", b"\xff", b"\t;", b"'"])
    else:
        data = b"x" * random.choice([1, 255, 256, 4096, 4097, 9000])
    refused(lambda: write(work + b"/control", data), ["EINVAL"], repr(data[:80]))

names = [b"x" * 255, b"x" * 256, b"x" * 1000, b"a\nb", b"\xff\xfe", b"a\x01", b"\xc3", b" ", b"-", b"a/../b"]
for name in names:
    absent = ["ENOENT", "ENAMETOOLONG"]
    refused(lambda: os.stat(mount + b"/vms/" + name), absent, repr(name))
    refused(lambda: os.stat(work + b"/" + name), absent, repr(name))
    refused(lambda: os.stat(work + b"/prefs/" + name), absent, repr(name))
    no = absent + ["EPERM", "EINVAL"]
    refused(lambda: os.mkdir(mount + b"/vms/" + name), no, repr(name))
    refused(lambda: os.mknod(work + b"/" + name), no, repr(name))

for data in [b"\xff", b"a\xc3", b"blue\nred", b"bl\0ue", b"x" * 5000, b"<&\"'>\xc0\x80", junk(100)]:
    refused(lambda: write(work + b"/prefs/label", data), ["EINVAL", "EACCES"], repr(data[:40]))
    refused(lambda: write(work + b"/prefs/netvm", data), ["EINVAL", "ENOENT", "EACCES"], repr(data[:40]))

secrets = [b"\xff", b"a\nb", b"a\0b", b"x" * 1025, b"\x1b[0m", b"\x7f", "\u0085".encode()]
for data in secrets:
    refused(lambda: write(mount + b"/backups/default/passphrase", data), ["EINVAL"], repr(data[:40]))

for path in [work + b"/error", mount + b"/error", mount + b"/backups/default/error", mount + b"/events"]:
    with open(path, "rb") as file:
        lines = file.read().decode().split("\n")
    for line in lines:
        assert not any(unicodedata.category(c) == "Cc" for c in line), repr(line)
END

content_is "$P/vms/work/state" Halted
content_is "$P/vms/work/prefs/label" blue
content_is "$P/vms/work/prefs/netvm" sys-firewall
[ "$(stat -c %s "$P/events")" -le 1048576 ] || fail "events is over 1 MiB"
kill -0 "$QFS_PID"
