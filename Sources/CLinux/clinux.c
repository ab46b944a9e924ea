#define _GNU_SOURCE
#include "clinux.h"

#include <ftw.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/timex.h>

bool clinux_clock_is_synced(void) {
    struct timex state = {0};
    int result = adjtimex(&state);
    return result >= 0 && result != TIME_ERROR && !(state.status & STA_UNSYNC);
}

void clinux_limit_arenas(int count) { mallopt(M_ARENA_MAX, count); }

static int remove_one(const char *path, const struct stat *information, int type, struct FTW *place) {
    (void)information, (void)type, (void)place;
    return remove(path);
}

void clinux_remove_tree(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }
