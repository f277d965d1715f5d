/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qubesfs/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "qubesfs/text.h"

static atomic_bool use_syslog;
static atomic_bool debugging;
static _Thread_local bool thread_to_stderr;

void log_to_syslog(void)
{
    openlog("qubesfs", LOG_PID, LOG_DAEMON);
    atomic_store(&use_syslog, true);
}

bool log_thread_to_stderr(void)
{
    thread_to_stderr = true;
    return atomic_load(&use_syslog);
}

void log_set_debug(bool on)
{
    atomic_store(&debugging, on);
}

bool log_debugging(void)
{
    return atomic_load_explicit(&debugging, memory_order_relaxed);
}

static void PRINTF(2, 0) line(int priority, const char *format, va_list arguments)
{
    struct text escaped CLEANUP_TEXT = TEXT_INIT;
    char raw[4096];

    vsnprintf(raw, sizeof(raw), format, arguments);
    text_escape(&escaped, raw, strlen(raw));
    if (text_status(&escaped) || !escaped.data)
        return;
    if (atomic_load(&use_syslog) && !thread_to_stderr)
        syslog(priority, "%s", escaped.data);
    else
        fprintf(stderr, "qubesfs: %s\n", escaped.data);
}

#define DEFINE_LEVEL(name, priority)                                                               \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        line(priority, format, arguments);                                                         \
        va_end(arguments);                                                                         \
    }

DEFINE_LEVEL(log_error, LOG_ERR)
DEFINE_LEVEL(log_warning, LOG_WARNING)
DEFINE_LEVEL(log_info, LOG_INFO)
DEFINE_LEVEL(log_debug_line, LOG_DEBUG)
