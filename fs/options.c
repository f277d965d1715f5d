/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* 1 TiB */
#define KDF_MEMORY_MAX (1u << 20)

const char options_help[] =
    "usage: qubesfs [OPTIONS] MOUNTPOINT\n"
    "\n"
    "Shows the virtual machines of this host as directories below MOUNTPOINT.\n"
    "\n"
    "    --connect URI      libvirt connection (default: xen:///system on a Xen dom0, else\n"
    "                       qemu:///system; test:///default is an embedded one; none)\n"
    "    --root DIR         put before every path of the host\n"
    "    --store FILE       the catalogue (default: ROOT/var/lib/qubes/qubes.xml)\n"
    "    --xenstore PATH    XenStore's socket, or none\n"
    "    --state DIR        plans and staging (default: ROOT/var/lib/qubesfs)\n"
    "    --templates DIR    domain definition templates\n"
    "    --kdf-memory MIB   what a key of a backup that is restored may take (default: 2048)\n"
    "    -o OPTIONS         libfuse's own options\n"
    "    -f                 stay in the foreground, log to stderr\n"
    "    -d                 debug\n"
    "    -V, -h             version, help\n";

static char *joined(const char *before, const char *between, const char *after)
{
    char *result;

    return asprintf(&result, "%s%s%s", before, between, after) < 0 ? NULL : result;
}

static bool on_xen_dom0(void)
{
    char text[64] = "";
    int fd CLEANUP_CLOSE = open("/proc/xen/capabilities", O_RDONLY | O_CLOEXEC);

    return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strstr(text, "control_d");
}

/* Makes a path absolute although it may not exist, or be a stale mount: only its parent is
 * resolved. */
static int absolute(const char *path, char **ret_absolute, const char *what,
                    struct error *ret_error)
{
    char *resolved CLEANUP_FREE = realpath(path, NULL), *parent CLEANUP_FREE = NULL;
    char copy[PATH_MAX], *slash;
    size_t length = strlen(path);

    if (resolved) {
        *ret_absolute = MOVE_POINTER(resolved);
        return 0;
    }
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0 || length >= sizeof(copy))
        return error_set(ret_error, -EINVAL, "%s \"%s\" is no usable path", what, path);
    memcpy(copy, path, length);
    copy[length] = '\0';
    slash = strrchr(copy, '/');
    if (slash)
        *slash = '\0';
    parent = realpath(slash ? (slash == copy ? "/" : copy) : ".", NULL);
    if (!parent)
        return error_set(ret_error, -errno, "%s \"%s\": %s", what, path, strerror(errno));
    *ret_absolute = joined(strcmp(parent, "/") ? parent : "", "/", slash ? slash + 1 : copy);
    return *ret_absolute ? 0 : -ENOMEM;
}

static int set_string(char **place, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    free(*place);
    *place = copy;
    return 0;
}

/* MiB in decimal digits. */
static int set_memory(uint64_t *bytes, const char *value, struct error *ret_error)
{
    char *end;
    unsigned long long number = strtoull(value, &end, 10);

    if (value[0] < '0' || value[0] > '9' || *end || number < 1 || number > KDF_MEMORY_MAX)
        return error_set(ret_error, -EINVAL, "a number of MiB is needed, 1 to %u", KDF_MEMORY_MAX);
    *bytes = (uint64_t)number << 20;
    return 0;
}

enum {
    OPTION_CONNECT = 256,
    OPTION_ROOT,
    OPTION_STORE,
    OPTION_XENSTORE,
    OPTION_STATE,
    OPTION_TEMPLATES,
    OPTION_KDF_MEMORY
};

static const struct option long_options[] = {
    {"connect", required_argument, NULL, OPTION_CONNECT},
    {"root", required_argument, NULL, OPTION_ROOT},
    {"store", required_argument, NULL, OPTION_STORE},
    {"xenstore", required_argument, NULL, OPTION_XENSTORE},
    {"state", required_argument, NULL, OPTION_STATE},
    {"templates", required_argument, NULL, OPTION_TEMPLATES},
    {"kdf-memory", required_argument, NULL, OPTION_KDF_MEMORY},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int take_option(struct options *options, int option, const char *value,
                       struct error *ret_error)
{
    char *all;

    switch (option) {
    case OPTION_CONNECT:
        return set_string(&options->connect, value);
    case OPTION_ROOT:
        return set_string(&options->root, value);
    case OPTION_STORE:
        options->store_given = true;
        return set_string(&options->store, value);
    case OPTION_XENSTORE:
        options->without_xenstore = strcmp(value, "none") == 0;
        return set_string(&options->xenstore, value);
    case OPTION_STATE:
        return set_string(&options->state, value);
    case OPTION_TEMPLATES:
        return set_string(&options->templates, value);
    case OPTION_KDF_MEMORY:
        return set_memory(&options->kdf_memory, value, ret_error);
    case 'o':
        all = options->fuse_options ? joined(options->fuse_options, ",", value) : strdup(value);
        if (!all)
            return -ENOMEM;
        free(options->fuse_options);
        options->fuse_options = all;
        return 0;
    case 'f':
        options->foreground = true;
        return 0;
    case 'd':
        options->debug = true;
        return 0;
    case 'V':
        options->version = true;
        return 0;
    case 'h':
        options->help = true;
        return 0;
    case ':':
        return error_set(ret_error, -EINVAL, "an option lacks its value; try -h");
    default:
        return error_set(ret_error, -EINVAL, "unknown option; try -h");
    }
}

/* True if the comma-separated list has that option. */
static bool has_option(const char *list, const char *option)
{
    size_t length = strlen(option);

    for (; list && *list; list += strcspn(list, ",")) {
        list += *list == ',';
        if (strncmp(list, option, length) == 0 && strchr(",", list[length]))
            return true;
    }
    return false;
}

/* Fills in what was not given, and makes paths absolute: the daemon leaves its directory. */
static int settle(struct options *options, struct error *ret_error)
{
    char *root = NULL, *store = NULL;
    struct stat attributes;
    int result;

    if (has_option(options->fuse_options, "ro"))
        return error_set(ret_error, -EINVAL,
                         "-o ro: inotify's events need writes by the daemon itself; make a "
                         "read-only bind mount of a writable one instead");
    if (options->root) {
        root = realpath(options->root, NULL);
        if (!root)
            return error_set(ret_error, -errno, "--root \"%s\": %s", options->root,
                             strerror(errno));
        free(options->root);
        options->root = root;
        if (strcmp(root, "/") == 0)
            root[0] = '\0';
        if (stat(*root ? root : "/", &attributes) == 0 && !S_ISDIR(attributes.st_mode))
            return error_set(ret_error, -ENOTDIR, "--root \"%s\" is not a directory", root);
    } else if (set_string(&options->root, "")) {
        return -ENOMEM;
    }
    if (options->store) {
        result = absolute(options->store, &store, "--store", ret_error);
        if (result)
            return result;
        free(options->store);
        options->store = store;
    } else {
        options->store = joined(options->root, "", "/var/lib/qubes/qubes.xml");
        if (!options->store)
            return -ENOMEM;
    }
    if (options->xenstore && !options->without_xenstore) {
        char *socket;

        result = absolute(options->xenstore, &socket, "--xenstore", ret_error);
        if (result)
            return result;
        free(options->xenstore);
        options->xenstore = socket;
    }
    if (options->templates) {
        char *templates = realpath(options->templates, NULL);

        if (!templates)
            return error_set(ret_error, -errno, "--templates \"%s\": %s", options->templates,
                             strerror(errno));
        free(options->templates);
        options->templates = templates;
    }
    if (!options->connect)
        return set_string(&options->connect, on_xen_dom0() ? "xen:///system" : "qemu:///system");
    if (strcmp(options->connect, "none") == 0) {
        free(options->connect);
        options->connect = NULL;
    } else if (strncmp(options->connect, "qubesd:", 7) == 0) {
        return error_set(
            ret_error, -EINVAL,
            "--connect %s: this version does not speak with qubesd; give a libvirt URI",
            options->connect);
    }
    return 0;
}

int options_read(int argc, char **argv, struct options *ret_options, struct error *ret_error)
{
    struct options options = {0};
    int option, result = 0;

    opterr = 0;
    while (result == 0 && (option = getopt_long(argc, argv, ":o:fdVh", long_options, NULL)) != -1)
        result = take_option(&options, option, optarg, ret_error);
    if (result == -EINVAL && optind > 1 && optind <= argc)
        error_prefix(ret_error, "%s", argv[optind - 1]);
    if (result == 0 && !options.help && !options.version) {
        if (optind + 1 != argc)
            result = error_set(ret_error, -EINVAL, "exactly one MOUNTPOINT is needed; try -h");
        else
            result = absolute(argv[optind], &options.mountpoint, "mount point", ret_error);
        if (result == 0)
            result = settle(&options, ret_error);
    }
    if (result) {
        options_free(&options);
        return result;
    }
    *ret_options = options;
    return 0;
}

void options_free(struct options *options)
{
    free(options->mountpoint);
    free(options->root);
    free(options->store);
    free(options->connect);
    free(options->xenstore);
    free(options->state);
    free(options->templates);
    free(options->fuse_options);
    *options = (struct options){0};
}
