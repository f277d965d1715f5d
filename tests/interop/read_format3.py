#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""read_format3.py BACKUP: an independent reader of format 3.  It checks every HMAC with the passphrase of the
environment's PASSPHRASE, that chunks follow one another, derives the key itself, reads each inner archive, and
checks what the closing manifest says."""
import hashlib, hmac, os, re, subprocess, sys
from read_outer import CHUNK, check_manifest, decompress, members, read_inner

passphrase = os.environb[b"PASSPHRASE"]


def decrypt(data):
    assert data[:8] == b"Salted__"
    key, last = b"", b""
    while len(key) < 48:
        last = hashlib.md5(last + passphrase + data[8:16]).digest()
        key += last
    command = ["openssl", "enc", "-d", "-aes-256-cbc", "-K", key[:32].hex(), "-iv", key[32:48].hex()]
    return subprocess.run(command, input=data[16:], stdout=subprocess.PIPE, check=True).stdout


def main():
    files, pairs = {}, members(open(sys.argv[1], "rb"))
    for name, data in pairs:
        mac_name, mac = next(pairs)
        assert mac_name == name + ".hmac", (name, mac_name)
        want = hmac.new(passphrase, data, hashlib.sha512).hexdigest()
        assert mac == f"(stdin)= {want}\n".encode(), name
        if name == "backup-header":
            header = dict(line.split("=") for line in data.decode("ascii").splitlines())
            assert list(header)[:5] == ["version", "hmac-algorithm", "crypto-algorithm", "encrypted", "compressed"]
            assert list(header)[-2:] == ["backup-id", "qubesfs-manifest"] and header["qubesfs-manifest"] == "1"
            continue
        base, number = re.fullmatch(r"(.*)\.(\d{3,})", name).groups()
        parts = files.setdefault(base, [])
        assert int(number) == len(parts), name
        assert all(len(part) == CHUNK for part in parts), "only the last chunk may be short"
        parts.append(data)
    assert list(files)[0] == "qubes.xml" and list(files)[-1] == "qubesfs-manifest"
    salts = set()
    for base, parts in files.items():
        assert len(parts[-1]) < CHUNK
        data = b"".join(parts)
        if header["encrypted"] == "True":
            assert data[8:16] not in salts, "a salt was used twice"
            salts.add(data[8:16])
            data = decrypt(data)
        names, first = read_inner(base, decompress(data, header))
        if base == "qubes.xml":
            catalogue = first
        print(base, len(parts), len(names))
    files.pop("qubesfs-manifest")
    check_manifest(first, header, files, catalogue)


main()
