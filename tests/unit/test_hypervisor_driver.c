/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole room with libvirt's embedded test driver.  test:///default is shared by all connections
 * of a process, so a second connection is the somebody else who changes things. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "hypervisor/room.h"
#include "hypervisor_helper.h"
#include "qubesfs/clock.h"

#define MANY 1000

struct room {
    struct heard *heard;
    struct hypervisor *hypervisor;
    virConnectPtr other; /* somebody else */
};

static void begin(struct room *room, const char *uri)
{
    struct hypervisor_listener listener;
    struct error error;

    room->heard = heard_new();
    listener = heard_listener(room->heard);
    assert_int_equal(hypervisor_start(uri, NULL, 60, &listener, &room->hypervisor, &error), 0);
    room->other = virConnectOpen("test:///default");
    assert_non_null(room->other);
}

static void end(struct room *room)
{
    virConnectClose(room->other);
    assert_int_equal(hypervisor_stop(room->hypervisor, 30), 0);
    heard_free(room->heard);
}

/* Makes the definition of a domain of that name; to be freed. */
static char *definition_of(struct room *room, const char *name)
{
    struct definition definition = {.name = name,
                                    .uuid = "",
                                    .vm_class = "AppVM",
                                    .memory_mib = 100,
                                    .maxmem_mib = 200,
                                    .vcpus = 1};
    struct error error;
    char *xml;

    assert_int_equal(hypervisor_definition(room->hypervisor, &definition, &xml, &error), 0);
    return xml;
}

static void test_told(void **state)
{
    struct room room;
    struct domain *domain;
    virDomainPtr handle;
    struct error error;

    (void)state;
    begin(&room, "test:///default");
    assert_string_equal(hypervisor_driver(room.hypervisor), "TEST");
    assert_int_equal(room.heard->alls, 1);
    assert_int_equal(heard_state(room.heard, "test"), DOMAIN_RUNNING);
    domain = heard_domain(room.heard, "test");
    assert_int_equal(domain->id, 1);
    assert_true(domain->persistent);
    assert_false(domain->managed);
    assert_non_null(strstr(domain->xml, "<name>test</name>"));
    assert_true(domain->memory_kib > 0 && domain->vcpus > 0);
    assert_int_equal(domain->start_time, 0); /* it ran before we came */
    domain_unref(domain);

    handle = virDomainLookupByName(room.other, "test");
    virDomainSuspend(handle);
    assert_true(heard_wait(room.heard, "test", DOMAIN_PAUSED));
    virDomainResume(handle);
    assert_true(heard_wait(room.heard, "test", DOMAIN_RUNNING));
    virDomainDestroy(handle);
    assert_true(heard_wait(room.heard, "test", DOMAIN_HALTED));
    domain = heard_domain(room.heard, "test");
    assert_int_equal(domain->id, -1);
    assert_non_null(domain->xml); /* not ours: a start takes it as it is */
    assert_null(strstr(domain->xml, " id="));
    domain_unref(domain);
    virDomainCreate(handle);
    assert_true(heard_wait(room.heard, "test", DOMAIN_RUNNING));
    domain = heard_domain(room.heard, "test");
    assert_true(domain->start_time > 1700000000);
    domain_unref(domain);
    virDomainUndefine(handle); /* runs on, transient */
    for (int try = 0; try < 500; try++) {
        domain = heard_domain(room.heard, "test");
        bool persistent = domain->persistent;

        domain_unref(domain);
        if (!persistent)
            break;
        usleep(10000);
    }
    assert_int_equal(heard_state(room.heard, "test"), DOMAIN_RUNNING);
    virDomainDestroy(handle);
    assert_true(heard_wait(room.heard, "test", -1));
    virDomainFree(handle);

    handle = virDomainDefineXML(room.other, "<domain type='test'><name>new</name><memory>8192"
                                            "</memory><os><type>hvm</type></os></domain>");
    assert_true(heard_wait(room.heard, "new", DOMAIN_HALTED));
    virDomainFree(handle);
    assert_int_equal(hypervisor_refresh(room.hypervisor, 5, &error), 0);
    assert_int_equal(room.heard->alls, 2);
    assert_int_equal(room.heard->disconnects, 0);
    end(&room);
}

static void test_commands(void **state)
{
    const struct domain_key key = {"", "test"}, missing = {"", "missing"};
    struct room room;
    struct error error;
    struct hypervisor *h;

    (void)state;
    begin(&room, "test:///default");
    h = room.hypervisor;
    /* the state is told when the command returns: no waiting here */
    assert_int_equal(hypervisor_unpause(h, &key, &error), -EALREADY);
    assert_int_equal(hypervisor_resume(h, &key, &error), -EALREADY);
    assert_int_equal(hypervisor_pause(h, &key, &error), 0);
    assert_int_equal(heard_state(room.heard, "test"), DOMAIN_PAUSED);
    assert_int_equal(hypervisor_pause(h, &key, &error), -EALREADY);
    assert_string_equal(error.text, "test is paused already");
    assert_int_equal(hypervisor_suspend(h, &key, NULL), -EALREADY);
    assert_int_equal(hypervisor_unpause(h, &key, &error), 0);
    assert_int_equal(heard_state(room.heard, "test"), DOMAIN_RUNNING);
    assert_int_equal(hypervisor_suspend(h, &key, &error), 0); /* the driver can't: a pause */
    assert_int_equal(heard_state(room.heard, "test"), DOMAIN_PAUSED);
    assert_int_equal(hypervisor_resume(h, &key, &error), 0);
    assert_int_equal(heard_state(room.heard, "test"), DOMAIN_RUNNING);
    assert_int_equal(hypervisor_shutdown(h, &key, &error), 0);
    assert_int_equal(heard_state(room.heard, "test"), DOMAIN_HALTED);
    assert_int_equal(hypervisor_shutdown(h, &key, &error), -EALREADY);
    assert_int_equal(hypervisor_kill(h, &key, &error), -EALREADY);
    assert_int_equal(hypervisor_pause(h, &key, &error), -ENODEV);
    assert_int_equal(hypervisor_unpause(h, &key, &error), -ENODEV);
    assert_int_equal(hypervisor_suspend(h, &key, &error), -ENODEV);
    assert_int_equal(hypervisor_resume(h, &key, NULL), -ENODEV);
    assert_int_equal(hypervisor_pause(h, &missing, &error), -ENODEV);
    assert_non_null(strstr(error.text, "start it first"));
    assert_int_equal(hypervisor_kill(h, &missing, &error), -EALREADY);
    end(&room);
}

static void test_start(void **state)
{
    const struct domain_key work = {"", "work"}, foreign = {"", "test"};
    struct domain_key by_uuid = {"", "work"};
    struct room room;
    struct domain *domain;
    struct error error;
    char *xml, *other, uuid[37];

    (void)state;
    begin(&room, "test:///default");
    xml = definition_of(&room, "work");
    assert_int_equal(hypervisor_start_domain(room.hypervisor, &work, xml, NULL, &error), 0);
    domain = heard_domain(room.heard, "work");
    assert_int_equal(domain->state, DOMAIN_RUNNING);
    assert_true(domain->managed);
    assert_true(domain->persistent);
    strcpy(uuid, domain->uuid);
    domain_unref(domain);
    assert_int_equal(hypervisor_start_domain(room.hypervisor, &work, xml, NULL, &error), -EALREADY);
    assert_int_equal(hypervisor_kill(room.hypervisor, &work, &error), 0);
    domain = heard_domain(room.heard, "work");
    assert_int_equal(domain->state, DOMAIN_HALTED);
    assert_null(domain->xml); /* ours: a start makes it anew */
    assert_true(domain->managed);
    domain_unref(domain);

    /* ours is defined again, and keeps its uuid; so does one that was renamed */
    other = strdup(strstr(xml, "200<") ? xml : "");
    memcpy(strstr(other, "200<"), "300<", 4);
    assert_int_equal(hypervisor_start_domain(room.hypervisor, &work, other, NULL, &error), 0);
    domain = heard_domain(room.heard, "work");
    assert_int_equal(domain->max_memory_kib, 300 * 1024);
    assert_string_equal(domain->uuid, uuid);
    domain_unref(domain);
    assert_int_equal(hypervisor_kill(room.hypervisor, &work, &error), 0);
    free(other);
    by_uuid.uuid = uuid;
    by_uuid.name = "play";
    other = definition_of(&room, "play");
    assert_int_equal(hypervisor_start_domain(room.hypervisor, &by_uuid, other, NULL, &error), 0);
    domain = heard_domain(room.heard, "play");
    assert_string_equal(domain->uuid, uuid);
    domain_unref(domain);
    assert_int_equal(heard_state(room.heard, "work"), -1);
    free(other);

    /* somebody else's is started as it is */
    assert_int_equal(hypervisor_kill(room.hypervisor, &foreign, &error), 0);
    other = definition_of(&room, "test");
    assert_int_equal(hypervisor_start_domain(room.hypervisor, &foreign, other, NULL, &error), 0);
    domain = heard_domain(room.heard, "test");
    assert_false(domain->managed);
    assert_true(domain->max_memory_kib > 300 * 1024);
    domain_unref(domain);
    free(other);

    /* ... for which no definition is needed; without one, nothing else can be started */
    assert_int_equal(hypervisor_kill(room.hypervisor, &foreign, &error), 0);
    assert_int_equal(hypervisor_start_domain(room.hypervisor, &foreign, NULL, NULL, &error), 0);
    assert_int_equal(heard_state(room.heard, "test"), DOMAIN_RUNNING);
    assert_int_equal(
        hypervisor_start_domain(room.hypervisor, &(struct domain_key){"", "none"}, NULL, NULL, &error),
        -ENODEV);
    assert_non_null(strstr(error.text, "try again"));

    /* refused definitions leave nothing */
    other = strdup("<domain type='test'><name>bad</name></domain>");
    assert_int_equal(
        hypervisor_start_domain(room.hypervisor, &(struct domain_key){"", "bad"}, other, NULL, &error),
        -EIO);
    assert_non_null(strstr(error.text, "bad can't be started: "));
    assert_int_equal(heard_state(room.heard, "bad"), -1);
    free(other);
    assert_int_equal(hypervisor_start_domain(room.hypervisor, &work, "<x/>", NULL, &error), -EINVAL);
    free(xml);
    end(&room);
}

static void *start_it(void *cookie)
{
    struct room *room = cookie;
    char *xml = definition_of(room, "race");
    struct error error;
    intptr_t result =
        hypervisor_start_domain(room->hypervisor, &(struct domain_key){"", "race"}, xml, NULL, &error);

    if (result && result != -EALREADY)
        print_message("race: %s\n", error.text);
    free(xml);
    return (void *)result;
}

static void test_start_race(void **state)
{
    struct room room;
    pthread_t threads[8];
    unsigned started = 0;

    (void)state;
    begin(&room, "test:///default");
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_it, &room), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        void *result;

        pthread_join(threads[i], &result);
        assert_true((intptr_t)result == 0 || (intptr_t)result == -EALREADY);
        started += (intptr_t)result == 0;
    }
    assert_int_equal(started, 1);
    assert_int_equal(heard_state(room.heard, "race"), DOMAIN_RUNNING);
    end(&room);
}

static void write_many(char *path)
{
    FILE *stream = fdopen(mkstemp(path), "w");

    assert_non_null(stream);
    fputs("<node><cpu><mhz>1000</mhz><model>i686</model><active>2</active><nodes>1</nodes>"
          "<sockets>1</sockets><cores>2</cores><threads>1</threads></cpu><memory>8192000</memory>",
          stream);
    for (int i = 0; i < MANY; i++)
        fprintf(stream,
                "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
                "<name>vm%d</name><memory>8192</memory><os><type>hvm</type></os>"
                "<test:runstate>%d</test:runstate></domain>",
                i, i % 2 ? 1 : 5);
    fputs("</node>", stream);
    fclose(stream);
}

static void test_many(void **state)
{
    char path[] = "/tmp/qubesfs-many-XXXXXX", uri[64];
    struct domain *before, *after;
    struct room room;
    struct error error;
    uint64_t began;

    (void)state;
    write_many(path);
    snprintf(uri, sizeof(uri), "test://%s", path);
    began = clock_monotonic_ns();
    begin(&room, uri);
    assert_int_equal(room.heard->count, MANY);
    print_message("%d domains told after %u ms\n", MANY,
                  (unsigned)((clock_monotonic_ns() - began) / 1000000));
    assert_int_equal(heard_state(room.heard, "vm0"), DOMAIN_HALTED);
    assert_int_equal(heard_state(room.heard, "vm1"), DOMAIN_RUNNING);
    before = heard_domain(room.heard, "vm0");
    began = clock_monotonic_ns();
    assert_int_equal(hypervisor_refresh(room.hypervisor, 60, &error), 0);
    print_message("and again after %u ms\n", (unsigned)((clock_monotonic_ns() - began) / 1000000));
    after = heard_domain(room.heard, "vm0");
    assert_ptr_equal(before, after); /* what did not change is shared */
    domain_unref(before);
    domain_unref(after);
    assert_int_equal(hypervisor_kill(room.hypervisor, &(struct domain_key){"", "vm999"}, &error),
                     0);
    assert_int_equal(heard_state(room.heard, "vm999"), DOMAIN_HALTED);
    end(&room);
    unlink(path);
}

static void test_no_hypervisor(void **state)
{
    struct heard *heard = heard_new();
    struct hypervisor_listener listener = heard_listener(heard);
    const struct domain_key key = {"", "work"};
    const struct definition definition = {.name = "work"};
    struct hypervisor *hypervisor;
    struct error error;
    char *xml;

    (void)state;
    assert_int_equal(hypervisor_start(NULL, NULL, 5, &listener, &hypervisor, &error), 0);
    assert_null(hypervisor_driver(hypervisor));
    assert_int_equal(hypervisor_refresh(hypervisor, 1, &error), -ENOTCONN);
    assert_int_equal(hypervisor_kill(hypervisor, &key, &error), -ENOTCONN);
    assert_non_null(strstr(error.text, "no hypervisor"));
    assert_int_equal(hypervisor_definition(hypervisor, &definition, &xml, &error), -ENOTCONN);
    assert_int_equal(hypervisor_stop(hypervisor, 1), 0);

    /* one that can't be reached is told once, and costs nobody time */
    assert_int_equal(hypervisor_start("qemu+unix:///system?socket=/nonexistent", NULL, 5, &listener,
                                      &hypervisor, &error),
                     0);
    assert_int_equal(hypervisor_refresh(hypervisor, 5, &error), -ENOTCONN);
    assert_non_null(strstr(error.text, "/nonexistent"));
    assert_int_equal(hypervisor_kill(hypervisor, &key, &error), -ENOTCONN);
    usleep(700000);
    assert_int_equal(heard->disconnects, 1);
    assert_int_equal(heard->alls, 0);
    assert_int_equal(hypervisor_stop(hypervisor, 2), 0);
    heard_free(heard);
}

static void test_states(void **state)
{
    (void)state;
    assert_int_equal(reading_state(-1, VIR_DOMAIN_CRASHED, 0), DOMAIN_HALTED);
    assert_int_equal(reading_state(-1, VIR_DOMAIN_SHUTOFF, 0), DOMAIN_HALTED);
    assert_int_equal(reading_state(3, VIR_DOMAIN_NOSTATE, 0), DOMAIN_RUNNING);
    assert_int_equal(reading_state(3, VIR_DOMAIN_BLOCKED, 0), DOMAIN_RUNNING);
    assert_int_equal(reading_state(3, VIR_DOMAIN_PAUSED, 0), DOMAIN_PAUSED);
    assert_int_equal(reading_state(3, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_STARTING_UP),
                     DOMAIN_TRANSIENT);
    assert_int_equal(reading_state(3, VIR_DOMAIN_PMSUSPENDED, 0), DOMAIN_SUSPENDED);
    assert_int_equal(reading_state(3, VIR_DOMAIN_SHUTDOWN, 0), DOMAIN_HALTING);
    assert_int_equal(reading_state(3, VIR_DOMAIN_CRASHED, 0), DOMAIN_CRASHED);
    assert_int_equal(reading_state(3, VIR_DOMAIN_SHUTOFF, 0), DOMAIN_DYING);
}

static void test_queue(void **state)
{
    static const char uuid[] = "12345678-1234-4234-8234-123456789abc";
    struct queue_item item;
    struct queue *queue;
    uint64_t first;

    (void)state;
    assert_int_equal(queue_new(&queue), 0);
    first = queue_look(queue, uuid, false);
    assert_int_equal(queue_look(queue, uuid, true), first);
    assert_true(queue_sweep(queue) > first);
    assert_true(queue_look(queue, "other", false) > first);
    queue_lost(queue);
    queue_next(queue, 0, &item);
    assert_int_equal(item.kind, QUEUE_LOST);
    queue_next(queue, 0, &item);
    assert_int_equal(item.kind, QUEUE_LOOK);
    assert_true(item.redefined);
    assert_string_equal(item.uuid, uuid);
    /* taken, so asked for again it is a new one */
    assert_true(queue_look(queue, uuid, false) > first);
    queue_next(queue, 0, &item);
    assert_int_equal(item.kind, QUEUE_SWEEP);
    assert_false(queue_wait(queue, item.ticket, 0));
    queue_done(queue, item.ticket);
    assert_true(queue_wait(queue, first, 0));
    queue_done(queue, queue_newest(queue));
    queue_next(queue, 0, &item);
    assert_int_equal(item.kind, QUEUE_TIMEOUT);
    queue_look(queue, uuid, false);
    queue_stop(queue);
    queue_next(queue, 0, &item);
    assert_int_equal(item.kind, QUEUE_STOP);
    queue_unref(queue_ref(queue));
    queue_unref(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states), cmocka_unit_test(test_queue),
        cmocka_unit_test(test_told),   cmocka_unit_test(test_commands),
        cmocka_unit_test(test_start),  cmocka_unit_test(test_start_race),
        cmocka_unit_test(test_many),   cmocka_unit_test(test_no_hypervisor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
