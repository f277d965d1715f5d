#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""prefs_random.py MOUNT CATALOGUE WRITES: see prefs_random.sh."""
import errno
import fcntl
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

LABELS = "red orange yellow green gray blue purple black".split()
# property: its random value, and one that is refused
PROPERTIES = {
    "memory": (lambda: str(random.randint(400, 4000)), "4001"),
    "vcpus": (lambda: str(random.randint(1, 64)), "65"),
    "qrexec_timeout": (lambda: str(random.randint(1, 9999)), "-1"),
    "label": (lambda: random.choice(LABELS), "pink"),
    "kernelopts": (lambda: f"nopat a='{random.random()}' <&>", "a\tb"),
    "default_user": (lambda: f"user{random.randint(0, 999)}", "no body"),
    "autostart": (lambda: random.choice(("True", "False")), "maybe"),
    "debug": (lambda: random.choice(("True", "False")), "2"),
}
TOUCHED = "|".join([*PROPERTIES, "uses_default_kernelopts", "services", "counter"])


def patiently(call, *arguments):
    """On a slow machine the answer may be EINPROGRESS; asked again it comes to an end."""
    for _ in range(100):
        try:
            return call(*arguments)
        except BlockingIOError:
            time.sleep(0.2)
    raise SystemExit("in progress for ever")


def write_once(path, value, flags):
    fd = os.open(path, os.O_WRONLY | flags, 0o660)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def write(path, value, flags=os.O_CREAT):
    patiently(write_once, path, value, flags)


def remove_once(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # the one before was only slow


def remove(path):
    patiently(remove_once, path)


def writer(mount, number, writes, results):
    """Owns one property of both VMs, and a service; tells what it wrote last."""
    try:
        results.put(write_all(mount, number, writes, results))
    except (OSError, SystemExit) as error:
        results.put(f"writer {number}: {error}")
        results.put({})


def write_all(mount, number, writes, results):
    random.seed(number)
    name = list(PROPERTIES)[number]
    make, wrong = PROPERTIES[name]
    last = {}
    for count in range(writes):
        vm = random.choice(("work", "personal"))
        if count % 10 == 9:
            try:
                write(f"{mount}/vms/{vm}/prefs/{name}", wrong, 0)
                results.put(f"{name}={wrong} was taken")
            except OSError as error:
                if error.errno != errno.EINVAL:
                    results.put(f"{name}={wrong}: {error}")
            continue
        if count % 10 == 4:
            path = f"services/own{number}"
            value = random.choice(("0", "1", None))
            if value is not None:
                write(f"{mount}/vms/{vm}/{path}", value)
            elif last.get((vm, path)) is not None:
                remove(f"{mount}/vms/{vm}/{path}")
        else:
            path, value = f"prefs/{name}", make()
            write(f"{mount}/vms/{vm}/{path}", value, 0)
            with open(f"{mount}/vms/{vm}/{path}", encoding="utf-8") as file:
                seen = file.read()
            if seen != value + "\n":
                results.put(f"{vm}/{path}: wrote {value}, read {seen}")
        last[vm, path] = value
    return last


def save(catalogue):
    """Counts up an attribute of ours, as Qubes saves."""
    while True:
        with open(catalogue, "r+", encoding="utf-8", newline="") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            mine, there = os.fstat(file.fileno()), os.stat(catalogue)
            if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
                continue
            text = file.read()
            found = re.search(r' counter="(\d+)"', text)
            text = text.replace(found[0], f' counter="{int(found[1]) + 1}"')
            with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(catalogue), delete=False,
                                             encoding="utf-8", newline="") as new:
                fcntl.lockf(new, fcntl.LOCK_EX)
                new.write(text)
                new.flush()
                os.chmod(new.name, 0o660)
                os.rename(new.name, catalogue)
                return


def saver(catalogue, stop, count):
    while not stop.wait(0.01):
        save(catalogue)
        count.value += 1


def neutral(text):
    return re.sub(rf' ({TOUCHED})="[^"]*"', r' \1=""', text)


def main():
    mount, catalogue, writes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(catalogue, "r+", encoding="utf-8") as file:
        text = file.read().replace('name="fedora-23"', 'name="fedora-23" counter="0"')
        file.seek(0)
        file.write(text)
    results, stop = multiprocessing.Queue(), multiprocessing.Event()
    count = multiprocessing.Value("q", 0)
    other = multiprocessing.Process(target=saver, args=(catalogue, stop, count))
    other.start()
    writers = [multiprocessing.Process(target=writer, args=(mount, i, writes // 8, results))
               for i in range(8)]
    for process in writers:
        process.start()
    last, failures, ended = {}, [], 0
    while ended < 8:
        result = results.get(timeout=500)
        if isinstance(result, dict):
            last.update(result)
            ended += 1
        else:
            failures.append(result)
    for process in writers:
        process.join()
        if process.exitcode:
            failures.append("a writer failed")
    stop.set()
    other.join()

    with open(catalogue, encoding="utf-8") as file:
        after = file.read()
    vms = {element.get("name"): element for element in ET.fromstring(after)}
    if vms["fedora-23"].get("counter") != str(count.value) or other.exitcode:
        failures.append(f"{count.value} saves, counted {vms['fedora-23'].get('counter')}")
    for (vm, path), value in last.items():
        kind, name = path.split("/")
        if kind == "prefs":
            stored = vms[vm].get(name)
        else:
            stored = {"True": "1", "False": "0"}.get(
                (re.findall(rf"'{name}': (\w+)", vms[vm].get("services")) or [None])[0])
        if stored != value:
            failures.append(f"{vm}/{path}: stored {stored}, not {value}")
        shown = None
        if os.path.exists(f"{mount}/vms/{vm}/{path}"):
            with open(f"{mount}/vms/{vm}/{path}", encoding="utf-8") as file:
                shown = file.read().rstrip("\n")
        if shown != value:
            failures.append(f"{vm}/{path}: shown {shown}, not {value}")
    if neutral(after) != neutral(text):
        failures.append("what nobody has changed is not as it was:\n" + after)
    if failures:
        sys.exit("\n".join(failures[:20]))
    print(f"{writes} writes, {count.value} other saves")


main()
