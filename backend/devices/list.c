/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device, the list of all, and a device's file. */
#include <stdlib.h>
#include <string.h>

#include "qubesfs/devices.h"
#include "qubesfs/text.h"

bool offer_equal(const struct offer *a, const struct offer *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->path, b->path) == 0 &&
           strcmp(a->description, b->description) == 0 && a->size == b->size && a->sequence == b->sequence &&
           a->major == b->major && a->minor == b->minor && a->numbered == b->numbered &&
           a->read_only == b->read_only;
}

const struct device *device_ref(const struct device *device)
{
    __atomic_add_fetch(&((struct device *)device)->references, 1, __ATOMIC_RELAXED);
    return device;
}

void device_unref(const struct device *device)
{
    if (device &&
        __atomic_sub_fetch(&((struct device *)device)->references, 1, __ATOMIC_ACQ_REL) == 0)
        free((struct device *)device);
}

const struct device_list *device_list_ref(const struct device_list *list)
{
    __atomic_add_fetch(&((struct device_list *)list)->references, 1, __ATOMIC_RELAXED);
    return list;
}

void device_list_unref(const struct device_list *list)
{
    struct device_list *own = (struct device_list *)list;

    if (!own || __atomic_sub_fetch(&own->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < own->count; i++)
        device_unref(own->devices[i]);
    free(own->devices);
    free(own);
}

const struct device *device_list_find(const struct device_list *list, const char *name)
{
    size_t low = 0, high = list ? list->count : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(list->devices[middle]->name, name);

        if (order == 0)
            return list->devices[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void device_render(const struct device *device, struct text *text)
{
    static const char *const states[] = {"free", "attached", "stale"};
    const struct offer *offer = &device->offer;

    text_printf(text, "backend=%s\ndevice=%s\n", device->backend, offer->path);
    if (offer->numbered)
        text_printf(text, "devnum=%u:%u\n", offer->major, offer->minor);
    else
        text_string(text, "devnum=\n");
    text_printf(text, "description=%s\n", offer->description);
    if (device->known)
        text_printf(text, "size=%llu\n", (unsigned long long)offer->size);
    else
        text_string(text, "size=\n");
    text_printf(text, "mode=%s\nstate=%s\nattached=%s\nfrontend=%s\n", offer->read_only ? "r" : "w",
                states[device->state], device->attached, device->frontend);
}
