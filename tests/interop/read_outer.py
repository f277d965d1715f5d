# SPDX-License-Identifier: GPL-2.0-or-later
"""What readers of both formats share: the outer archive, parsed as tar2qfile does (ustar magic, octal sizes, no
extensions), decompression, and the closing manifest."""
import gzip, hashlib, io, re, subprocess, tarfile

CHUNK = 104857600


def members(file):
    """(name, data) of each member; each is an archive of its own, of a multiple of 10240 bytes."""
    while header := file.read(512):
        assert len(header) == 512, "cut off"
        assert (file.tell() - 512) % 10240 == 0, "not at a record"
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
        used = 512 + size + -size % 512
        zeros = file.read(-size % 512 + 1024 + -(used + 1024) % 10240)
        assert not zeros.strip(b"\0"), "padding"
        yield (prefix + b"/" + name if prefix else name).decode(), data


def check_gzip_lengths(data):
    """Each member tells its own length, in the subfield QF."""
    while data:
        assert data[:4] == b"\x1f\x8b\x08\x04" and data[10:16] == b"\x08\0QF\x04\0", "no QF"
        length = int.from_bytes(data[16:20], "little")
        assert 28 < length <= len(data), "length"
        data = data[length:]


def decompress(data, header):
    if header["compressed"] == "False":
        return data
    if header["compression-filter"] == "gzip":
        check_gzip_lengths(memoryview(data))
        return gzip.decompress(data)
    assert header["compression-filter"] == "zstd"
    return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout


def read_inner(base, inner):
    """The inner archive's names, and the data of its first member if that is a file."""
    assert len(inner) % 10240 == 0, base
    archive = tarfile.open(fileobj=io.BytesIO(inner))
    names = archive.getnames()
    assert names and all(n == base.rstrip("/.") or n.startswith(base) for n in names), (base, names[:3])
    first = archive.extractfile(archive.getmembers()[0])
    return names, first and first.read()


def check_manifest(text, header, files, catalogue):
    """`files`: name -> contents of its outer members as they stand in the stream, in their order."""
    lines = [
        "qubesfs-manifest 1",
        "backup-id " + header["backup-id"],
        "catalogue " + hashlib.sha256(catalogue).hexdigest(),
        f"files {len(files)}",
    ]
    for name, chunks in files.items():
        lines.append(f"file {len(chunks)} {name}")
        lines += [f"chunk {len(data)} {hashlib.sha256(data).hexdigest()}" for data in chunks]
    expected = "".join(line + "\n" for line in lines + ["end"]).encode()
    assert text == expected, "the manifest does not agree:\n%s\ninstead of\n%s" % (text.decode(), expected.decode())
