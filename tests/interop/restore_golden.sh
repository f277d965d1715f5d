#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 600
# The archives in tests/golden, read by our own reader: the same files, with their modes, times and holes, however
# the bytes are cut; a wrong passphrase; each begin that is a part too short; one byte too many.
set -u
. "$(dirname "$0")/driver.sh"
build readarchive
golden=$top/tests/golden
export PASSPHRASE='golden pässphrase'

# restore FILE OPTION...: into ./restored
restore() {
    local file=$1
    shift
    rm -rf restored && mkdir restored
    ./readarchive "$@" restored <"$file" >told || fail "$file $*: status $?"
    cmp "$golden/input/qubes.xml" restored/qubes.xml && cmp "$golden/input/private.img" restored/vm2/private.img &&
        cmp "$golden/input/firewall.xml" restored/vm2/firewall.xml && cmp root.img restored/vm1/root.img ||
        fail "$file $*: restored to something else"
    [ "$(stat -c '%a %Y' restored/vm2/private.img restored/vm1/root.img | sort -u)" = "640 1446292800" ] ||
        fail "$file $*: mode or time"
    [ "$(stat -c %b restored/vm1/root.img)" -le 160 ] || fail "$file $*: holes are filled"
    grep -q '^manifest$' told || fail "$file $*: no manifest"
}

truncate -s 300K root.img
yes data | head -c 65536 | dd of=root.img bs=64K seek=2 conv=notrunc iflag=fullblock status=none
for file in "$golden"/format[34]-*.qbk; do
    restore "$file" piece=random
    # keys of format 4 take their time
    case $file in *format4-none* | *format4-zstd*) continue ;; esac
    restore "$file" threads=1 piece=511
    restore "$file" flush=50000 piece=10240
    PASSPHRASE=wrong ./readarchive <"$file" >/dev/null 2>error && fail "$file: any passphrase will do"
    grep -q '^EKEYREJECTED' error || fail "$file: $(cat error)"
    # without its last member, which is the manifest
    head -c -20480 "$file" | ./readarchive >/dev/null 2>error && fail "$file: whole without its end"
    grep -q '^EIO' error || fail "$file: $(cat error)"
    { cat "$file" && echo x; } | ./readarchive >/dev/null 2>error && fail "$file: whole with more behind it"
    { cat "$file" && head -c 5000 /dev/zero; } | ./readarchive >/dev/null || fail "$file: zeros behind it"
    # the name that a skipped one has is in the manifest all the same
    ./readarchive skip=vm2/private.img <"$file" | grep 'unpacked=0' >/dev/null || fail "$file: nothing is skipped"
done
# those of whole hosts are read to their end; what becomes of them there, the tests of restores look at
for file in "$golden"/*host*.qbk; do
    ./readarchive <"$file" >told || fail "$file: status $?"
    grep -q '^manifest$' told || fail "$file: no manifest"
done
exit 0
