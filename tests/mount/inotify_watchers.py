# SPDX-License-Identifier: GPL-2.0-or-later
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from inotify import Inotify, lines, ALL, READERS

WATCHERS, CHANGES = 50, 1000
vm = sys.argv[2] + "/vms/work"
state = vm + "/state"


def value():
    with open(state) as file:
        return file.read().strip()


def command(word):
    with open(vm + "/control", "w") as file:
        file.write(word)


watchers = [Inotify() for i in range(WATCHERS)]
for i, watcher in enumerate(watchers):
    # half of them on the file, half on its directory
    if i % 2:
        watcher.watch(state, "", ALL & ~READERS)
    else:
        watcher.watch(vm, "", ALL & ~READERS)


def pair(watcher):
    """One MODIFY and one CLOSE_WRITE of state, and what is read at each."""
    seen, values = [], []
    while len(seen) < 2:
        events = watcher.read(10)
        if not events:
            raise SystemExit(f"lost: {lines(events)} after {seen}")
        for label, what, name, cookie in events:
            if name in ("", "state"):
                seen.append(what)
                values.append(value())
    if seen != ["MODIFY", "CLOSE_WRITE"]:
        raise SystemExit(f"not one pair: {seen}")
    return values


command("start")
for watcher in watchers:
    assert set(pair(watcher)) == {"Running"}

# paced: the writer goes on when all have read
for i in range(CHANGES):
    word, expected = ("pause", "Paused") if i % 2 == 0 else ("unpause", "Running")
    command(word)
    for number, watcher in enumerate(watchers):
        values = pair(watcher)
        if set(values) != {expected}:
            raise SystemExit(f"change {i} to {expected}: watcher {number} has read {values}")
for watcher in watchers:
    rest = [line for line in lines(watcher.settle(0.01)) if line.endswith(" state")]
    assert not rest, rest

# As fast as it goes, each watcher a thread: merging is allowed, an old value is not.  What is read
# lies between what was finished before the read and what was begun when it ended.
values = ["Running"]        # begun, in order
finished = 0                # its place in values
result = []


def follow(watcher):
    while True:
        events = watcher.read(20)
        if not events:
            result.append("an end is missing")
            return
        if any(name in ("", "state") for label, what, name, cookie in events):
            first = finished
            now = value()
            if now not in values[first:]:
                result.append(f"old: {now} is none of {values[first:]}")
                return
            if now == "Halted":
                result.append("end")
                return


threads = [threading.Thread(target=follow, args=(watcher,)) for watcher in watchers]
for thread in threads:
    thread.start()
for i in range(300):
    word, expected = ("pause", "Paused") if i % 2 == 0 else ("unpause", "Running")
    word, expected = ("kill", "Halted") if i == 299 else (word, expected)
    values.append(expected)
    command(word)
    finished += 1
for thread in threads:
    thread.join()
assert result == ["end"] * WATCHERS, result
