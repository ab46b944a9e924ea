/* Checks the C face over libgpiod against the kernel's gpio-sim, whichever major it was compiled for. Runs in the
 * virtual machine, where GPIO_SIM is the simulator's directory. Prints what does not hold; exits with 0 when all does. */
#include "cgpiod.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int failures;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: does not hold: %s (errno: %s)\n", __FILE__, __LINE__, #condition, strerror(errno));        \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

static void pull(int line, int up) {
    char path[512];
    snprintf(path, sizeof path, "%s/sim_gpio%d/pull", getenv("GPIO_SIM"), line);
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    fputs(up ? "pull-up" : "pull-down", file);
    fclose(file);
}

static int64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* All edges until none has come for half a second; their number, and the last of them. */
static int drain(cgpiod_watch *watch, cgpiod_edge *last) {
    int total = 0;
    for (;;) {
        struct pollfd entry = {.fd = cgpiod_watch_fd(watch), .events = POLLIN};
        if (poll(&entry, 1, 500) <= 0) return total;
        cgpiod_edge edges[64];
        int count = cgpiod_watch_read(watch, edges, 64);
        CHECK(count > 0 && count <= CGPIOD_EVENTS_AT_ONCE);
        if (count <= 0) return total;
        total += count;
        *last = edges[count - 1];
    }
}

static cgpiod_watch *open_line(int line, cgpiod_options options) {
    char name[16];
    snprintf(name, sizeof name, "GPIO%d", line);
    cgpiod_line found;
    CHECK(cgpiod_find(name, &found) == 0);
    CHECK(found.offset == (uint32_t)line && strcmp(found.chip, "/dev/gpiochip0") == 0 && !found.used);
    cgpiod_watch *watch = cgpiod_watch_open(found.chip, found.offset, "check", &options);
    CHECK(watch != NULL);
    if (!watch) exit(1);
    return watch;
}

static void finds_lines(void) {
    cgpiod_line line;
    errno = 0;
    CHECK(cgpiod_find("no such line", &line) == -1 && errno == ENOENT);
    pull(1, 0);
    cgpiod_watch *watch = open_line(1, (cgpiod_options){.edges = CGPIOD_RISING});
    CHECK(cgpiod_find("GPIO1", &line) == 0 && line.used && strcmp(line.consumer, "check") == 0);
    cgpiod_options options = {.edges = CGPIOD_RISING};
    errno = 0;
    CHECK(cgpiod_watch_open(line.chip, line.offset, "second", &options) == NULL && errno == EBUSY);
    cgpiod_watch_close(watch);
    CHECK(cgpiod_find("GPIO1", &line) == 0 && !line.used);
    cgpiod_watch_close(NULL);
}

static void tells_edges_and_values(void) {
    pull(2, 0);
    cgpiod_watch *watch = open_line(2, (cgpiod_options){.edges = CGPIOD_RISING | CGPIOD_FALLING});
    CHECK(cgpiod_watch_value(watch) == 0);
    int64_t before = monotonic_ns();
    for (int i = 1; i <= 20; i++) {
        pull(2, i & 1);
        struct pollfd entry = {.fd = cgpiod_watch_fd(watch), .events = POLLIN};
        CHECK(poll(&entry, 1, 5000) == 1);
        cgpiod_edge edge;
        CHECK(cgpiod_watch_read(watch, &edge, 1) == 1);
        CHECK(edge.rising == (i & 1) && edge.monotonic_ns >= before && edge.monotonic_ns <= monotonic_ns());
        CHECK(cgpiod_watch_value(watch) == (i & 1));
        before = edge.monotonic_ns;
    }
    cgpiod_watch_close(watch);

    cgpiod_edge last;
    pull(3, 1);
    watch = open_line(3, (cgpiod_options){.edges = CGPIOD_RISING, .active_low = true});
    CHECK(cgpiod_watch_value(watch) == 0);
    pull(3, 0);
    CHECK(cgpiod_watch_value(watch) == 1);
    pull(3, 1);
    CHECK(drain(watch, &last) == 1 && last.rising);
    cgpiod_watch_close(watch);

    pull(4, 0);
    watch = open_line(4, (cgpiod_options){.edges = CGPIOD_FALLING, .bias = CGPIOD_BIAS_PULL_UP});
    CHECK(cgpiod_watch_value(watch) == 1);
    cgpiod_watch_close(watch);
}

/* A reader that comes late: a queue of 16 through 1.x keeps the oldest, which is why the value has to be asked for. */
static void tells_a_burst(void) {
    cgpiod_edge last = {0};
    pull(5, 0);
    cgpiod_watch *watch = open_line(5, (cgpiod_options){.edges = CGPIOD_RISING | CGPIOD_FALLING});
    for (int i = 1; i <= 101; i++) pull(5, i & 1);
    int count = drain(watch, &last);
    CHECK(cgpiod_watch_value(watch) == 1);
    printf("of 101 edges nobody read meanwhile, %d were kept\n", count);
    CHECK(count == CGPIOD_EVENTS_AT_ONCE || (count == 101 && last.rising));
    cgpiod_watch_close(watch);
}

static void debounces_where_it_says_so(void) {
    cgpiod_options options = {.edges = CGPIOD_RISING | CGPIOD_FALLING, .debounce_us = 200000};
    cgpiod_line line;
    pull(6, 0);
    if (!cgpiod_debounces()) {
        errno = 0;
        CHECK(cgpiod_find("GPIO6", &line) == 0);
        CHECK(cgpiod_watch_open(line.chip, line.offset, "check", &options) == NULL && errno == EOPNOTSUPP);
        return;
    }
    cgpiod_edge last = {0};
    cgpiod_watch *watch = open_line(6, options);
    for (int i = 1; i <= 9; i++) pull(6, i & 1);
    CHECK(drain(watch, &last) == 1 && last.rising);
    CHECK(cgpiod_watch_value(watch) == 1);
    cgpiod_watch_close(watch);
}

int main(void) {
    finds_lines();
    tells_edges_and_values();
    tells_a_burst();
    debounces_where_it_says_so();
    printf("CGpiod over libgpiod %s: %s\n", cgpiod_version(), failures ? "FAILED" : "ok");
    return failures != 0;
}
