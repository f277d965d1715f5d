/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into Xen 4.17's C xenstored, so that it runs where there is no Xen.
 *
 * xenstored needs four things of the hypervisor and the dom0 kernel; each is played here:
 *   libxenctrl    xc_domain_getinfo   a domain N exists while the file $XENSTORE_DOMAINS/N does;
 * its first byte is its state: r runs (also when empty), s shut down, c crashed, d dying.  Domain 0
 * always exists. libxengnttab  a granted page      the file $XENSTORE_DOMAINS/N.ring, so that
 * another program can play the guest's side of the ring (guest.c) libxenevtchn  event channels an
 * eventfd; all of them are raised by SIGUSR1, after which xenstored looks at each ring and, as on a
 * domain's end, at all domains xsd_port, xsd_kva                 a memfd each
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define DOMAINS_END 0x7ff0

static char handle[16]; /* what stands for each library's own */
static int events = -1;
static int next_port = 1, domain_port = -1;

/* --- libxenctrl --- */

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild,
                                unsigned flags)
{
    (void)logger;
    (void)dombuild;
    (void)flags;
    return (xc_interface *)handle;
}

int xc_interface_close(xc_interface *interface)
{
    (void)interface;
    return 0;
}

static int domain_path(uint32_t domain, const char *suffix, char *ret_path, size_t size)
{
    const char *directory = getenv("XENSTORE_DOMAINS");

    if (!directory)
        return -1;
    snprintf(ret_path, size, "%s/%u%s", directory, domain, suffix);
    return 0;
}

/* Its letter; 0: there is none. */
static int domain_state(uint32_t domain)
{
    char path[4096], letter = 'r';
    int fd;

    if (domain == 0)
        return 'r';
    if (domain >= DOMAINS_END || domain_path(domain, "", path, sizeof(path)))
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (read(fd, &letter, 1) != 1)
        letter = 'r';
    close(fd);
    return letter;
}

int xc_domain_getinfo(xc_interface *interface, uint32_t first, unsigned int max,
                      xc_dominfo_t *ret_info)
{
    uint32_t domain = first;

    (void)interface;
    /* as the real one: the first domain from this number on */
    while (domain < DOMAINS_END && !domain_state(domain))
        domain++;
    if (max == 0 || domain >= DOMAINS_END)
        return 0;
    memset(ret_info, 0, sizeof(*ret_info));
    ret_info->domid = domain;
    switch (domain_state(domain)) {
    case 's':
        ret_info->shutdown = 1;
        break;
    case 'c':
        ret_info->shutdown = ret_info->crashed = 1;
        break;
    case 'd':
        ret_info->dying = 1;
        break;
    default:
        ret_info->running = 1;
    }
    return 1;
}

/* --- libxengnttab --- */

xengnttab_handle *xengnttab_open(xentoollog_logger *logger, unsigned flags)
{
    (void)logger;
    (void)flags;
    return (void *)handle;
}

int xengnttab_close(xengnttab_handle *own)
{
    (void)own;
    return 0;
}

int xengnttab_set_max_grants(xengnttab_handle *own, uint32_t count)
{
    (void)own;
    (void)count;
    return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *own, uint32_t domain, uint32_t reference,
                              int protection)
{
    size_t size = (size_t)getpagesize();
    char path[4096];
    void *page;
    int fd;

    (void)own;
    (void)reference;
    (void)protection;
    if (domain_path(domain, ".ring", path, sizeof(path)))
        return NULL;
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size))
        return NULL;
    page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

int xengnttab_unmap(xengnttab_handle *own, void *page, uint32_t count)
{
    (void)own;
    return munmap(page, (size_t)count * (size_t)getpagesize());
}

/* --- libxenevtchn --- */

static void on_signal(int number)
{
    uint64_t one = 1;
    int error = errno;
    ssize_t ignored = write(events, &one, sizeof(one));

    (void)number;
    (void)ignored;
    errno = error;
}

static xenevtchn_handle *open_events(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    if (events < 0)
        events = eventfd(0, EFD_NONBLOCK);
    sigaction(SIGUSR1, &action, NULL);
    return events < 0 ? NULL : (void *)handle;
}

xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned flags)
{
    (void)logger;
    (void)flags;
    return open_events();
}

xenevtchn_handle *xenevtchn_fdopen(xentoollog_logger *logger, int fd, unsigned flags)
{
    (void)logger;
    (void)fd;
    (void)flags;
    return open_events();
}

int xenevtchn_close(xenevtchn_handle *own)
{
    (void)own;
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *own)
{
    (void)own;
    return events;
}

int xenevtchn_notify(xenevtchn_handle *own, evtchn_port_t port)
{
    (void)own;
    (void)port;
    return 0;
}

int xenevtchn_unmask(xenevtchn_handle *own, evtchn_port_t port)
{
    (void)own;
    (void)port;
    return 0;
}

int xenevtchn_unbind(xenevtchn_handle *own, evtchn_port_t port)
{
    (void)own;
    (void)port;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *own, uint32_t domain,
                                                     evtchn_port_t port)
{
    (void)own;
    (void)domain;
    (void)port;
    return next_port++;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *own, unsigned virq)
{
    (void)own;
    (void)virq;
    return domain_port = next_port++;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *own)
{
    uint64_t count;
    ssize_t ignored = read(events, &count, sizeof(count));

    (void)own;
    (void)ignored;
    return domain_port;
}

/* --- the dom0 kernel's files --- */

/* A descriptor in its stead; -2: it is none of them. */
static int kernel_file(const char *path)
{
    bool port = strstr(path, "xsd_port") != NULL;
    bool page = strstr(path, "xsd_kva") || strcmp(path, "/dev/xen/xenbus_backend") == 0;
    int fd;

    if ((!port && !page) ||
        (strncmp(path, "/proc/xen/", 10) != 0 && strncmp(path, "/dev/xen/", 9) != 0))
        return -2;
    fd = memfd_create("xsd", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (port ? write(fd, "1", 1) != 1 || lseek(fd, 0, SEEK_SET) : ftruncate(fd, getpagesize())) {
        close(fd);
        return -1;
    }
    return fd;
}

#define OPENER(name)                                                                               \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        static int (*real)(const char *, int, ...);                                                \
        int fd = kernel_file(path);                                                                \
        mode_t mode = 0;                                                                           \
        va_list arguments;                                                                         \
                                                                                                   \
        if (fd != -2)                                                                              \
            return fd;                                                                             \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                       \
            va_start(arguments, flags);                                                            \
            mode = va_arg(arguments, mode_t);                                                      \
            va_end(arguments);                                                                     \
        }                                                                                          \
        if (!real)                                                                                 \
            real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name);                       \
        return real(path, flags, mode);                                                            \
    }
#undef open
#undef open64
OPENER(open)
OPENER(open64)
