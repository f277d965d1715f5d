#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The catalogue of Qubes R4, without qubesd: the same tree, from the file.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
cat >"$CATALOGUE" <<'END'
<qubes version="4.0">
  <labels>
    <label id="label-1" color="0xcc0000">red</label>
    <label id="label-4" color="0x73d216">green</label>
    <label id="label-8" color="0x000000">black</label>
  </labels>
  <pools>
    <pool name="varlibqubes" driver="file" dir_path="/var/lib/qubes" revisions_to_keep="1"/>
    <pool name="linux-kernel" driver="linux-kernel" dir_path="/var/lib/qubes/vm-kernels"/>
  </pools>
  <properties>
    <property name="default_kernel">4.1.13-9</property>
    <property name="default_netvm">sys-firewall</property>
    <property name="default_template">fedora-23</property>
  </properties>
  <domains>
    <domain id="domain-0" class="AdminVM">
      <properties/><features/><devices class="pci"/><tags/>
    </domain>
    <domain id="domain-1" class="TemplateVM">
      <properties>
        <property name="qid">1</property><property name="name">fedora-23</property>
        <property name="label" ref="label-8">black</property>
        <property name="uuid">8b1e5f6a-3c6d-4d0e-9a52-0c6f0f6b2a01</property>
      </properties>
      <features/><tags/>
      <volume-config>
        <volume name="root" pool="varlibqubes" vid="vm-templates/fedora-23/root" rw="True" save_on_stop="True" size="12582912"/>
        <volume name="private" pool="varlibqubes" vid="vm-templates/fedora-23/private" rw="True" save_on_stop="True" size="4194304"/>
      </volume-config>
    </domain>
    <domain id="domain-2" class="AppVM">
      <properties>
        <property name="qid">2</property><property name="name">sys-firewall</property>
        <property name="label" ref="label-4">green</property>
        <property name="template">fedora-23</property>
        <property name="provides_network">True</property><property name="netvm"></property>
      </properties>
      <features><feature name="service.qubes-firewall">1</feature></features><tags/>
    </domain>
    <domain id="domain-3" class="AppVM">
      <properties>
        <property name="qid">3</property><property name="name">work</property>
        <property name="label" ref="label-1">red</property>
        <property name="uuid">8b1e5f6a-3c6d-4d0e-9a52-0c6f0f6b2a03</property>
        <property name="template">fedora-23</property><property name="memory">400</property>
      </properties>
      <features>
        <feature name="service.cups">1</feature><feature name="service.clocksync"></feature>
        <feature name="menu-items">firefox.desktop</feature>
      </features>
      <tags><tag name="created-by-dom0"/></tags>
      <volume-config>
        <volume name="root" pool="varlibqubes" vid="appvms/work/root" source="vm-templates/fedora-23/root" snap_on_start="True"/>
        <volume name="private" pool="varlibqubes" vid="appvms/work/private" rw="True" save_on_stop="True" size="6291456"/>
        <volume name="volatile" pool="varlibqubes" vid="appvms/work/volatile" rw="True" size="4194304"/>
      </volume-config>
    </domain>
  </domains>
</qubes>
END
qfs_mount

same "the VMs" "dom0 fedora-23 sys-firewall work" "$(ls "$P/vms" | paste -sd ' ')"
content_is "$P/vms/work/class" AppVM
content_is "$P/vms/fedora-23/class" TemplateVM
content_is "$P/vms/work/prefs/label" red
content_is "$P/vms/work/prefs/template" fedora-23
content_is "$P/vms/work/prefs/memory" 400
content_is "$P/vms/work/services/cups" 1
content_is "$P/vms/work/services/clocksync" 0
content_is "$P/vms/work/state" Halted

watch_start vms "$P/vms"
sed 's/>work</>job</' "$CATALOGUE" >"$CATALOGUE.new"
mv "$CATALOGUE.new" "$CATALOGUE"
watch_exactly vms 'MOVED_FROM,ISDIR vms/work' 'MOVED_TO,ISDIR vms/job'
sed 's/ref="label-1">red</ref="label-4">green</' "$CATALOGUE" >"$CATALOGUE.new"
mv "$CATALOGUE.new" "$CATALOGUE"
becomes "$P/vms/job/prefs/label" green
