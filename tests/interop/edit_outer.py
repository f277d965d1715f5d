#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""edit_outer.py BACKUP drop PREFIX: BACKUP to stdout without the members that begin so.
edit_outer.py BACKUP swap A B: the contents of the members A and B (and of A.hmac and B.hmac) change places.
edit_outer.py BACKUP from OTHER A: the member A (and A.hmac) is that of another backup."""
import sys
from read_outer import members


def parts_of(path):
    data, parts, begin = open(path, "rb").read(), {}, 0
    with open(path, "rb") as file:
        for name, _ in members(file):
            parts[name] = data[begin : file.tell()]
            begin = file.tell()
    return parts


path, command, *names = sys.argv[1:]
parts = parts_of(path)


def under(name, part):
    """That part with another name, of up to 100 bytes."""
    header = name.encode().ljust(100, b"\0") + part[100:148] + b" " * 8 + part[156:512]
    return header[:148] + b"%06o\0 " % sum(header) + header[156:] + part[512:]


if command == "drop":
    kept = {name: part for name, part in parts.items() if not name.startswith(names[0])}
    assert len(kept) < len(parts)
    parts = kept
elif command == "swap":
    for end in ("", ".hmac"):
        a, b = (name + end for name in names)
        if a in parts:
            parts[a], parts[b] = under(a, parts[b]), under(b, parts[a])
else:
    other = parts_of(names[0])
    for name in (names[1], names[1] + ".hmac"):
        parts[name] = other[name]
sys.stdout.buffer.write(b"".join(parts.values()))
