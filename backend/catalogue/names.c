/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "qubesfs/text.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

const char *vm_name_reason(const char *untrusted_name)
{
    /* words that Qubes reads as something else where a VM's name may stand */
    static const char *const reserved[] = {"none", "default", "true", "false", "Domain-0"};
    size_t length = strlen(untrusted_name);

    if (length == 0)
        return "a VM's name is empty";
    if (length > VM_NAME_MAX)
        return "a VM's name is longer than 31 characters";
    if (!is_letter(untrusted_name[0]))
        return "a VM's name does not begin with a letter";
    for (size_t i = 0; i < length; i++)
        if (!is_letter(untrusted_name[i]) && !is_digit(untrusted_name[i]) &&
            !strchr("_.-", untrusted_name[i]))
            return "a VM's name has a character other than letters, digits, '_', '.' and '-'";
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (strcasecmp(untrusted_name, reserved[i]) == 0)
            return "a VM's name is a reserved word";
    return NULL;
}

static bool has_control(const char *untrusted_text)
{
    for (const unsigned char *at = (const unsigned char *)untrusted_text; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            return true;
    return false;
}

bool file_name_ok(const char *untrusted_name)
{
    size_t length = strlen(untrusted_name);

    return length > 0 && length <= 255 && strcmp(untrusted_name, ".") != 0 &&
           strcmp(untrusted_name, "..") != 0 && !strchr(untrusted_name, '/') &&
           !has_control(untrusted_name) && utf8_valid(untrusted_name, length);
}

bool path_ok(const char *untrusted_path)
{
    const char *at = untrusted_path;

    if (strlen(untrusted_path) >= 4096 || has_control(untrusted_path))
        return false;
    while (*at) {
        size_t length = strcspn(at, "/");

        if ((length == 1 && at[0] == '.') || (length == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += length;
        at += strspn(at, "/");
    }
    return true;
}

bool parse_number(const char *untrusted_text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (!*untrusted_text)
        return false;
    for (const char *at = untrusted_text; *at; at++) {
        uint64_t digit = (uint64_t)(unsigned char)*at - '0';

        if (!is_digit(*at) || digit > max || number > (max - digit) / 10)
            return false;
        number = 10 * number + digit;
    }
    *ret_number = number;
    return true;
}

bool is_none(const char *untrusted_text)
{
    return !*untrusted_text || strcasecmp(untrusted_text, "none") == 0;
}

bool parse_bool(const char *untrusted_text, bool fallback)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0", "none", ""};

    if (!untrusted_text)
        return fallback;
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        if (strcasecmp(untrusted_text, yes[i]) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        if (strcasecmp(untrusted_text, no[i]) == 0)
            return false;
    return fallback;
}

bool parse_uuid(const char *untrusted_text, char *ret_uuid)
{
    size_t digits = 0, at = 0;

    for (const char *c = untrusted_text; *c; c++) {
        if (*c == '-' && (digits == 8 || digits == 12 || digits == 16 || digits == 20) &&
            c[-1] != '-')
            continue;
        if (!isxdigit((unsigned char)*c) || digits == 32)
            return false;
        if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
            ret_uuid[at++] = '-';
        ret_uuid[at++] = (char)tolower((unsigned char)*c);
        digits++;
    }
    ret_uuid[at] = '\0';
    return digits == 32;
}
