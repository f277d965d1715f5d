#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# formats.sh DIR: each format and codec on an ext4 image of this machine's own files, against the pipelines that
# Qubes runs, and against what the parts allow.  Output goes to /dev/null; sizes are counted.
. "$(dirname "$0")/common.sh"

MIB=1024
export PASSPHRASE=secret
image=$W/private.img
cores=$(nproc)
mkdir -p "$W/files"

say "an ext4 image of $MIB MiB, of files from /usr"
find /usr -xdev -type f -size +0 -printf '%s %p\n' 2>/dev/null | shuf --random-source=<(yes) |
    awk -v most=$((900 * 1024 * 1024)) '(sum += $1) < most { sub(/^[0-9]* /, ""); print }' >"$W/names"
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
    "$W/mkarchive" "$@" vm1/private.img "$image" | wc -c >"$W/size"
}
# nanoseconds a byte of one core, as openssl measures itself
cost() {
    openssl speed -elapsed -seconds 1 -bytes 16384 "$@" 2>/dev/null | tail -n 1 | awk '{ printf "%.4f", 1e6 / $NF }'
}

say "the pipelines of Qubes"
cd "$W"
gzip6=$(packed | wc -c)
three=$(milliseconds qubes3)
four=$(milliseconds qubes4)
cbc=$(cost -evp aes-256-cbc)
ctr=$(cost -evp aes-256-ctr)
sha512=$(cost -evp sha512)
sha256=$(cost -evp sha256)

rows=
# row NAME WANTED-RATIO WANTED-SIZE PIPELINE-MS ARGUMENT...
row() {
    local name=$1 wanted=$2 wanted_size=$3 pipe=$4 ms
    shift 4
    say "$name"
    ms=$(best archive "$@")
    rows+="| $name | $(awk -v ms="$ms" -v mib="$data" 'BEGIN { printf "%.0f", mib * 1000 / ms }') |"
    rows+=" $(ratio "$pipe" "$ms") | $wanted | $(awk -v a="$(cat "$W/size")" -v b="$gzip6" 'BEGIN { printf "%.2f", a / b }') |"
    rows+=" $wanted_size |"$'\n'
}
row 'format 3, gzip default' 20 1.13 "$three" format=3 compression=gzip
row 'format 3, gzip fast' 25 1.16 "$three" format=3 compression=gzip level=fast
row 'format 3, gzip small' 5 1.00 "$three" format=3 compression=gzip level=small
row 'format 3, zstd default' 12 0.97 "$three" format=3 compression=zstd
row 'format 4, gzip default' 20 1.13 "$four" format=4 compression=gzip kdf=17
row 'format 4, gzip fast' 25 1.16 "$four" format=4 compression=gzip level=fast kdf=17
row 'format 4, gzip small' 5 1.00 "$four" format=4 compression=gzip level=small kdf=17
row 'format 4, zstd default' 12 0.97 "$four" format=4 compression=zstd kdf=17
row 'format 3, none' - - "$three" format=3 compression=none
row 'format 4, none' - - "$four" format=4 compression=none kdf=17
limit() {
    awk -v c="$cores" -v a="$1" -v b="$2" 'BEGIN { printf "%.0f", c * 1e9 / (a + b) / 1048576 }'
}

cat <<END

### Each format and codec

$MIB MiB of ext4 with files of /usr, $data MiB of them data, from the page cache, on $cores cores.  Qubes' own pipeline takes
$(awk -v ms="$three" -v m="$data" 'BEGIN { printf "%.0f", m * 1000 / ms }') MiB/s for format 3, $(awk -v ms="$four" -v m="$data" 'BEGIN { printf "%.0f", m * 1000 / ms }') MiB/s for format 4 (with scrypt's -t 0.1; its own default of 5 s a part would be slower).

| | MiB/s | times Qubes | wanted | size to gzip -6 | wanted at most |
|---|---:|---:|---:|---:|---:|
$rows
A byte costs one core $cbc ns in AES-256-CBC, $ctr in AES-256-CTR, $sha512 in SHA-512, $sha256 in SHA-256, so $cores cores
could do $(limit "$cbc" "$sha512") MiB/s of format 3 and $(limit "$ctr" "$sha256") MiB/s of format 4 without compression (wanted: 70 % of that).
END
