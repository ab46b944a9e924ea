#define _GNU_SOURCE
#include "clinux.h"

#include <ftw.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timex.h>

bool clinux_clock_is_synced(void) {
    struct timex state = {0};
    int result = adjtimex(&state);
    return result >= 0 && result != TIME_ERROR && !(state.status & STA_UNSYNC);
}

int64_t clinux_build_time(void) {
    struct tm day = {0};
    /* "Nov 24 2026", in English whatever the locale. */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const char *date = __DATE__;
    for (int month = 0; month < 12; month++)
        if (strncmp(months + 3 * month, date, 3) == 0) day.tm_mon = month;
    day.tm_mday = atoi(date + 4);
    day.tm_year = atoi(date + 7) - 1900;
    return (int64_t)timegm(&day);
}

void clinux_limit_arenas(int count) { mallopt(M_ARENA_MAX, count); }

int clinux_raise_open_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    rlim_t now = setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
    return now > INT_MAX ? INT_MAX : (int)now;
}

static int remove_one(const char *path, const struct stat *information, int type, struct FTW *place) {
    (void)information, (void)type, (void)place;
    return remove(path);
}

void clinux_remove_tree(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

void clinux_name_thread(const char *name) { prctl(PR_SET_NAME, (unsigned long)name, 0, 0, 0); }

int clinux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

const char *clinux_error_name(int code) { return strerrorname_np(code); }

const char *clinux_error_text(int code) { return strerrordesc_np(code); }
