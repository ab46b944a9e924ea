/* What Debian sid's Swift runtime wants of glibc 2.38, for Debian 12, which has 2.36: the functions of C23, which differ
 * from these only in that they read binary numbers, too. The runtime reads environment variables with them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }

long long __isoc23_strtoll(const char *text, char **end, int base) { return strtoll(text, end, base); }

int __isoc23_sscanf(const char *text, const char *format, ...) {
    va_list places;
    va_start(places, format);
    int count = vsscanf(text, format, places);
    va_end(places);
    return count;
}
