# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For tests that use the archive room without a daemon: goes to TEST_TMP; `build NAME...` builds NAME.c of
# this directory there.  Gives `top`, `here`, fail, skip, BUILD.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
skip() { echo "$*" && exit 77; }
fail() { echo "FAIL: $*" && exit 1; }
for program in openssl gzip zstd scrypt tar python3 cc make pkg-config; do
    command -v $program >/dev/null || skip "$program is not installed"
done
BUILD=$(cd "${BUILD:-$top/build}" && pwd)
[ -f "$BUILD/libbackend.a" ] || skip "there is no $BUILD/libbackend.a"
if [ -z "${TEST_TMP:-}" ]; then
    TEST_TMP=$(mktemp -d) && trap 'rm -rf "$TEST_TMP"' EXIT
fi
cd "$TEST_TMP" || exit 1

# with the sanitizer that the library was built with
san=
nm -A "$BUILD/libbackend.a" 2>/dev/null | grep __asan_init >/dev/null && san=-fsanitize=address,undefined
nm -A "$BUILD/libbackend.a" 2>/dev/null | grep __tsan_init >/dev/null && san=-fsanitize=thread
build() {
    local name
    for name in "$@"; do
        # shellcheck disable=SC2046,SC2086  # words
        cc -std=gnu11 -O1 -g -Wall -Wextra -Werror -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$top/include" $san \
            -pthread -o "$name" "$here/$name.c" "$BUILD/libbackend.a" \
            $(make -s --no-print-directory -C "$top" libs) || fail "$name.c can't be built"
    done
}
