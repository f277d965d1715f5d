#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""hostile.py READER [MEMORY-MIB]: backups that somebody made to do harm, with the right passphrase or without.  Each
must be refused with the errno that is named here, in bounded time and (if a limit is given) memory, or come to
what is harmless.  MEMBERS in the environment: how many members the archive with too many has."""
import bz2, gzip, hashlib, hmac, io, lzma, os, resource, subprocess, sys

reader, limit = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
KEY = b"hostile"
count = 0


def octal(number, width):
    return b"%0*o\0" % (width - 1, number)


def block(name=b"vm2/private.img", size=0, kind=b"0", link=b"", magic=b"ustar  \0", fields=()):
    """a tar header; `fields` are (offset, bytes) put over it before the sum is made"""
    data = bytearray(512)
    for at, value in ((0, name[:100]), (100, octal(0o600, 8)), (108, octal(0, 8)), (116, octal(0, 8)), (124, octal(size, 12)),
                      (136, octal(0, 12)), (148, b" " * 8), (156, kind), (157, link[:100]), (257, magic), *fields):
        data[at:at + len(value)] = value
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def pad(data):
    return data + bytes(-len(data) % 512)


def file(name=b"vm2/private.img", data=b"data", **more):
    return block(name, len(data), **more) + pad(data)


END = bytes(1024)
ONE = file() + END


def outer(name, data, **more):
    return block(name.encode(), len(data), magic=b"ustar\00000", **more) + pad(data)


def proof(data, key=KEY, algorithm="sha512"):
    return b"(stdin)= " + hmac.new(key, data, algorithm).hexdigest().encode() + b"\n"


def pair(name, data, **more):
    return outer(name, data) + outer(name + ".hmac", proof(data, **more))


def header(encrypted=b"False", filters=b"none", lines=b"", algorithm=b"SHA512", version=b"version=3\n"):
    compressed = b"compressed=False\n" if filters == b"none" else b"compressed=True\ncompression-filter=" + filters + b"\n"
    return pair("backup-header", version + b"hmac-algorithm=" + algorithm + b"\ncrypto-algorithm=aes-256-cbc\nencrypted=" +
                encrypted + b"\n" + compressed + lines)


CATALOGUE = pair("qubes.xml.000", file(b"qubes.xml", b"<x/>") + END)
HEADER = header()


def run(what, pieces, *options):
    global count
    count += 1
    process = subprocess.Popen([reader, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, "PASSPHRASE": KEY.decode()})
    try:
        for piece in pieces if isinstance(pieces, (list, tuple)) or hasattr(pieces, "__next__") else [pieces]:
            process.stdin.write(piece)
        process.stdin.close()
    except BrokenPipeError:
        pass
    out = process.stdout.read().decode(errors="replace")
    err = process.stderr.read().decode(errors="replace")
    return process.wait(timeout=280), out, err


def refused(what, code, pieces, *options):
    status, out, err = run(what, pieces, *options)
    if status == 0 or not err.startswith(code + ": ") or err.count("\n") != 1:
        sys.exit(f"FAIL: {what}: status {status}, not {code}: {err[:2000]}{out[-300:]}")


def harmless(what, expected, pieces, *options):
    status, out, err = run(what, pieces, *options)
    if status != 0 or expected not in out:
        sys.exit(f"FAIL: {what}: status {status}: {err[:2000]}{out[-300:]}")


def inner(what, code, data, name="vm2/private.img.000"):
    refused(what, code, HEADER + CATALOGUE + pair(name, data))


def names():
    for path in (b"../private.img", b"/vm2/private.img", b"vm2/../private.img", b"vm2/private.img/../../x", b"vm3/private.img",
                 b"vm2/private.imgx", b"", b"vm2/private.img/"):
        inner(f"member {path}", "EINVAL" if path else "EINVAL", file(path) + END)
    inner("long name with ..", "EINVAL", block(b"L", 30, b"L") + pad(b"vm2/private.img/../../../x\0") + ONE)
    pax = b"27 path=../../etc/crontabs\n"
    inner("pax path with ..", "EINVAL", block(b"x", len(pax), b"x", magic=b"ustar\00000") + pad(pax) + ONE)
    for target in (b"/etc/passwd", b"../../x", b"vm3/private.img"):
        inner(f"hard link to {target}", "EINVAL", block(kind=b"1", link=target) + END)
    for kind in b"D", b"N", b"V", b"M", b"g", b"A", b"K":
        inner(f"type {kind}", "EINVAL" if kind not in b"K" else "EBADMSG", block(kind=kind) + END)
    harmless("a symbolic link is told as it is", "-> ../../etc", HEADER + CATALOGUE + pair(
        "vm2/private.img.000", block(kind=b"2", link=b"../../etc") + END))
    harmless("a device is told as such", "member s", HEADER + CATALOGUE + pair("vm2/private.img.000", block(kind=b"3") + END))
    for name in ("../x.000", "/x.000", "vm2/../x.000", "vm2//x.000", "x.00", "x", "vm2/./x.000", ".000", "x.0000", "a\nb.000"):
        refused(f"outer name {name}", "EBADMSG", HEADER + CATALOGUE + pair(name, ONE))
    for kind in b"1", b"2", b"3", b"6", b"S":
        refused(f"outer type {kind}", "EINVAL", HEADER + CATALOGUE + block(b"vm2/private.img.000", kind=kind))


def sizes():
    big = b"\x80\0\0\0" + b"\x80" + bytes(7)  # 2^63, base 256
    inner("size 2^63", "EBADMSG", block(fields=[(124, big)]) + END)
    inner("negative size", "EBADMSG", block(fields=[(124, b"\xff" * 12)]) + END)
    inner("size of letters", "EBADMSG", block(fields=[(124, b"0000000000x\0")]) + END)
    inner("a size that never comes", "EBADMSG", block(size=1 << 30) + END)
    for size in b"9223372036854775808", b"99999999999999999999999", b"-1", b"":
        record = b" size=" + size + b"\n"
        pax = b"%d" % (len(record) + 2) + record
        inner(f"pax size {size}", "EBADMSG", block(b"x", len(pax), b"x", magic=b"ustar\00000") + pad(pax) + ONE)
    inner("a name of 2 MiB", "EBADMSG", block(b"L", 2 << 20, b"L") + bytes(2 << 20) + ONE)
    refused("outer size 2^62", "EBADMSG", HEADER + CATALOGUE + block(b"x.000", fields=[(124, b"\x80\0\0\0\x40" + bytes(7))]))
    refused("a chunk above 100 MiB", "EBADMSG", HEADER + CATALOGUE + block(b"x.000", size=104857729))
    for what, entries, real, stored in (
            ("falls", [(1024, 512), (0, 512)], 2048, 1024), ("overlaps", [(0, 1024), (512, 512)], 2048, 1536),
            ("ends behind the file", [(0, 512), (4096, 512)], 4096, 1024), ("is less than is stored", [(0, 512)], 4096, 1024),
            ("is more than is stored", [(0, 512), (1024, 512)], 4096, 512)):
        table = [(386, b"".join(octal(n, 12) for e in entries for n in e)), (483, octal(real, 12))]
        inner(f"a sparse map that {what}", "EBADMSG", block(size=stored, kind=b"S", fields=table) + bytes(stored) + END)
    table = [(386, b"\x80" + b"\xff" * 11 + octal(512, 12)), (483, b"\x80" + b"\xff" * 11)]
    inner("a sparse map at 2^64", "EBADMSG", block(size=512, kind=b"S", fields=table) + bytes(512) + END)
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n30 GNU.sparse.realsize=100000\n"
    for text in b"99999999999\n", b"2\n0\n512\n", b"1\n-5\n1\n", b"x", b"1\n0\n18446744073709551616\n":
        inner(f"pax map {text}", "EBADMSG" if text[:2] != b"99" else "E2BIG",
              block(b"x", len(records), b"x", magic=b"ustar\00000") + pad(records) + block(size=512) + pad(text) + END)
    records = b"28 GNU.sparse.numblocks=100\n"
    inner("pax sparse 0.0", "ENOTSUP", block(b"x", len(records), b"x", magic=b"ustar\00000") + pad(records) + ONE)


def ends():
    inner("no end", "EBADMSG", file())
    inner("half an end", "EBADMSG", file() + bytes(512))
    inner("more behind the end", "EBADMSG", ONE + file())
    inner("zeros without end", "EBADMSG", ONE + bytes(3 << 20))
    refused("a chunk behind the last one", "EBADMSG", HEADER + CATALOGUE + pair("vm2/private.img.000", ONE) + pair("vm2/private.img.001", b"x"))
    refused("a chunk left out", "EBADMSG", HEADER + CATALOGUE + pair("vm2/private.img.000", ONE) + pair("vm2/private.img.002", b""))
    refused("a file twice", "EBADMSG", HEADER + CATALOGUE + CATALOGUE)
    refused("a header twice", "EBADMSG", HEADER + HEADER)
    refused("no .hmac", "EBADMSG", HEADER + CATALOGUE + outer("vm2/private.img.000", ONE) + outer("vm2/private.img.001", ONE))
    refused("another's .hmac", "EBADMSG", HEADER + CATALOGUE + outer("vm2/private.img.000", ONE) + outer("a/c.000.hmac", proof(ONE)))
    refused("a manifest that is not promised", "EBADMSG", HEADER + CATALOGUE + pair("qubesfs-manifest.000", ONE))
    refused("two files in the catalogue's archive", "EINVAL", HEADER + pair("qubes.xml.000", file(b"qubes.xml") * 2 + END))
    refused("no catalogue", "EIO", HEADER + pair("vm2/private.img.000", ONE))
    refused("a catalogue of 65 MiB", "E2BIG", HEADER + pair("qubes.xml.000", file(b"qubes.xml", bytes(65 << 20)) + END))


def headers():
    for what, code, data in (
            ("a filter with words", "EINVAL", header(filters=b"gzip -d")), ("a shell as filter", "ENOTSUP", header(filters=b"sh")),
            ("a strange key", "EINVAL", header(lines=b"a b=c\n")), ("two =", "EINVAL", header(lines=b"a=b=c\n")),
            ("an empty line", "EINVAL", header(lines=b"\n")), ("no ASCII", "EINVAL", header(lines=b"a=\xc3\xa4\n")),
            ("a key twice", "EINVAL", header(lines=b"encrypted=True\n")), ("version 5", "ENOTSUP", header(version=b"version=5\n")),
            ("version 1", "ENOTSUP", header(version=b"version=1\n")), ("another digest", "EINVAL", header(algorithm=b"SHA1")),
            ("MD5", "ENOTSUP", header(algorithm=b"MD5")), ("scrypt in format 3", "ENOTSUP", header(algorithm=b"scrypt")),
            ("format 4 by SHA512", "ENOTSUP", header(version=b"version=4\n", lines=b"backup-id=x\n")),
            ("a manifest of version 2", "ENOTSUP", header(lines=b"backup-id=x\nqubesfs-manifest=2\n")),
            ("a manifest without an id", "EINVAL", header(lines=b"qubesfs-manifest=1\n")),
            ("a long header", "EINVAL", pair("backup-header", b"a=b\n" * 20000)), ("no header", "EINVAL", outer("x", b"y") * 70),
            ("no tar", "EINVAL", b"x" * 512), ("a wrong key", "EKEYREJECTED", pair("backup-header", b"version=3\n", key=b"other"))):
        refused(what, code, data)

    def scrypt(log2_n, r, p):
        start = b"scrypt\0" + bytes([log2_n]) + r.to_bytes(4, "big") + p.to_bytes(4, "big") + bytes(32)
        return outer("backup-header", b"version=4\n") + outer("backup-header.hmac", start + hashlib.sha256(start).digest()[:16] + bytes(100))
    for cost in (22, 8, 1), (40, 8, 1), (63, 8, 1), (10, 1 << 20, 1), (14, 8, 1 << 20), (20, 8, 100):
        refused(f"scrypt {cost}", "ENOTSUP", scrypt(*cost))
    refused("a scrypt cost that is allowed less", "ENOTSUP", scrypt(20, 8, 1), "kdf-memory=512")
    for cost in (0, 8, 1), (64, 8, 1), (10, 0, 1), (10, 8, 0), (10, 1 << 16, 1 << 16):
        refused(f"scrypt {cost}", "EBADMSG", scrypt(*cost))


def bombs():
    zeros = gzip.compress(block(size=1 << 30) + bytes(1 << 20), 9), gzip.compress(bytes(16 << 20), 9)
    bomb = zeros[0] + zeros[1] * 63 + gzip.compress(bytes(15 << 20)) + gzip.compress(END)
    start = header(filters=b"gzip") + pair("qubes.xml.000", gzip.compress(file(b"qubes.xml") + END))
    harmless("1 GiB of zeros goes through", "unpacked=1073743360", start + pair("vm2/private.img.000", bomb))
    refused("1 GiB of zeros where 1 MiB is allowed", "EBADMSG", start + pair("vm2/private.img.000", bomb), "max=1048576")
    refused("a catalogue that is a bomb", "E2BIG", header(filters=b"gzip") + pair(
        "qubes.xml.000", gzip.compress(block(b"qubes.xml", size=1 << 30)) + bomb))
    refused("gzip with something behind it", "EBADMSG", start + pair("vm2/private.img.000", gzip.compress(ONE) + b"x"))
    refused("gzip with a wrong sum", "EBADMSG", start + pair("vm2/private.img.000", gzip.compress(ONE)[:-5] + b"\1\0\0\0\0"))
    refused("gzip that is cut", "EBADMSG", start + pair("vm2/private.img.000", gzip.compress(ONE)[:-1]))
    start = header(filters=b"xz") + pair("qubes.xml.000", lzma.compress(file(b"qubes.xml") + END))
    chain = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    with_window = bytearray(lzma.compress(ONE, filters=[{**chain[0], "dict_size": 1 << 20}], check=lzma.CHECK_CRC32))
    # the dictionary's size in the block header: 2^30 is code 36
    at = with_window.index(bytes([0x21, 0x01]), 12) + 2
    with_window[at] = 36
    size = (with_window[12] + 1) * 4
    import zlib
    with_window[12 + size - 4:12 + size] = zlib.crc32(bytes(with_window[12:12 + size - 4])).to_bytes(4, "little")
    refused("xz with a dictionary of 1 GiB", "ENOTSUP", start + pair("vm2/private.img.000", bytes(with_window)))
    start = header(filters=b"zstd") + pair("qubes.xml.000", subprocess.run(["zstd", "-c"], input=file(b"qubes.xml") + END, stdout=subprocess.PIPE).stdout)
    refused("zstd with a window of 2 GiB", "ENOTSUP", start + pair("vm2/private.img.000", b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00"))
    start = header(filters=b"bzip2") + pair("qubes.xml.000", bz2.compress(file(b"qubes.xml") + END))
    refused("bzip2 that is cut", "EBADMSG", start + pair("vm2/private.img.000", bz2.compress(ONE)[:-3]))


def many():
    """so many empty files in one archive, 10000 of them in each gzip member"""
    members, each = int(os.environ.get("MEMBERS", "200000")), 10000
    piece = gzip.compress(block(b"vm1/x") * each, 9)
    data = piece * (members // each) + gzip.compress(END)
    start = header(filters=b"gzip") + pair("qubes.xml.000", gzip.compress(file(b"qubes.xml") + END))
    harmless("many members", f"members {members}" if members > 10000 else "end", start + pair("vm1/..000", data))
    # outer members without an end: the first one that is not authentic is the last one that is read
    junk = outer("a/b.000", b"") + outer("a/b.000.hmac", b"(stdin)= " + b"0" * 128)
    refused("many outer members", "EBADMSG", iter([HEADER, CATALOGUE] + [junk * 1000] * 1000))


for part in names, sizes, ends, headers, bombs, many:
    part()
used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
if limit and used > limit:
    sys.exit(f"FAIL: {used} MiB of memory, more than {limit}")
print(f"{count} hostile backups, at most {used} MiB")
