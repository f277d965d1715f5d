#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# features/, tags/ and services/ of a catalogue of Qubes R4, from the file; they come and go with it.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
cp "$CATALOGUE" "$TEST_TMP/r3.xml"
cat >"$TEST_TMP/r4.xml" <<'XML'
<qubes version="4.0">
  <labels>
    <label id="label-1" color="0xcc0000">red</label>
    <label id="label-4" color="0x73d216">green</label>
  </labels>
  <properties>
    <property name="default_netvm">sys-firewall</property>
    <property name="default_template">fedora-23</property>
  </properties>
  <domains>
    <domain id="domain-1" class="TemplateVM">
      <properties>
        <property name="qid">1</property><property name="name">fedora-23</property>
        <property name="label">label-1</property>
      </properties>
    </domain>
    <domain id="domain-2" class="AppVM">
      <properties>
        <property name="qid">2</property><property name="name">sys-firewall</property>
        <property name="label">green</property>
        <property name="template">fedora-23</property>
        <property name="provides_network">True</property><property name="netvm"></property>
      </properties>
    </domain>
    <domain id="domain-3" class="AppVM">
      <properties>
        <property name="qid">3</property><property name="name">work</property>
        <property name="label">red</property>
        <property name="uuid">8b1e5f6a-3c6d-4d0e-9a52-0c6f0f6b2a03</property>
        <property name="template">fedora-23</property><property name="memory">400</property>
      </properties>
      <features>
        <feature name="service.cups">1</feature><feature name="service.clocksync"></feature>
        <feature name="menu-items">firefox.desktop</feature>
      </features>
      <tags>
        <tag name="created-by-dom0"/>
      </tags>
      <future what="&lt;unknown>"/>
    </domain>
  </domains>
</qubes>
XML
replace() {
    cp "$1" "$CATALOGUE.new"
    mv "$CATALOGUE.new" "$CATALOGUE"
}
replace "$TEST_TMP/r4.xml"
qfs_mount
work=$P/vms/work

echo 'xterm.desktop firefox.desktop' >"$work/features/menu-items"
content_is "$work/features/menu-items" 'xterm.desktop firefox.desktop'
touch "$work/features/gui"
content_is "$work/features/gui" ''
echo 1 >"$work/features/gui"
echo 'a & <b>' >"$work/features/new"
content_is "$work/features/new" 'a & <b>'
rm "$work/features/new"

# services are features
content_is "$work/services/cups" 1
content_is "$work/services/clocksync" 0
echo 0 >"$work/services/cups"
content_is "$work/features/service.cups" ''
touch "$work/services/ntpd"
appears "$work/features/service.ntpd"
content_is "$work/features/service.ntpd" 1
rm "$work/features/service.ntpd"
vanishes "$work/services/ntpd"

watch_start tags "$work/tags"
touch "$work/tags/personal"
same "tags" "created-by-dom0 personal" "$(ls "$work/tags" | paste -sd ' ')"
touch "$work/tags/personal"
rm "$work/tags/created-by-dom0"
watch_expect tags 'CREATE vms/work/tags/personal' 'DELETE vms/work/tags/created-by-dom0'
expect_errno EINVAL create "$work/tags/a b"
expect_errno EINVAL write "$work/tags/personal" x
watch_stop tags

# properties: what is not set is made by the first write, a default takes it away
echo 2000 >"$work/prefs/memory"
echo 4 >"$work/prefs/vcpus"
content_is "$work/prefs/vcpus" 4
echo green >"$work/prefs/label"
content_is "$work/prefs/label" green
echo default >"$work/prefs/vcpus"
vanishes "$work/prefs/vcpus"
expect_errno EBUSY write "$P/vms/sys-firewall/prefs/provides_network" False
expect_error "$P/vms/sys-firewall/error" 'it is the netvm of "work"'

diff "$TEST_TMP/r4.xml" "$CATALOGUE" >"$TEST_TMP/diff" || true
diff - "$TEST_TMP/diff" <<'DIFF' || fail "something else changed"
28c28
<         <property name="label">red</property>
---
>         <property name="label">label-4</property>
30c30
<         <property name="template">fedora-23</property><property name="memory">400</property>
---
>         <property name="template">fedora-23</property><property name="memory">2000</property>
33,34c33,35
<         <feature name="service.cups">1</feature><feature name="service.clocksync"></feature>
<         <feature name="menu-items">firefox.desktop</feature>
---
>         <feature name="gui">1</feature>
>         <feature name="service.cups"></feature><feature name="service.clocksync"></feature>
>         <feature name="menu-items">xterm.desktop firefox.desktop</feature>
37c38
<         <tag name="created-by-dom0"/>
---
>         <tag name="personal"/>
DIFF

# a catalogue of the other form: the directories go, and come again
cp "$CATALOGUE" "$TEST_TMP/r4.xml"
ls "$work/features" "$work/tags" "$work/services" >/dev/null
watch_start work "$work"
replace "$TEST_TMP/r3.xml"
watch_expect work 'DELETE,ISDIR vms/work/features'
vanishes "$work/features"
vanishes "$work/tags"
expect_errno EPERM mkdir "$work/features"
appears "$work/services/meminfo-writer"
replace "$TEST_TMP/r4.xml"
watch_expect work 'CREATE,ISDIR vms/work/features'
appears "$work/tags/personal"
content_is "$work/features/menu-items" 'xterm.desktop firefox.desktop'
echo firefox.desktop >"$work/features/menu-items"
content_is "$work/features/menu-items" firefox.desktop
