# SPDX-License-Identifier: GPL-2.0-or-later
import os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from inotify import Inotify, lines
library, mount, store = sys.argv[1:]
vms = mount + "/vms"


def catalogue(*words):
    subprocess.run([library + "/catalogue", store, *words], check=True)


def same(what, expected, actual):
    if expected != actual:
        raise SystemExit(f"{what}: expected {expected}, but it is {actual}")


def inode(path):
    return os.stat(f"{vms}/{path}").st_ino


def events_inside():
    # the definition holds the name
    return [line for line in lines(inside.settle()) if not line.endswith("domain.xml")]


def moves(watch):
    """The names of each move, in order; both halves must follow each other with one cookie."""
    events, result = watch.settle(), []
    same("number of halves", 0, len(events) % 2)
    for start, end in zip(events[::2], events[1::2]):
        same("halves", ("MOVED_FROM|ISDIR", "MOVED_TO|ISDIR"), (start[1], end[1]))
        if start[3] != end[3] or start[3] == 0:
            raise SystemExit(f"not one cookie: {events}")
        result.append((start[2], end[2]))
    return result


catalogue("add", "a", "and", "add", "b", "and", "add", "c", "and", "add", "d")
top, inside = Inotify(), Inotify()
while not os.path.exists(vms + "/d"):
    time.sleep(0.01)
top.watch(vms)
inodes = {name: (inode(name), inode(name + "/state"), inode(name + "/prefs/label")) for name in "abcd"}
uuids = {name: open(f"{vms}/{name}/uuid").read() for name in "abcd"}
for name in "abcd":
    inside.watch(f"{vms}/{name}", name)
    inside.watch(f"{vms}/{name}/prefs/label", name + " label")


def check(names):
    """Whose directory each name is."""
    for name, was in names.items():
        same(f"inodes of {name}", inodes[was],
             (inode(name), inode(name + "/state"), inode(name + "/prefs/label")))
        same(f"uuid of {name}", uuids[was], open(f"{vms}/{name}/uuid").read())
    same("the VMs", sorted(["dom0", "fedora-23", "personal", "sys-firewall", "work", *names]),
         sorted(os.listdir(vms)))


# one
open_state = open(f"{vms}/a/state")
catalogue("rename", "a", "z")
same("a rename", [("a", "z")], moves(top))
same("inside", ["a MOVE_SELF"], events_inside())
check({"z": "a", "b": "b", "c": "c", "d": "d"})
same("an open file", "Halted\n", open_state.read())
assert not os.path.exists(vms + "/a")
# the watches inside go on
catalogue("set", "z", "label", "purple")
same("label", ["a label MODIFY", "a label CLOSE_WRITE"], events_inside())
same("label", "purple\n", open(f"{vms}/z/prefs/label").read())
# renamed and changed in one save
catalogue("rename", "z", "a", "and", "set", "a", "label", "gray")
same("and changed", [("z", "a")], moves(top))
same("and changed", ["a MOVE_SELF", "a label MODIFY", "a label CLOSE_WRITE"], events_inside())
check({name: name for name in "abcd"})

# swapped: no name is missing meanwhile
catalogue("rename", "a", "t", "and", "rename", "b", "a", "and", "rename", "t", "b")
same("a swap", 2, len(moves(top)))
same("a swap inside", ["a MOVE_SELF", "b MOVE_SELF"], sorted(events_inside()))
check({"a": "b", "b": "a", "c": "c", "d": "d"})
catalogue("rename", "a", "t", "and", "rename", "b", "a", "and", "rename", "t", "b")
same("and back", 2, len(moves(top)))
inside.settle()
check({name: name for name in "abcd"})

# handed on: a -> b -> c -> e; then d -> a in the same save
catalogue("rename", "c", "e", "and", "rename", "b", "c", "and", "rename", "a", "b",
          "and", "rename", "d", "a")
same("handed on", [("c", "e"), ("b", "c"), ("a", "b"), ("d", "a")], moves(top))
check({"e": "c", "c": "b", "b": "a", "a": "d"})
same("inside", sorted(f"{name} MOVE_SELF" for name in "abcd"), sorted(events_inside()))

# in a circle of three: a -> b -> c -> a
catalogue("rename", "c", "t", "and", "rename", "b", "c", "and", "rename", "a", "b",
          "and", "rename", "t", "a")
moves(top)
check({"e": "c", "a": "b", "c": "a", "b": "d"})
inside.settle()

# a new VM takes the old name of a renamed one, and a renamed one that of one removed
catalogue("rename", "a", "y", "and", "add", "a", "and", "remove", "b", "and", "rename", "c", "b")
events = lines(top.settle())
for line in ("MOVED_FROM|ISDIR a", "MOVED_TO|ISDIR y", "CREATE|ISDIR a", "DELETE|ISDIR b",
             "MOVED_TO|ISDIR b"):
    same(f"{line} in {events}", 1, sum(event.endswith(line) for event in events))
same("the VMs", ["a", "b", "e", "y"],
     sorted(set(os.listdir(vms)) - {"dom0", "fedora-23", "personal", "sys-firewall", "work"}))
same("inode of y", inodes["b"][0], inode("y"))
same("inode of b", inodes["a"][0], inode("b"))
assert inode("a") not in [numbers[0] for numbers in inodes.values()]

# removed and made anew in one save: another one, although it has the same qid
before = inode("a"), open(f"{vms}/a/uuid").read()
watch = Inotify()
watch.watch(f"{vms}/a", "a")
watch.watch(f"{vms}/a/state", "state")
top.settle(0.1)
catalogue("remove", "a", "and", "add", "a")
same("made anew", ["DELETE|ISDIR a", "CREATE|ISDIR a"],
     [line.split(" ", 1)[1] for line in lines(top.settle())])
events = lines(watch.settle())
assert events[-1] == "a DELETE_SELF" and "state DELETE_SELF" in events, events
assert inode("a") != before[0] and open(f"{vms}/a/uuid").read() != before[1]
