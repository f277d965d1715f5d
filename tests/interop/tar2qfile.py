#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tar2qfile.py BACKUP PREFIX...: the names of the members that Qubes' tar2qfile takes, with which a backup is read
through a VM: those that begin with one of the prefixes, until each of them was met and another member comes."""
import sys
from read_outer import members

prefixes = sys.argv[2:]
unmet = set(prefixes)
with open(sys.argv[1], "rb") as file:
    for name, _ in members(file):
        matches = [prefix for prefix in prefixes if name.startswith(prefix)]
        if not matches and not unmet:
            break
        if matches:
            unmet.difference_update(matches)
            print(name)
