#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# emergency-restore-4.sh BACKUP DIRECTORY: unpacks a Qubes backup of format 4 with nothing but sh, tar
# (GNU), scrypt, gzip (or zstd), awk and sha256sum.  The passphrase is asked for, or comes in the
# environment's PASSPHRASE.  DIRECTORY then holds qubes.xml, vmN/, dom0-home/.  Which vmN is which VM says
# qubes.xml.  What is missing is told at the end, with status 1.
set -eu
die() { echo "emergency-restore-4: $*" >&2; exit 1; }
[ $# = 2 ] || die "usage: emergency-restore-4.sh BACKUP DIRECTORY"
mkdir -p "$2"
case $1 in /*) backup=$1 ;; *) backup=$PWD/$1 ;; esac
cd "$2"
if [ -z "${PASSPHRASE+set}" ]; then
    printf 'Passphrase: ' >&2; trap 'stty echo' EXIT; stty -echo; IFS= read -r PASSPHRASE
    stty echo; trap - EXIT; echo >&2
fi
work=$(mktemp -d ./.restore.XXXXXX)
trap 'rm -rf "$work"' EXIT
# 1. the outer archive: parts of 100 MiB; as much disk as the backup takes
tar -i -x -f "$backup" -C "$work"
# 2. the header: its container's content, whatever stands beside it
printf 'backup-header!%s\n' "$PASSPHRASE" | scrypt dec -P -f "$work/backup-header.hmac" "$work/.header" ||
    die "wrong passphrase, or damaged: backup-header"
value() { sed -n "s/^$1=//p" "$work/.header"; }
[ "$(value version)" = 4 ] || die "not a backup of format 4"
id=$(value backup-id)
case $(value compressed):$(value compression-filter) in
True:gzip) unpack='gzip -dc' ;; True:zstd) unpack='zstd -dcq' ;; False:*) unpack=cat ;;
*) die "compressed with $(value compression-filter): not known here" ;;
esac
# 3. each file: its parts, each verified before it is used, together, decompressed, unpacked
find "$work" -name '*.000.enc' | sed 's/\.000\.enc$//' | while IFS= read -r file; do
    n=0
    while part=$(printf '%s.%03d' "$file" $n); [ -f "$part.enc" ]; do
        printf '%s!%s!%s\n' "$id" "${part#"$work"/}" "$PASSPHRASE" |
            scrypt dec -P -f "$part.enc" "$work/.part" || { echo >"$work/.failed"; break; }
        cat "$work/.part"; n=$((n + 1))
    done | { $unpack || echo >"$work/.failed"; } | tar -x -f - || die "can't unpack ${file#"$work"/}"
    [ ! -e "$work/.failed" ] || die "damaged: ${file#"$work"/}"
done
# 4. is all there that the catalogue promises, and is it what was written?
missing=$(tr '<' '\n' <qubes.xml | sed -n 's/^feature name="backup-path">//p' |
    sed 's/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&amp;/\&/g' |
    while IFS= read -r path; do [ -e "$path" ] || printf ' %s' "$path"; done)
[ -z "$missing" ] || echo "emergency-restore-4: NOT COMPLETE: qubes.xml tells of what is not in the backup:$missing" >&2
if [ "$(value qubesfs-manifest)" = 1 ]; then
    [ -f qubesfs-manifest ] || die "NOT COMPLETE: the backup was cut off, its closing manifest is missing"
    grep -qx "backup-id $id" qubesfs-manifest || die "the closing manifest is another backup's"
    LC_ALL=C awk '$1 == "file" { name = $0; sub(/^file [0-9]+ /, "", name); n = 0 }
        $1 == "chunk" { printf "%s  %s.%03d.enc\n", $3, name, n++ }' qubesfs-manifest |
        (cd "$work" && sha256sum --quiet -c - >&2) || die "NOT COMPLETE, or exchanged: see above"
fi
[ -z "$missing" ]
