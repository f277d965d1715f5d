#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# formats.sh DIR: each format and codec on an ext4 image of this machine's own files, against the pipelines that
# Qubes runs, and against what the parts allow.  Output goes to /dev/null; sizes are counted.
. "$(dirname "$0")/common.sh"

MIB=${MIB:-1024}
export PASSPHRASE=secret
image=$W/private.img
cores=$(nproc)
mkdir -p "$W/files"

say "an ext4 image of $MIB MiB, of files from /usr"
find /usr -xdev -type f -size +0 -printf '%s %p\n' 2>/dev/null | shuf --random-source=<(yes) |
    awk -v most=$((MIB * 900 * 1024)) '(sum += $1) < most { sub(/^[0-9]* /, ""); print }' >"$W/names"
tar -c -P -T "$W/names" 2>/dev/null | tar -x -C "$W/files" 2>/dev/null || true
truncate -s ${MIB}M "$image"
/sbin/mkfs.ext4 -q -m 0 -d "$W/files" "$image" 2>/dev/null
rm -rf "$W/files"
fallocate -d "$image" # holes where mkfs wrote zeros
cat "$image" >/dev/null
data=$(du -m "$image" | cut -f 1)

# shellcheck disable=SC2046  # words
cc -O2 -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$HERE/../../include" -pthread -o "$W/mkarchive" \
    "$HERE/../interop/mkarchive.c" "$BUILD/libbackend.a" $(make -s --no-print-directory -C "$HERE/../.." libs)

packed() {
    tar -c --sparse -C "$W" private.img | gzip
}
# as R3 and R4 write a file: cut at 100 MiB, each part authenticated, or in a container of its own
qubes3() {
    packed | openssl enc -aes-256-cbc -md md5 -pass env:PASSPHRASE 2>/dev/null |
        split -b 100M --filter='tee >(openssl dgst -sha512 -hmac secret >/dev/null) >/dev/null'
}
qubes4() {
    packed | split -b 100M --filter='cat >part; scrypt enc -t 0.1 --passphrase env:PASSPHRASE part >/dev/null' - "$W/x"
    rm -f part
}
archive() {
    "$W/mkarchive" "$@" qubes.xml "$W/qubes.xml" vm1/private.img "$image" | wc -c >"$W/size"
}
# shellcheck disable=SC2046  # words
cc -O2 -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$HERE/../../include" -I"$HERE/../../backend" -pthread \
    -o "$W/parts" "$HERE/parts.c" "$BUILD/libbackend.a" $(make -s --no-print-directory -C "$HERE/../.." libs)
# part NAME: nanoseconds of one core for a byte of it; all: how many bytes come out for one
part() {
    awk -v name="$1" '$1 == name { print $2 }' "$W/costs"
}
# bound CODEC CIPHER HMAC: MiB/s of image data, if all cores did nothing but the parts
bound() {
    awk -v codec="$1" -v cipher="$2" -v hmac="$3" -v cores="$cores" -v mib="$data" '
        { ns[$1] = $2; ratio[$1] = $3 }
        END {
            out = codec == "none" ? 1 : ratio[codec]
            # of each part, of header, catalogue and manifest
            keys = cipher == "ctr" ? int(mib * out / 100) + 1 + 3 : 0
            cost = ns["read"] + ns[codec] + out * (ns[cipher] + ns[hmac] + ns["sha256"])
            printf "%.0f", cores * 1e9 / (cost * 1048576 + keys * ns["key"] / mib)
        }' "$W/costs"
}

say "the pipelines of Qubes"
cd "$W"
gzip6=$(packed | wc -c)
three=$(milliseconds qubes3)
four=$(milliseconds qubes4)
say "what the parts cost"
"$W/parts" "$image" >"$W/costs"
echo "a catalogue" >"$W/qubes.xml"

rows=
# row NAME WANTED-RATIO WANTED-SIZE PIPELINE-MS PART:PART:PART ARGUMENT...: the parts as `bound` takes them
row() {
    local name=$1 wanted=$2 wanted_size=$3 pipe=$4 parts=$5 ms most speed
    shift 5
    say "$name"
    ms=$(best archive "$@")
    # shellcheck disable=SC2086  # words
    most=$(bound ${parts//:/ })
    speed=$(awk -v ms="$ms" -v mib="$data" 'BEGIN { printf "%.0f", mib * 1000 / ms }')
    rows+="| $name | $speed | $(ratio "$pipe" "$ms") | $wanted | $most | $((speed * 100 / most)) |"
    rows+=" $(awk -v a="$(cat "$W/size")" -v b="$gzip6" 'BEGIN { printf "%.2f", a / b }') | $wanted_size |"$'\n'
}
row 'format 3, gzip default' 20 1.13 "$three" gzip:cbc:hmac-sha512 format=3 compression=gzip
row 'format 3, gzip fast' 25 1.16 "$three" gzip-fast:cbc:hmac-sha512 format=3 compression=gzip level=fast
row 'format 3, gzip small' 5 1.00 "$three" gzip-small:cbc:hmac-sha512 format=3 compression=gzip level=small
row 'format 3, zstd default' 12 0.97 "$three" zstd:cbc:hmac-sha512 format=3 compression=zstd
row 'format 4, gzip default' 20 1.13 "$four" gzip:ctr:hmac-sha256 format=4 compression=gzip kdf=17
row 'format 4, gzip fast' 25 1.16 "$four" gzip-fast:ctr:hmac-sha256 format=4 compression=gzip level=fast kdf=17
row 'format 4, gzip small' 5 1.00 "$four" gzip-small:ctr:hmac-sha256 format=4 compression=gzip level=small kdf=17
row 'format 4, zstd default' 12 0.97 "$four" zstd:ctr:hmac-sha256 format=4 compression=zstd kdf=17
row 'format 3, none' - - "$three" none:cbc:hmac-sha512 format=3 compression=none
row 'format 4, none' - - "$four" none:ctr:hmac-sha256 format=4 compression=none kdf=17
limit() {
    awk -v c="$cores" -v a="$1" -v b="$2" 'BEGIN { printf "%.0f", c * 1e9 / (a + b) / 1048576 }'
}

cat <<END

### Each format and codec

$MIB MiB of ext4 with files of /usr, $data MiB of them data, from the page cache, on $cores cores.  Qubes' own pipeline takes
$(awk -v ms="$three" -v m="$data" 'BEGIN { printf "%.0f", m * 1000 / ms }') MiB/s for format 3, $(awk -v ms="$four" -v m="$data" 'BEGIN { printf "%.0f", m * 1000 / ms }') MiB/s for format 4 (with scrypt's -t 0.1; its own default of 5 s a part would be slower).

Bound: what all cores could do of the parts alone, each measured on all cores at once: reading, compression, cipher, HMAC,
the manifest's SHA-256, keys.  Where a line does not reach what is wanted of it, 85 % of the bound is enough.

| | MiB/s | times Qubes | wanted | bound, MiB/s | % of it | size to gzip -6 | wanted at most |
|---|---:|---:|---:|---:|---:|---:|---:|
$rows
A byte costs one core $(part cbc) ns in AES-256-CBC, $(part ctr) in AES-256-CTR, $(part hmac-sha512) in HMAC-SHA512, $(part hmac-sha256) in HMAC-SHA256, so
$cores cores could do $(limit "$(part cbc)" "$(part hmac-sha512)") MiB/s of format 3 and $(limit "$(part ctr)" "$(part hmac-sha256)") MiB/s of format 4 without compression (wanted: 70 % of that), but
for the keys: one takes $(part key | awk '{ printf "%.0f", $1 / 1e6 }') ms of a core for each 100 MiB of format 4.
END
