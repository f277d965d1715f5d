# SPDX-License-Identifier: GPL-2.0-or-later
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from inotify import ALL, Inotify, READERS, lines

library, mount, store = sys.argv[1:]
vms = mount + "/vms"
work = vms + "/work"


def catalogue(*words):
    subprocess.run([library + "/catalogue", store, *words], check=True)


def same(what, expected, actual):
    if expected != actual:
        raise SystemExit(f"{what}: expected {expected}, but it is {actual}")


# a value: nobody reads it, so that what opens it is the telling itself
watch, directory = Inotify(), Inotify()
watch.watch(work + "/prefs/label", "label", ALL)
directory.watch(work + "/prefs", "prefs", ALL & ~0x40000000)
for color in ("purple", "gray", "black"):
    catalogue("set", "work", "label", color)
    same("a value", ["label OPEN", "label MODIFY", "label CLOSE_WRITE"], lines(watch.settle()))
    same("its directory", ["prefs OPEN label", "prefs MODIFY label", "prefs CLOSE_WRITE label"],
         lines(directory.settle(0.1)))
    same("read", color + "\n", open(work + "/prefs/label").read())
    watch.settle(0.1), directory.settle(0.1)

# several at once, each once
catalogue("set", "work", "memory", "512", "and", "set", "work", "vcpus", "4")
same("two values", sorted(f"prefs {what} {name}" for name in ("memory", "vcpus")
                          for what in ("OPEN", "MODIFY", "CLOSE_WRITE")),
     sorted(lines(directory.settle())))
same("the other one", [], lines(watch.settle(0.1)))

# a pref that comes, is watched, and goes
watch, directory = Inotify(), Inotify()
directory.watch(work + "/prefs", "prefs")
catalogue("set", "work", "backup_timestamp", "1234")
same("a new pref", ["prefs CREATE backup_timestamp"], lines(directory.settle()))
watch.watch(work + "/prefs/backup_timestamp", "pref")
catalogue("set", "work", "backup_timestamp", "5678")
same("its change", ["pref MODIFY", "pref CLOSE_WRITE"], lines(watch.settle()))
directory.settle(0.1)
catalogue("unset", "work", "backup_timestamp")
same("it goes", ["pref ATTRIB", "pref DELETE_SELF"], lines(watch.settle()))
same("it goes", ["prefs DELETE backup_timestamp"], lines(directory.settle(0.1)))
assert not os.path.exists(work + "/prefs/backup_timestamp")
# and comes again, as another one
catalogue("set", "work", "backup_timestamp", "1")
same("again", ["prefs CREATE backup_timestamp"], lines(directory.settle()))

# a service, while somebody has it open
watch, directory = Inotify(), Inotify()
directory.watch(work + "/services", "services")
catalogue("set", "work", "services", "{'cups': True, 'meminfo-writer': True, 'new': False}")
same("a new service", ["services CREATE new"], lines(directory.settle()))
same("its value", "0\n", open(work + "/services/new").read())
watch.watch(work + "/services/new", "new")
opened = open(work + "/services/new")
catalogue("set", "work", "services", "{'cups': True, 'meminfo-writer': True}")
same("it goes", ["services DELETE new"], lines(directory.settle()))
same("it is open", ["new ATTRIB"], lines(watch.settle(0.1)))
same("and still read", "0\n", opened.read())
opened.close()
same("closed", ["new DELETE_SELF"], lines(watch.settle()))

# a VM that comes
directory = Inotify()
directory.watch(vms, "vms")
catalogue("add", "new")
same("a new VM", ["vms CREATE|ISDIR new"], lines(directory.settle()))
new = vms + "/new"
same("complete at once", "red\n", open(new + "/prefs/label").read())

# and goes, depth first

directory.watch(new, "new")
directory.watch(new + "/prefs", "prefs")
directory.watch(new + "/services", "services")
directory.watch(new + "/prefs/label", "label")
directory.watch(new + "/services/meminfo-writer", "service")
directory.watch(new + "/state", "state")
directory.watch(new + "/xid", "xid")
opened = open(new + "/state")
catalogue("remove", "new")
events = lines(directory.settle())
place = {event: number for number, event in enumerate(events)}
same("each once", len(events), len(place))
for event in ("prefs DELETE label", "label DELETE_SELF", "prefs DELETE_SELF",
              "service DELETE_SELF", "services DELETE meminfo-writer", "services DELETE_SELF",
              "new DELETE state", "new DELETE xid", "xid DELETE_SELF", "new DELETE|ISDIR prefs",
              "new DELETE|ISDIR services", "vms DELETE|ISDIR new"):
    assert event in place, f"no {event} in {events}"
for before, after in (("prefs DELETE label", "prefs DELETE_SELF"),
                      ("new DELETE|ISDIR prefs", "vms DELETE|ISDIR new"),
                      ("services DELETE meminfo-writer", "new DELETE|ISDIR services"),
                      ("new DELETE state", "vms DELETE|ISDIR new")):
    assert place[before] < place[after], f"{before} comes after {after}: {events}"
# an open file keeps itself and the directory that it was in, as on any file system
assert "state DELETE_SELF" not in place, "an open file is gone already"
same("an open file", "Halted\n", opened.read())
opened.close()
same("when it is closed", ["state DELETE_SELF", "new DELETE_SELF"], lines(directory.settle()))
assert not os.path.exists(new)

# and with nothing open in it
catalogue("add", "new")
directory.settle()
directory.watch(new, "new")
catalogue("remove", "new")
same("goes", ["new DELETE_SELF", "vms DELETE|ISDIR new"], lines(directory.settle()))

# a VM that somebody stands in
catalogue("add", "home")
same("home", ["vms CREATE|ISDIR home"], lines(directory.settle()))
os.chdir(vms + "/home/prefs")
directory.watch(".", "prefs")
catalogue("remove", "home")
events = lines(directory.settle())
assert "vms DELETE|ISDIR home" in events, events

try:
    os.stat("label")
    raise SystemExit("a file in it is still there")
except FileNotFoundError:
    pass
os.chdir("/")
same("left", ["prefs DELETE_SELF"], [l for l in lines(directory.settle()) if l.endswith("_SELF")])
