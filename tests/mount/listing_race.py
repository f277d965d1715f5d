#!/usr/bin/python3 -I
# SPDX-License-Identifier: GPL-2.0-or-later
"""listing_race.py QUBES CATALOGUE WITHOUT: a directory is opened, a VM goes (the catalogue becomes
WITHOUT), and then the directory is read: the name must not come back by that."""
import ctypes
import os
import shutil
import sys
import time

libc = ctypes.CDLL(None)
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
for function in (libc.readdir, libc.rewinddir, libc.closedir):
    function.argtypes = [ctypes.c_void_p]


def read_names(directory):
    names = []
    while entry := libc.readdir(directory):
        names.append(ctypes.string_at(entry + 19).decode())
    return names


def replace(catalogue, content):
    shutil.copyfile(content, catalogue + ".new")
    os.rename(catalogue + ".new", catalogue)


def wait_for(path, there):
    end = time.monotonic() + 5
    while os.path.exists(path) != there:
        if time.monotonic() > end:
            sys.exit(f"{path}: {'not there' if there else 'still there'}")
        time.sleep(0.01)


qubes, catalogue, without = sys.argv[1:]
vms, vm = qubes + "/vms", qubes + "/vms/work"
shutil.copyfile(catalogue, catalogue + ".whole")
os.listdir(vms)
os.stat(vm)
directory = libc.opendir(vms.encode())
replace(catalogue, without)
wait_for(vm, False)
if "personal" not in read_names(directory):
    sys.exit("personal is not listed")
if os.path.exists(vm):
    sys.exit("work has gone, and is there again after a listing")
libc.rewinddir(directory)
if "work" in read_names(directory):
    sys.exit("rewinddir shows what has gone")
replace(catalogue, catalogue + ".whole")
wait_for(vm, True)
libc.rewinddir(directory)
if "work" not in read_names(directory):
    sys.exit("rewinddir does not show what is new")
libc.closedir(directory)
