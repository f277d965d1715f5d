#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""read_format3.py BACKUP: an independent reader of format 3.  It parses the outer archive as tar2qfile does
(ustar magic, octal sizes, no extensions), checks every HMAC with the passphrase of the environment's
PASSPHRASE, that chunks follow one another, derives the key itself, and reads each inner archive."""
import gzip, hashlib, hmac, io, os, re, subprocess, sys, tarfile

CHUNK = 104857600
passphrase = os.environb[b"PASSPHRASE"]


def members(file):
    while header := file.read(512):
        assert len(header) == 512, "cut off"
        if header == bytes(512):
            continue
        assert header[257:265] == b"ustar\x0000", "magic"
        assert header[156:157] == b"0", "type"
        assert re.fullmatch(rb"[0-7]{11}\0", header[124:136]), "size"
        total = sum(header) - sum(header[148:156]) + 8 * 32
        assert int(header[148:154], 8) == total, "checksum"
        size = int(header[124:135], 8)
        name = header[:100].rstrip(b"\0")
        prefix = header[345:500].rstrip(b"\0")
        data = file.read(size)
        assert len(data) == size, "cut off"
        file.read(-size % 512)
        yield (prefix + b"/" + name if prefix else name).decode(), data


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
            continue
        base, number = re.fullmatch(r"(.*)\.(\d{3,})", name).groups()
        parts = files.setdefault(base, [])
        assert int(number) == len(parts), name
        assert all(len(part) == CHUNK for part in parts), "only the last chunk may be short"
        parts.append(data)
    salts = set()
    for base, parts in files.items():
        assert len(parts[-1]) < CHUNK
        data = b"".join(parts)
        salts.add(data[8:16])
        inner = gzip.decompress(decrypt(data))
        assert len(inner) % 10240 == 0, base
        names = tarfile.open(fileobj=io.BytesIO(inner)).getnames()
        assert names and all(n == base.rstrip("/.") or n.startswith(base) for n in names), (base, names[:3])
        print(base, len(parts), len(names))
    assert len(salts) == len(files), "a salt was used twice"


main()
