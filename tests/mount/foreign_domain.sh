#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A domain that somebody else defined under a VM's name: shown, and started as it is.
. "$(dirname "$0")/../lib/mount.sh"
make_host
cat >"$TEST_TMP/domains.xml" <<'X'
<node>
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>work</name>
    <uuid>11111111-2222-4333-8444-555555555555</uuid>
    <memory>123456</memory>
    <os><type>hvm</type></os>
    <test:runstate>5</test:runstate>
  </domain>
</node>
X
qfs_mount --connect "test://$TEST_TMP/domains.xml"
vm=$P/vms/work

content_is "$vm/state" Halted
grep -q '>123456<' "$vm/domain.xml"
expect_errno OK write "$vm/control" start
content_is "$vm/state" Running
grep -q '>123456<' "$vm/domain.xml"
expect_errno OK write "$vm/control" restart
content_is "$vm/state" Running
expect_errno OK write "$vm/control" kill
content_is "$vm/state" Halted
same "the error file's size" 0 "$(stat -c %s "$vm/error")"
