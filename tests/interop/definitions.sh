#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The definitions that a start on Xen makes (tests/golden/definitions, which unit/test_host_definition compares)
# keep to libvirt's schema.  A disk's <script> is an element that Qubes' libvirt has beyond it: taken out first.
. "$(dirname "$0")/../lib/mount.sh"
requires virt-xml-validate xmllint
golden=$LIB/../golden/definitions
count=0
for file in "$golden"/*.xml; do
    [ "${file##*/}" != qubes.xml ] || continue
    grep -v '<script path="block-\(origin\|snapshot\)"/>' "$file" >"$TEST_TMP/domain.xml"
    virt-xml-validate "$TEST_TMP/domain.xml" domain >"$TEST_TMP/log" 2>&1 || fail "${file##*/}: $(cat "$TEST_TMP/log")"
    count=$((count + 1))
done
[ $count -ge 14 ] || fail "only $count definitions"
