#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""read_format4.py BACKUP: an independent reader of format 4.  It derives each container's keys with Python's
scrypt and the passphrase of the environment's PASSPHRASE, checks what the containers check, keeps to the rules
of Qubes' own readers (header first and its .hmac next, every other member .enc, numbers in sequence, a VM's
members together, a header of which each line is known), reads each inner archive, and checks what the closing
manifest says."""
import hashlib, hmac, os, re, subprocess, sys
from read_outer import CHUNK, check_manifest, decompress, members, read_inner

passphrase = os.environb[b"PASSPHRASE"]
salts = set()
costs = set()


def open_container(data, secret):
    assert data[:7] == b"scrypt\0", "magic"
    log2_n, r, p = data[7], int.from_bytes(data[8:12], "big"), int.from_bytes(data[12:16], "big")
    assert (r, p) == (8, 1)
    costs.add(log2_n)
    salt = data[16:48]
    assert salt not in salts, "a salt was used twice"
    salts.add(salt)
    assert hashlib.sha256(data[:48]).digest()[:16] == data[48:64], "checksum"
    keys = hashlib.scrypt(secret, salt=salt, n=1 << log2_n, r=r, p=p, dklen=64, maxmem=(2 << 30) - 2)
    assert hmac.digest(keys[32:], data[:64], "sha256") == data[64:96], "wrong passphrase"
    assert hmac.digest(keys[32:], data[:-32], "sha256") == data[-32:], "damaged"
    command = ["openssl", "enc", "-d", "-aes-256-ctr", "-K", keys[:32].hex(), "-iv", "0" * 32]
    return subprocess.run(command, input=data[96:-32], stdout=subprocess.PIPE, check=True).stdout


def parse_header(text):
    header = {}
    for line in text.decode("ascii").splitlines():
        key, value = line.split("=")
        assert re.fullmatch("[A-Za-z0-9-]*", key) and re.fullmatch("[A-Za-z0-9-]*", value) and key not in header
        header[key] = value
    assert list(header) == ["version", "encrypted", "compressed", "compression-filter", "hmac-algorithm", "backup-id",
                            "qubesfs-manifest"]
    assert header["version"] == "4" and header["encrypted"] == "True" and header["hmac-algorithm"] == "scrypt"
    assert header["compressed"] in ("True", "False") and header["compression-filter"] in ("gzip", "zstd")
    assert header["qubesfs-manifest"] == "1"
    assert header["backup-id"] and header["backup-id"][0] != "-"
    return header


def main():
    pairs = members(open(sys.argv[1], "rb"))
    name, text = next(pairs)
    assert name == "backup-header", name
    name, proof = next(pairs)
    assert name == "backup-header.hmac", name
    assert open_container(proof, b"backup-header!" + passphrase) == text, "header"
    header = parse_header(text)
    files, containers, directories = {}, {}, []
    for name, data in pairs:
        base, number = re.fullmatch(r"(.*)\.(\d{3,})\.enc", name).groups()
        parts = files.setdefault(base, [])
        containers.setdefault(base, []).append(data)
        assert int(number) == len(parts) and base == list(files)[-1], name
        assert all(len(part) == CHUNK for part in parts), "only the last chunk may be short"
        if not parts:
            directory = base.split("/")[0]
            assert directory not in directories[:-1], "a VM's members are not together"
            if directory not in directories[-1:]:
                directories.append(directory)
        secret = "!".join((header["backup-id"], name.removesuffix(".enc"), "")).encode() + passphrase
        parts.append(open_container(data, secret))
    assert directories[0] == "qubes.xml" and directories[-1] == "qubesfs-manifest"
    assert len(costs) == 1, "one cost for all"
    for base, parts in files.items():
        assert len(parts[-1]) < CHUNK, base
        names, first = read_inner(base, decompress(b"".join(parts), header))
        if base == "qubes.xml":
            catalogue = first
        print(base, len(parts), len(names))
    containers.pop("qubesfs-manifest")
    check_manifest(first, header, containers, catalogue)


main()
