# SPDX-License-Identifier: GPL-2.0-or-later
import os, sys
sys.path.insert(0, sys.argv[1])
from inotify import ALL, Inotify, lines

mount = sys.argv[2]
work = mount + "/vms/work"
plan = mount + "/backups/default"


def same(what, expected, actual):
    if expected != actual:
        raise SystemExit(f"{what}: expected {expected}, but it is {actual}")


def write(path, text):
    """Without truncating, which would make a MODIFY of its own."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


OWN = ["control OPEN", "control MODIFY", "control CLOSE_WRITE"]
control, state = Inotify(), Inotify()
control.watch(work + "/control", "control", ALL)
state.watch(work + "/state", "state", ALL)
for command, value in (("start", "Running"), ("pause", "Paused"), ("unpause", "Running"),
                       ("kill", "Halted")):
    write(work + "/control", command)
    same(command, ["state OPEN", "state MODIFY", "state CLOSE_WRITE"], lines(state.settle()))
    same("control", OWN, lines(control.settle(0.1)))
    same(command, value + "\n", open(work + "/state").read())
    state.settle(0.1)

# what is refused changes `error` alone
error = Inotify()
error.watch(work + "/error", "error")
for command in ("kill", "pause"):
    try:
        write(work + "/control", command)
        raise SystemExit("a halted VM obeyed")
    except OSError:
        pass
    same("refused", ["error MODIFY", "error CLOSE_WRITE"], lines(error.settle()))
    same("control", ["control OPEN", "control CLOSE_WRITE"],
         lines(control.settle(0.1)))
same("state", [], lines(state.settle(0.1)))


def pairs(path, value, changes):
    """Writes a value; the closing of our own file, and that of the daemon's pair if it changes."""
    watch = Inotify()
    watch.watch(path, "file", 0x8)  # CLOSE_WRITE alone
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(fd, value.encode())
    if not path.endswith("include"):
        # while our own file is open, only the daemon's pair can come
        same(f"{path} {value!r}", ["file CLOSE_WRITE"] * changes, lines(watch.settle(0.3)))
        changes = 0
        os.close(fd)
        same("our own", ["file CLOSE_WRITE"], lines(watch.settle(0.3)))
    else:
        # taken when it is closed; the two may be merged, so only the mtime tells for sure
        before = os.stat(path).st_mtime_ns
        os.close(fd)
        events = lines(watch.settle(0.3))
        assert 1 <= len(events) <= 1 + changes, events
        same("mtime moved", bool(changes), os.stat(path).st_mtime_ns != before)
    os.close(watch.fd)


pairs(mount + "/debug", "1", 1)
pairs(mount + "/debug", "1", 0)
pairs(mount + "/debug", "1\n", 0)
pairs(mount + "/debug", "0", 1)
pairs(plan + "/include", "work\n", 1)
pairs(plan + "/include", "work\n", 0)
pairs(plan + "/include", "work\npersonal\n", 1)
