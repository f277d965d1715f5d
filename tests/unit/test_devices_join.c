/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who offers what and who has it, joined from all sources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "qubesfs/cleanup.h"
#include "qubesfs/devices.h"

static uint64_t identity = 1;

static struct offer offer(const char *name)
{
    struct offer result = {.size = 1000, .description = "A disk"};

    snprintf(result.name, sizeof(result.name), "%s", name);
    snprintf(result.path, sizeof(result.path), "/dev/%s", name);
    result.numbered = block_name_number(name, &result.major, &result.minor);
    return result;
}

static struct xen_disk disk(unsigned backend, const char *source)
{
    struct xen_disk result = {.devid = 51840, .backend = backend, .backed = true};

    result.front_state = result.back_state = 4;
    snprintf(result.source, sizeof(result.source), "%s", source);
    return result;
}

static const struct device_list *joined(struct join *join)
{
    const struct device_list *list = NULL;

    join->next_identity = &identity;
    assert_int_equal(devices_join(join, &list), 0);
    return list;
}

static void expect(const struct device_list *list, const char *name, enum device_state state,
                   const char *attached, const char *frontend)
{
    const struct device *device = device_list_find(list, name);

    assert_non_null(device);
    assert_int_equal(device->state, state);
    assert_string_equal(device->attached, attached);
    assert_string_equal(device->frontend, frontend);
}

static void test_offers(void **state)
{
    struct offer own[] = {offer("loop0"), offer("loop0p1")}, usb[] = {offer("sda")};
    struct kernel_devices kernel = {.offers = own, .count = 2};
    struct xen_domain domain = {.id = 3, .name = "sys-usb", .offers = usb, .offer_count = 1};
    struct xen_domain *domains[] = {&domain};
    struct join join = {.kernel = &kernel, .domains = domains, .domain_count = 1};
    const struct device_list *list = joined(&join), *again;

    (void)state;
    assert_int_equal(list->count, 3);
    expect(list, "dom0:loop0", DEVICE_FREE, "", "");
    expect(list, "sys-usb:sda", DEVICE_FREE, "", "");
    /* nothing differs: it is the same list */
    join.before = list;
    again = joined(&join);
    assert_ptr_equal(again, list);
    device_list_unref(again);
    /* one differs: the others stay the same objects */
    usb[0].size = 2000;
    again = joined(&join);
    assert_ptr_not_equal(again, list);
    assert_ptr_equal(device_list_find(again, "dom0:loop0"), device_list_find(list, "dom0:loop0"));
    assert_true(device_list_find(again, "sys-usb:sda")->identity ==
                device_list_find(list, "sys-usb:sda")->identity);
    device_list_unref(again);
    device_list_unref(list);
}

/* One medium went and another came between two looks: it is another device. */
static void test_another_medium(void **state)
{
    struct offer own[] = {offer("loop0")};
    struct kernel_devices kernel = {.offers = own, .count = 1};
    struct join join = {.kernel = &kernel};
    const struct device_list *list, *again;

    (void)state;
    own[0].sequence = 7;
    list = joined(&join);
    own[0].sequence = 8;
    join.before = list;
    again = joined(&join);
    assert_int_equal(again->count, 1);
    assert_true(again->devices[0]->identity != list->devices[0]->identity);
    device_list_unref(list);
    device_list_unref(again);
}

static void test_xen_knows_best(void **state)
{
    struct offer own[] = {offer("loop0")}, usb[] = {offer("sda")};
    struct kernel_devices kernel = {.offers = own, .count = 1};
    struct xen_disk disks[] = {disk(3, "/dev/sda")};
    struct xen_domain usb_domain = {.id = 3, .name = "sys-usb", .offers = usb, .offer_count = 1};
    struct xen_domain work = {.id = 5, .name = "work", .disks = disks, .disk_count = 1};
    struct xen_domain *domains[] = {&usb_domain, &work};
    char dom0[] = "dom0", source[] = "/dev/loop0", target[] = "xvdj";
    /* detached by xl: libvirt does not know it */
    struct domain_disk defined = {dom0, source, target, false};
    struct join_vm vms[] = {{"renamed", 5, &defined, 1}, {"qemu", 8, &defined, 1}};
    struct join join = {
        .kernel = &kernel, .domains = domains, .domain_count = 2, .vms = vms, .vm_count = 1};
    const struct device_list *list = joined(&join);

    (void)state;
    expect(list, "sys-usb:sda", DEVICE_ATTACHED, "renamed", "xvdi");
    expect(list, "dom0:loop0", DEVICE_FREE, "", "");
    device_list_unref(list);
    /* of a VM that XenStore does not know, the definition tells */
    join.vm_count = 2;
    list = joined(&join);
    expect(list, "dom0:loop0", DEVICE_ATTACHED, "qemu", "xvdj");
    device_list_unref(list);
}

static void test_stale(void **state)
{
    struct offer usb[] = {offer("sda")};
    struct xen_disk disks[] = {disk(3, "/dev/sda")};
    struct xen_domain usb_domain = {.id = 3, .name = "sys-usb", .offers = usb, .offer_count = 1};
    struct xen_domain work = {.id = 5, .name = "work", .disks = disks, .disk_count = 1};
    struct xen_domain *domains[] = {&work, &usb_domain};
    struct join join = {.domains = domains, .domain_count = 2};
    const struct device_list *list = joined(&join), *stale;

    (void)state;
    expect(list, "sys-usb:sda", DEVICE_ATTACHED, "work", "xvdi");
    /* pulled out */
    usb_domain.offer_count = 0;
    join.before = list;
    stale = joined(&join);
    expect(stale, "sys-usb:sda", DEVICE_STALE, "work", "xvdi");
    assert_string_equal(device_list_find(stale, "sys-usb:sda")->offer.description, "A disk");
    device_list_unref(list);
    /* the whole VM is gone, and with it its side of the disk */
    join.before = list = stale;
    join.domain_count = 1;
    disks[0].backed = false;
    disks[0].source[0] = '\0';
    stale = joined(&join);
    expect(stale, "sys-usb:sda", DEVICE_STALE, "work", "xvdi");
    device_list_unref(list);
    /* let go */
    join.before = list = stale;
    work.disk_count = 0;
    stale = joined(&join);
    assert_int_equal(stale->count, 0);
    device_list_unref(list);
    device_list_unref(stale);
}

/* After a restart nobody remembers: the definition tells whose it was. */
static void test_stale_unknown(void **state)
{
    struct xen_disk disks[] = {disk(3, "")};
    struct xen_domain work = {.id = 5, .name = "work", .disks = disks, .disk_count = 1};
    struct xen_domain *domains[] = {&work};
    char backend[] = "sys-usb", source[] = "/dev/sda", target[] = "xvdi";
    struct domain_disk defined = {backend, source, target, false};
    struct join_vm vms[] = {{"work", 5, &defined, 1}};
    struct join join = {.domains = domains, .domain_count = 1, .vms = vms, .vm_count = 1};
    struct text text CLEANUP_TEXT = TEXT_INIT;
    const struct device_list *list;

    (void)state;
    disks[0].backed = false;
    list = joined(&join);
    expect(list, "sys-usb:sda", DEVICE_STALE, "work", "xvdi");
    device_render(list->devices[0], &text);
    assert_string_equal(text.data,
                        "backend=sys-usb\ndevice=/dev/sda\ndevnum=8:0\ndescription=\nsize=\n"
                        "mode=w\nstate=stale\nattached=work\nfrontend=xvdi\n");
    device_list_unref(list);
}

static void test_reboot(void **state)
{
    struct offer old[] = {offer("sda")}, new[] = {offer("sdb")};
    struct xen_domain first = {.id = 9, .order = 1, .name = "usb", .offers = old, .offer_count = 1};
    struct xen_domain second = {
        .id = 4, .order = 2, .name = "usb", .offers = new, .offer_count = 1};
    struct xen_domain *domains[] = {&second, &first};
    struct join join = {.domains = domains, .domain_count = 2};
    const struct device_list *list = joined(&join);

    (void)state;
    assert_int_equal(list->count, 1);
    expect(list, "usb:sdb", DEVICE_FREE, "", "");
    device_list_unref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offers),         cmocka_unit_test(test_xen_knows_best),
        cmocka_unit_test(test_another_medium), cmocka_unit_test(test_stale),
        cmocka_unit_test(test_stale_unknown),  cmocka_unit_test(test_reboot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
