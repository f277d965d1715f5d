/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands for domains that are there: shutdown, kill, pause, unpause, suspend, resume. */
#include <errno.h>

#include "command.h"
#include "qubesfs/log.h"

/* shutdown and kill */

static int check_stop(const struct command *command)
{
    if (!command->active)
        return command_refuse(command, -EALREADY, "does not run");
    return 0;
}

static int act_shutdown(struct command *command)
{
    return virDomainShutdown(command->domain);
}

int hypervisor_shutdown(struct hypervisor *hypervisor, const struct domain_key *key,
                        struct error *ret_error)
{
    static const struct command_kind kind = {"shut down", "kill stops it at once", check_stop,
                                             act_shutdown};

    return command_run(hypervisor, key, NULL, &kind, ret_error);
}

static int act_kill(struct command *command)
{
    return virDomainDestroy(command->domain);
}

int hypervisor_kill(struct hypervisor *hypervisor, const struct domain_key *key,
                    struct error *ret_error)
{
    static const struct command_kind kind = {"killed", NULL, check_stop, act_kill};

    return command_run(hypervisor, key, NULL, &kind, ret_error);
}

/* pause, unpause, suspend, resume */

static int check_runs(const struct command *command)
{
    if (!command->domain)
        return command_refuse(command, -ENODEV, "is not in the hypervisor; start it first");
    if (!command->active)
        return command_refuse(command, -ENODEV, "does not run; start it first");
    return 0;
}

static int check_pause(const struct command *command)
{
    int result = check_runs(command);

    if (result == 0 && command->state == VIR_DOMAIN_PAUSED)
        return command_refuse(command, -EALREADY, "is paused already");
    return result;
}

static int act_pause(struct command *command)
{
    return virDomainSuspend(command->domain);
}

int hypervisor_pause(struct hypervisor *hypervisor, const struct domain_key *key,
                     struct error *ret_error)
{
    static const struct command_kind kind = {"paused", NULL, check_pause, act_pause};

    return command_run(hypervisor, key, NULL, &kind, ret_error);
}

static bool goes_on(int state)
{
    return state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED ||
           state == VIR_DOMAIN_NOSTATE;
}

static int check_unpause(const struct command *command)
{
    int result = check_runs(command);

    if (result == 0 && goes_on(command->state))
        return command_refuse(command, -EALREADY, "is not paused");
    return result;
}

static int act_unpause(struct command *command)
{
    return virDomainResume(command->domain);
}

int hypervisor_unpause(struct hypervisor *hypervisor, const struct domain_key *key,
                       struct error *ret_error)
{
    static const struct command_kind kind = {"unpaused", "resume also wakes a suspended one",
                                             check_unpause, act_unpause};

    return command_run(hypervisor, key, NULL, &kind, ret_error);
}

static int check_suspend(const struct command *command)
{
    int result = check_runs(command);

    if (result == 0 && command->state == VIR_DOMAIN_PMSUSPENDED)
        return command_refuse(command, -EALREADY, "is suspended already");
    if (result == 0 && command->state == VIR_DOMAIN_PAUSED)
        return command_refuse(command, -EALREADY, "is paused already");
    return result;
}

/* True if the last error says that nobody can put this guest to sleep. */
static bool can_not_sleep(void)
{
    const virError *error = virGetLastError();

    switch (error ? error->code : VIR_ERR_OK) {
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED: /* QEMU without a guest agent's channel */
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_AGENT_UNRESPONSIVE:
    case VIR_ERR_AGENT_UNSYNCED:
        return true;
    default:
        return false;
    }
}

static int act_suspend(struct command *command)
{
    if (virDomainPMSuspendForDuration(command->domain, VIR_NODE_SUSPEND_TARGET_MEM, 0, 0) == 0)
        return 0;
    if (!can_not_sleep())
        return -1;
    log_debug("%s is paused instead of suspended: %s", command->key->name,
              virGetLastErrorMessage());
    return virDomainSuspend(command->domain);
}

int hypervisor_suspend(struct hypervisor *hypervisor, const struct domain_key *key,
                       struct error *ret_error)
{
    static const struct command_kind kind = {"suspended", NULL, check_suspend, act_suspend};

    return command_run(hypervisor, key, NULL, &kind, ret_error);
}

static int check_resume(const struct command *command)
{
    int result = check_runs(command);

    if (result == 0 && goes_on(command->state))
        return command_refuse(command, -EALREADY, "is neither suspended nor paused");
    return result;
}

static int act_resume(struct command *command)
{
    if (command->state == VIR_DOMAIN_PMSUSPENDED)
        return virDomainPMWakeup(command->domain, 0);
    return virDomainResume(command->domain);
}

int hypervisor_resume(struct hypervisor *hypervisor, const struct domain_key *key,
                      struct error *ret_error)
{
    static const struct command_kind kind = {"resumed", NULL, check_resume, act_resume};

    return command_run(hypervisor, key, NULL, &kind, ret_error);
}
