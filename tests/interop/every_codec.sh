# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For backup_format3_codecs.sh and backup_format4.sh: files of all kinds, and `check OPTION...`, which writes them,
# restores them with `script` and reads them with `reader`.
. "$(dirname "$0")/mkarchive.sh"

# 0 bytes, 1 byte, an archive of exactly 100 MiB (header and end take 1536 of it), 250 MiB with holes
# and with what compresses and what doesn't, names at the limits of tar's fields
long=$(printf '%085d' 1)
longer=dom0-home/$(printf '%0120d' 2)/$(printf '%090d' 3)
mkdir -p files
: >files/zero
printf x >files/one
head -c $((100 * 1048576 - 1536)) /dev/zero | openssl enc -aes-128-ctr -pass pass:x -nosalt -pbkdf2 >files/exact
truncate -s 250M files/big
for at in 0 30 31 120 200 249; do
    head -c 1048576 /dev/urandom | dd of=files/big bs=1M seek=$at conv=notrunc status=none
done
seq 15000000 | dd of=files/big bs=1M seek=50 conv=notrunc iflag=fullblock status=none
truncate -s 250M files/big
echo '<qubes/>' >files/qubes.xml
sources=(qubes.xml files/qubes.xml vm1/private.img files/one vm1/root.img files/exact vm2/private.img files/big
    vm2/empty files/zero "vm3/$long" files/one "$longer" files/one)

export PASSPHRASE=' correct horse "b?tt*ry $(staple) \ ä€𝄞 '
same() { cmp "$1" "restored/$2" || fail "$what: $2 differs"; }
check() {
    what=$*
    ./mkarchive "$@" "${sources[@]}" >backup || fail "$what: status $?"
    [ $(($(stat -c %s backup) % 10240)) = 0 ] || fail "$what: not a multiple of 10240"
    rm -rf restored
    "$top/docs/$script" "$TEST_TMP/backup" restored || fail "$what: $script"
    for ((i = 0; i < ${#sources[@]}; i += 2)); do
        same "${sources[i + 1]}" "${sources[i]}"
    done
    [ "$(cd restored && find . -type f | wc -l)" = $((${#sources[@]} / 2 + 1)) ] ||
        fail "$what: more files, beside the manifest"
    python3 "$here/$reader" backup >list || fail "$what: $reader"
    grep -qF "vm1/private.img 1 1" list || fail "$what: $(cat list)"
}
