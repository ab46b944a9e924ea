/* Preloaded into the gateway: read(2) and write(2) on terminals fail by count, as the kernel may let them at any time.
 * FAULTS_EINTR=N: every Nth call fails with EINTR; FAULTS_EAGAIN=N likewise; FAULTS_EIO=N: the Nth call, once. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long calls;

static long every(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int fails(int fd) {
    int error = errno;
    int is_terminal = isatty(fd);
    errno = error;
    if (!is_terminal) return 0;
    long call = atomic_fetch_add(&calls, 1) + 1;
    long eintr = every("FAULTS_EINTR"), eagain = every("FAULTS_EAGAIN"), eio = every("FAULTS_EIO");
    if (eio && call == eio) return errno = EIO;
    if (eintr && call % eintr == 0) return errno = EINTR;
    if (eagain && call % eagain == 0) return errno = EAGAIN;
    return 0;
}

ssize_t read(int fd, void *buffer, size_t size) {
    static ssize_t (*next)(int, void *, size_t);
    if (!next) next = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    return fails(fd) ? -1 : next(fd, buffer, size);
}

ssize_t write(int fd, const void *buffer, size_t size) {
    static ssize_t (*next)(int, const void *, size_t);
    if (!next) next = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return fails(fd) ? -1 : next(fd, buffer, size);
}
