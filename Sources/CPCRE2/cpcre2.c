#define PCRE2_CODE_UNIT_WIDTH 8
#include "cpcre2.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct named {
    const char *name;
    unsigned number;
};

struct cpcre2_expression {
    pcre2_code *code;
    pcre2_match_context *context;
    size_t group_count;
    size_t name_count;
    struct named *names;
};

/* An expression may try more ways than a day has seconds: what a device sends must not keep the gateway busy. A line is
 * matched in some hundred steps. */
static const uint32_t step_limit = 1000000;

static int by_number(const void *a, const void *b) {
    const struct named *one = a, *other = b;
    return one->number < other->number ? -1 : one->number > other->number;
}

static bool read_names(cpcre2_expression *expression) {
    uint32_t count = 0, entry_size = 0, groups = 0;
    PCRE2_SPTR table = NULL;
    pcre2_pattern_info(expression->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    pcre2_pattern_info(expression->code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(expression->code, PCRE2_INFO_NAMEENTRYSIZE, &entry_size);
    pcre2_pattern_info(expression->code, PCRE2_INFO_NAMETABLE, &table);
    expression->group_count = groups;
    expression->names = calloc(count ? count : 1, sizeof *expression->names);
    if (!expression->names) return false;
    expression->name_count = count;
    for (uint32_t i = 0; i < count; i++, table += entry_size)
        expression->names[i] = (struct named){ (const char *)table + 2, (unsigned)(table[0] << 8 | table[1]) };
    qsort(expression->names, count, sizeof *expression->names, by_number);
    return true;
}

cpcre2_expression *cpcre2_compile(
    const char *pattern, size_t length, char *reason, size_t reason_size, size_t *place
) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    cpcre2_expression *expression = calloc(1, sizeof *expression);
    if (expression)
        expression->code = pcre2_compile(
            (PCRE2_SPTR)pattern, length, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset, NULL
        );
    if (expression && expression->code) {
        expression->context = pcre2_match_context_create(NULL);
        if (expression->context && read_names(expression)) {
            pcre2_set_match_limit(expression->context, step_limit);
            return expression;
        }
        strncpy(reason, "out of memory", reason_size - 1);
    } else {
        pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, reason_size);
    }
    reason[reason_size - 1] = 0;
    *place = offset;
    cpcre2_free(expression);
    return NULL;
}

void cpcre2_free(cpcre2_expression *expression) {
    if (!expression) return;
    pcre2_match_context_free(expression->context);
    pcre2_code_free(expression->code);
    free(expression->names);
    free(expression);
}

size_t cpcre2_name_count(const cpcre2_expression *expression) { return expression->name_count; }

const char *cpcre2_name(const cpcre2_expression *expression, size_t index, unsigned *number) {
    *number = expression->names[index].number;
    return expression->names[index].name;
}

size_t cpcre2_group_count(const cpcre2_expression *expression) { return expression->group_count; }

bool cpcre2_match(const cpcre2_expression *expression, const char *text, size_t length, size_t *bounds) {
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(expression->code, NULL);
    if (!match) return false;
    int found = pcre2_match(expression->code, (PCRE2_SPTR)text, length, 0, 0, match, expression->context);
    if (found > 0) memcpy(bounds, pcre2_get_ovector_pointer(match), 2 * (expression->group_count + 1) * sizeof *bounds);
    pcre2_match_data_free(match);
    return found > 0;
}
