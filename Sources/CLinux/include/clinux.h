/* What the C library has and Swift's Glibc module does not show. */
#ifndef CLINUX_H
#define CLINUX_H

#include <stdbool.h>
#include <stdint.h>

/* The kernel's own view of its clock, as any NTP daemon sets it (adjtimex(2)). */
bool clinux_clock_is_synced(void);

/* When this program was built, Unix seconds: midnight UTC of that day (__DATE__, which SOURCE_DATE_EPOCH fixes). */
int64_t clinux_build_time(void);

/* At most count heaps for all threads (mallopt(3), M_ARENA_MAX). */
void clinux_limit_arenas(int count);

/* Raises the limit on open files to what the process may have (RLIMIT_NOFILE, getrlimit(2)); returns the limit that
 * holds then, at most INT_MAX, or -1 and errno. */
int clinux_raise_open_files(void);

/* Removes a folder and everything below it, links not followed (nftw(3)). */
void clinux_remove_tree(const char *path);

/* Names the calling thread, as `top -H` shows it; 15 bytes are kept (PR_SET_NAME, prctl(2)). */
void clinux_name_thread(const char *name);

/* A non-blocking eventfd(2), closed in programs that this process starts; -1 and errno. */
int clinux_eventfd(void);

/* The name of an errno, "EACCES"; NULL for a number that has none. */
const char *clinux_error_name(int code);

/* What an errno means, "Permission denied", in English whatever the locale; NULL for a number that has no meaning. Any
 * thread may call it, unlike strerror(3). */
const char *clinux_error_text(int code);

/* A signal that came. */
struct clinux_signal {
    int32_t number;
    /* The process that sent it and its user (sigaction(2)); 0 where the kernel did. */
    int32_t sender;
    uint32_t user;
};

/* From now on these signals are written into a pipe instead of ending the process. Children get them as by default, after
 * fork(2) and after exec(2). Returns the end of the pipe from which struct clinux_signal is read, also when called again;
 * -1 and errno where there is none. */
int clinux_catch_signals(const int *numbers, int count);

/* Whether a signal is ignored, as nohup(1) does with SIGHUP. */
bool clinux_is_ignored(int number);

/* SIGRTMIN and SIGRTMAX, which are calls in glibc (signal(7)). */
int clinux_first_realtime_signal(void);
int clinux_last_realtime_signal(void);

#endif
