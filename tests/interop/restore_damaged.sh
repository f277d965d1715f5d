#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 600
# Small backups of each format, damaged: bytes flipped, cut at lengths, outer members exchanged.  Each is refused, or
# comes to the same files.  DAMAGE_STEP=1 tries every byte and every length; the counts are printed.
#
# What nobody can detect, and so is not among them: two full chunks in the middle of an uncompressed, unencrypted
# image of format 3 that change places with their .hmac, in a backup without our manifest.
set -u
. "$(dirname "$0")/driver.sh"
command -v bzip2 >/dev/null || skip "bzip2 is not installed"
build damage
export PASSPHRASE=damage
step=307
[ -z "$san" ] || step=1501
step=${DAMAGE_STEP:-$step}

seq 1 300 >private.img
truncate -s 3000 empty.img
echo '<QubesVmCollection/>' >qubes.xml
head -c 40000 /dev/urandom >noise.img

# try NAME "DAMAGE OPTIONS" OPTION... SOURCE...
try() {
    local name=$1 chunk=$2 kind
    shift 2
    "$top/tests/lib/qubes-backup" outer=ustar qubes.xml=qubes.xml "$@" >"$name" || fail "$name can't be made"
    for kind in flips cuts swaps; do
        ./damage "$name" $kind "$step" ${chunk:+"$chunk"} || fail "$name $kind"
    done
}

two=(vm2/private.img=private.img vm2/firewall.xml=empty.img)
try format4-manifest "" format=4 manifest=1 single=1 "${two[@]}"
try format4 "" format=4 filter=bzip2 single=0 "${two[@]}"
try format3-manifest "" format=3 manifest=1 single=1 "${two[@]}"
try format3 "" format=3 single=0 "${two[@]}"
try format3-chunks 16384 format=3 filter=none encrypted=0 manifest=1 single=1 chunk=16384 vm2/private.img=noise.img
try format2 "" format=2 filter=none single=1 tape=20 vm2/private.img=noise.img
try format2-headerless "" format=2 header=0 encrypted=0 single=1 hmac=SHA1 "${two[@]}"
exit 0
