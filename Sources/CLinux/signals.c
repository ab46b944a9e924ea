#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static volatile int notes = -1;
static sigset_t caught;

static void note(int number, siginfo_t *information, void *context) {
    (void)context;
    int code = errno;
    struct clinux_signal one = {.number = number};
    /* Only kill(2) and its kin say who sent it (sigaction(2)). */
    if (information->si_code <= 0) one.sender = information->si_pid, one.user = information->si_uid;
    /* Less than PIPE_BUF: written whole. A pipe that is full holds thousands of signals already. */
    if (write(notes, &one, sizeof one) < 0) {}
    errno = code;
}

/* A child that was forked without exec(2) must not write into its parent's pipe. */
static void reset_in_child(void) {
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&caught, number) == 1) signal(number, SIG_DFL);
}

int clinux_catch_signals(const int *numbers, int count) {
    static int ends[2] = {-1, -1};
    if (ends[0] >= 0) return ends[0];
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    notes = ends[1];
    sigemptyset(&caught);
    pthread_atfork(NULL, NULL, reset_in_child);
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    action.sa_sigaction = note;
    sigfillset(&action.sa_mask);
    sigset_t open;
    sigemptyset(&open);
    for (int i = 0; i < count; i++)
        if (sigaction(numbers[i], &action, NULL) == 0) sigaddset(&caught, numbers[i]), sigaddset(&open, numbers[i]);
    /* Blocked or ignored by the parent, as nohup(1) does with SIGHUP: they are wanted all the same. */
    pthread_sigmask(SIG_UNBLOCK, &open, NULL);
    return ends[0];
}

bool clinux_is_ignored(int number) {
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int clinux_first_realtime_signal(void) { return SIGRTMIN; }
int clinux_last_realtime_signal(void) { return SIGRTMAX; }
