/* Checks the C face over libgpiod against the kernel's gpio-sim, whichever major it was compiled for. Runs in the
 * virtual machine, where GPIO_SIM is the simulator's directory. Prints what does not hold; exits with 0 when all does. */
#include "cgpiod.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

struct search {
    const char *name;
    cgpiod_line *found;
    bool isThere;
};

static bool is_searched(const cgpiod_line *line, void *context) {
    struct search *search = context;
    if (strcmp(line->name, search->name) != 0) return false;
    *search->found = *line;
    return search->isThere = true;
}

static bool find(const char *name, cgpiod_line *found) {
    struct search search = {name, found, false};
    char denied[64];
    CHECK(cgpiod_each_line(is_searched, &search, denied) >= 1 && !denied[0]);
    return search.isThere;
}

static cgpiod_watch *open_line(int line, cgpiod_options options) {
    char name[16];
    snprintf(name, sizeof name, "GPIO%d", line);
    cgpiod_line found;
    CHECK(find(name, &found));
    CHECK(found.offset == (uint32_t)line && strcmp(found.chip, "/dev/gpiochip0") == 0 && strcmp(found.label, "pinctrl-sim") == 0 &&
          !found.used);
    cgpiod_watch *watch = cgpiod_watch_open(found.chip, found.offset, "check", &options);
    CHECK(watch != NULL);
    if (!watch) exit(1);
    return watch;
}

static void finds_lines(void) {
    cgpiod_line line;
    CHECK(!find("no such line", &line));
    pull(1, 0);
    cgpiod_watch *watch = open_line(1, (cgpiod_options){.edges = CGPIOD_RISING});
    CHECK(find("GPIO1", &line) && line.used && strcmp(line.consumer, "check") == 0);
    cgpiod_options options = {.edges = CGPIOD_RISING};
    errno = 0;
    CHECK(cgpiod_watch_open(line.chip, line.offset, "second", &options) == NULL && errno == EBUSY);
    cgpiod_watch_close(watch);
    CHECK(find("GPIO1", &line) && !line.used);
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
        CHECK(find("GPIO6", &line));
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

static int driven(int line) {
    char path[512], value = 0;
    snprintf(path, sizeof path, "%s/sim_gpio%d/value", getenv("GPIO_SIM"), line);
    FILE *file = fopen(path, "r");
    if (!file || fread(&value, 1, 1, file) != 1) perror(path);
    if (file) fclose(file);
    return value == '1';
}

/* However few events the kernel keeps, none is missing from the count. */
static void counts_without_a_reader(void) {
    cgpiod_options options = {.edges = CGPIOD_RISING};
    pull(7, 0);
    int fd = cgpiod_counter_open("/dev/gpiochip0", 7, "check", &options);
    CHECK(fd >= 0);
    uint32_t last = 0;
    CHECK(cgpiod_counter_read(fd, &last) == 0 && last == 0);
    for (int i = 1; i <= 2000; i++) pull(7, i & 1);
    int taken = cgpiod_counter_read(fd, &last);
    CHECK(last == 1000 && taken > 0 && taken < 1000);
    CHECK(cgpiod_counter_read(fd, &last) == 0 && cgpiod_value(fd) == 0);
    close(fd);
}

static int64_t boot_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void keeps_outputs(void) {
    const char *path = "/tmp/keeper-check";
    cgpiod_changes changes, none = {0};
    errno = 0;
    CHECK(cgpiod_kept(path, "a", &changes) == -1 && errno == ENOENT);
    /* The simulator lets a line that nobody holds fall back to its pull. */
    pull(8, 0);
    int fd = cgpiod_output_open("/dev/gpiochip0", 8, "check", false, CGPIOD_PUSH_PULL, 1);
    CHECK(fd >= 0 && driven(8) == 1 && cgpiod_value(fd) == 1);
    CHECK(cgpiod_keep(path, "a", fd) == 0);
    close(fd);
    CHECK(driven(8) == 1);
    fd = cgpiod_kept(path, "a", &changes);
    CHECK(memcmp(&changes, &none, sizeof none) == 0);
    CHECK(fd >= 0 && cgpiod_value(fd) == 1 && cgpiod_set(fd, false) == 0 && driven(8) == 0 && cgpiod_set(fd, true) == 0);
    errno = 0;
    CHECK(cgpiod_output_open("/dev/gpiochip0", 8, "check", false, CGPIOD_PUSH_PULL, 1) == -1 && errno == EBUSY);
    CHECK(cgpiod_kept_set(path, "a", false, &none) == 0 && driven(8) == 0);
    CHECK(cgpiod_kept_set(path, "a", true, &none) == 0 && driven(8) == 1);
    CHECK(cgpiod_release(path, "a") == 0 && driven(8) == 1);
    errno = 0;
    CHECK(cgpiod_release(path, "a") == -1 && errno == ENOENT);
    errno = 0;
    CHECK(cgpiod_kept_set(path, "a", true, &none) == -1 && errno == ENOENT);
    close(fd);
    /* Keeping takes over what the line has, also from an input. */
    pull(9, 1);
    fd = cgpiod_output_open("/dev/gpiochip0", 9, "check", true, CGPIOD_PUSH_PULL, CGPIOD_KEEP);
    CHECK(fd >= 0 && driven(9) == 1 && cgpiod_value(fd) == 0);
    CHECK(cgpiod_set(fd, true) == 0 && driven(9) == 0);
    close(fd);
}

/* Whether the line is at that level before so much time is over. */
static bool becomes(int line, int level, int ms) {
    int64_t end = monotonic_ns() + (int64_t)ms * 1000000;
    while (monotonic_ns() < end) {
        if (driven(line) == level) return true;
        usleep(1000);
    }
    return false;
}

/* Nobody but the keeper has the line when its time comes. */
static void keeps_promises(void) {
    const char *path = "/tmp/keeper-check";
    pull(10, 1);
    int fd = cgpiod_output_open("/dev/gpiochip0", 10, "check", false, CGPIOD_PUSH_PULL, 0);
    CHECK(fd >= 0 && cgpiod_keep(path, "b", fd) == 0);
    close(fd);
    int64_t start = boot_ns(), end = start + 300000000;
    cgpiod_changes pulse = {.boot_ns = {end, 0}}, read = {0}, none = {0};
    CHECK(cgpiod_kept_set(path, "b", true, &pulse) == 0 && driven(10) == 1);
    fd = cgpiod_kept(path, "b", &read);
    CHECK(fd >= 0 && read.boot_ns[CGPIOD_PULSE_END] == end && !read.value[CGPIOD_PULSE_END] && !read.boot_ns[CGPIOD_SAFE]);
    close(fd);
    CHECK(becomes(10, 0, 10000) && boot_ns() >= end);
    fd = cgpiod_kept(path, "b", &read);
    CHECK(fd >= 0 && memcmp(&read, &none, sizeof none) == 0);
    close(fd);

    /* What replaces a pulse calls it off. */
    pulse.boot_ns[CGPIOD_PULSE_END] = boot_ns() + 300000000;
    CHECK(cgpiod_kept_set(path, "b", true, &pulse) == 0 && cgpiod_kept_set(path, "b", true, &none) == 0);
    CHECK(!becomes(10, 0, 1000));

    /* So does the safe value; it comes after the end of a pulse, too, and at once when it is late. */
    cgpiod_changes safe = {.boot_ns = {boot_ns() + 600000000, boot_ns() + 300000000}, .value = {true, false}};
    CHECK(cgpiod_kept_set(path, "b", true, &safe) == 0 && becomes(10, 0, 10000) && !becomes(10, 1, 1000));
    cgpiod_changes late = {.boot_ns = {1, 2}, .value = {true, false}};
    CHECK(cgpiod_kept_set(path, "b", true, &late) == 0 && becomes(10, 0, 10000) && !becomes(10, 1, 500));
    CHECK(cgpiod_release(path, "b") == 0);
}

int main(void) {
    finds_lines();
    tells_edges_and_values();
    tells_a_burst();
    debounces_where_it_says_so();
    counts_without_a_reader();
    keeps_outputs();
    keeps_promises();
    printf("CGpiod over libgpiod %s: %s\n", cgpiod_version(), failures ? "FAILED" : "ok");
    return failures != 0;
}
