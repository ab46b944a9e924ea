/* The door to PCRE2: expressions that an installer wrote, run over what a device sends. pcre2api(3) */
#ifndef CPCRE2_H
#define CPCRE2_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cpcre2_expression cpcre2_expression;

/* Compiles a pattern in UTF-8. NULL when it is none: then `reason` says why, and `place` at which byte. */
cpcre2_expression *cpcre2_compile(
    const char *pattern, size_t length, char *reason, size_t reason_size, size_t *place
);
void cpcre2_free(cpcre2_expression *expression);

/* How many groups have a name; and the name, and the number, of one of them, in the order of their numbers. */
size_t cpcre2_name_count(const cpcre2_expression *expression);
const char *cpcre2_name(const cpcre2_expression *expression, size_t index, unsigned *number);

/* How many groups there are, the whole match not counted. */
size_t cpcre2_group_count(const cpcre2_expression *expression);

/* Looks for the first match in UTF-8 text. `bounds` gets the start and the end, in bytes, of the whole match and of each
 * group: room for 2 * (groups + 1) numbers; SIZE_MAX for a group that took no part. False when there is none, when the
 * text is not UTF-8, or when looking took too many steps. From any thread. */
bool cpcre2_match(const cpcre2_expression *expression, const char *text, size_t length, size_t *bounds);

#endif
