#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# emergency-restore.sh BACKUP DIRECTORY: unpacks a Qubes backup of format 3 (encrypted or not) with
# nothing but sh, tar (GNU), openssl, gzip (or zstd), awk and sha256sum, checking each HMAC first.  The
# passphrase is asked for, or comes in the environment's PASSPHRASE.  DIRECTORY then holds qubes.xml, vmN/
# or appvms/NAME/..., dom0-home/.  Which vmN is which VM says qubes.xml: qid="N" name="...".  What is
# missing is told at the end, with status 1.
set -eu
die() { echo "emergency-restore: $*" >&2; exit 1; }
[ $# = 2 ] || die "usage: emergency-restore.sh BACKUP DIRECTORY"
mkdir -p "$2"
case $1 in /*) backup=$1 ;; *) backup=$PWD/$1 ;; esac
cd "$2"
if [ -z "${PASSPHRASE+set}" ]; then
    printf 'Passphrase: ' >&2; trap 'stty echo' EXIT; stty -echo; IFS= read -r PASSPHRASE
    stty echo; trap - EXIT; echo >&2
fi
export PASSPHRASE
work=$(mktemp -d ./.restore.XXXXXX)
trap 'rm -rf "$work"' EXIT
# 1. the outer archive: parts of 100 MiB, each with its .hmac; as much disk as the backup takes
tar -i -x -f "$backup" -C "$work"
# 2. nothing is used before it is verified.  openssl takes the key of an HMAC from its arguments only,
#    where others on this machine may see it: restore on a machine of your own
find "$work" -type f ! -name '*.hmac' ! -path "$work/.list" >"$work/.list"
while IFS= read -r part; do
    is=$(openssl dgst -sha512 -hmac "$PASSPHRASE" <"$part" | sed 's/.*= *//')
    [ -f "$part.hmac" ] && [ "$is" = "$(sed 's/.*= *//' "$part.hmac")" ] ||
        die "wrong passphrase, or damaged: ${part#"$work"/}"
done <"$work/.list"
has() { grep -qix "$1" "$work/backup-header"; }
has version=3 || die "not a backup of format 3"
decrypt=cat; has encrypted=true && decrypt='openssl enc -d -aes-256-cbc -md md5 -pass env:PASSPHRASE'
unpack='gzip -dcf'; has compression-filter=zstd && unpack='zstd -dcq'
# 3. each file: all its parts together, decrypted, decompressed, unpacked
sed -n 's/\.000$//p' "$work/.list" | while IFS= read -r file; do
    n=0; while part=$(printf '%s.%03d' "$file" $n); [ -f "$part" ]; do cat "$part"; n=$((n + 1)); done |
        $decrypt 2>"$work/.messages" | { $unpack || echo >"$work/.failed"; } | tar -x -f - ||
        die "can't unpack ${file#"$work"/}"
    [ ! -e "$work/.failed" ] || die "can't decompress ${file#"$work"/}"
done
# 4. is all there that the catalogue promises, and is it what was written?
missing=$(tr '<' '\n' <qubes.xml | sed -n '/backup_content="True"/s/.*backup_path="\([^"]*\)".*/\1/p' |
    sed 's/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&amp;/\&/g' |
    while IFS= read -r path; do [ -e "$path" ] || printf ' %s' "$path"; done)
[ -z "$missing" ] || echo "emergency-restore: NOT COMPLETE: qubes.xml tells of what is not in the backup:$missing" >&2
if has qubesfs-manifest=1; then
    [ -f qubesfs-manifest ] || die "NOT COMPLETE: the backup was cut off, its closing manifest is missing"
    has "$(sed -n 's/^backup-id /backup-id=/p' qubesfs-manifest)" || die "the closing manifest is another backup's"
    LC_ALL=C awk '$1 == "file" { name = $0; sub(/^file [0-9]+ /, "", name); n = 0 }
        $1 == "chunk" { printf "%s  %s.%03d\n", $3, name, n++ }' qubesfs-manifest |
        (cd "$work" && sha256sum --quiet -c - >&2) || die "NOT COMPLETE, or exchanged: see above"
fi
[ -z "$missing" ]
