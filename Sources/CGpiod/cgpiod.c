#define _GNU_SOURCE /* versionsort */
#include "cgpiod.h"

#include <dirent.h>
#include <errno.h>
#include <gpiod.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The macro is in the header of 1.x and gone from 2.x. */
#ifdef GPIOD_LINE_BULK_MAX_LINES
#define CGPIOD_API 1
#else
#define CGPIOD_API 2
#endif

/* What the kernel keeps for a slow reader, through 2.x; through 1.x it is always 16. */
enum { EVENTS_KEPT = 256 };

struct cgpiod_watch {
    struct gpiod_chip *chip;
#if CGPIOD_API == 1
    struct gpiod_line *line;
#else
    struct gpiod_line_request *request;
    struct gpiod_edge_event_buffer *events;
    unsigned int offset;
#endif
};

static void copy(char *to, size_t size, const char *from) { snprintf(to, size, "%s", from ? from : ""); }

typedef bool (*visitor)(const cgpiod_line *line, void *context);

static bool visit_chip(const char *path, struct gpiod_chip *chip, visitor visit, void *context) {
    cgpiod_line found = {0};
    copy(found.chip, sizeof found.chip, path);
#if CGPIOD_API == 1
    unsigned int count = gpiod_chip_num_lines(chip);
    copy(found.label, sizeof found.label, gpiod_chip_label(chip));
#else
    struct gpiod_chip_info *information = gpiod_chip_get_info(chip);
    if (!information) return false;
    unsigned int count = gpiod_chip_info_get_num_lines(information);
    copy(found.label, sizeof found.label, gpiod_chip_info_get_label(information));
    gpiod_chip_info_free(information);
#endif
    for (found.offset = 0; found.offset < count; found.offset++) {
#if CGPIOD_API == 1
        struct gpiod_line *line = gpiod_chip_get_line(chip, found.offset);
        if (!line) continue;
        copy(found.name, sizeof found.name, gpiod_line_name(line));
        found.used = gpiod_line_is_used(line);
        found.output = gpiod_line_direction(line) == GPIOD_LINE_DIRECTION_OUTPUT;
        copy(found.consumer, sizeof found.consumer, gpiod_line_consumer(line));
#else
        struct gpiod_line_info *line = gpiod_chip_get_line_info(chip, found.offset);
        if (!line) continue;
        copy(found.name, sizeof found.name, gpiod_line_info_get_name(line));
        found.used = gpiod_line_info_is_used(line);
        found.output = gpiod_line_info_get_direction(line) == GPIOD_LINE_DIRECTION_OUTPUT;
        copy(found.consumer, sizeof found.consumer, gpiod_line_info_get_consumer(line));
        gpiod_line_info_free(line);
#endif
        if (visit(&found, context)) return true;
    }
    return false;
}

static int is_chip(const struct dirent *entry) { return strncmp(entry->d_name, "gpiochip", 8) == 0; }

/* By their numbers: the order of readdir differs from boot to boot. */
int cgpiod_each_line(bool (*body)(const cgpiod_line *line, void *context), void *context, char denied[64]) {
    struct dirent **entries;
    bool stopped = false;
    int chips = 0;
    denied[0] = 0;
    int count = scandir("/dev", &entries, is_chip, versionsort);
    for (int i = 0; i < count; i++) {
        char path[64];
        int length = snprintf(path, sizeof path, "/dev/%s", entries[i]->d_name);
        free(entries[i]);
        if (stopped || length >= (int)sizeof path) continue;
        struct gpiod_chip *chip = gpiod_chip_open(path);
        if (chip) {
            chips++;
            stopped = visit_chip(path, chip, body, context);
            gpiod_chip_close(chip);
        } else if (errno == EACCES || errno == EPERM) {
            chips++;
            if (!denied[0]) copy(denied, sizeof path, path);
        }
    }
    if (count >= 0) free(entries);
    return chips;
}

#if CGPIOD_API == 1

bool cgpiod_debounces(void) { return false; }

static bool request(cgpiod_watch *watch, uint32_t offset, const char *consumer, const cgpiod_options *options) {
    if (options->debounce_us) {
        errno = EOPNOTSUPP;
        return false;
    }
    watch->line = gpiod_chip_get_line(watch->chip, offset);
    if (!watch->line) return false;
    int flags = options->active_low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0;
    switch (options->bias) {
    case CGPIOD_BIAS_DISABLED: flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_DISABLE; break;
    case CGPIOD_BIAS_PULL_UP: flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_UP; break;
    case CGPIOD_BIAS_PULL_DOWN: flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_DOWN; break;
    }
    switch (options->edges) {
    case CGPIOD_RISING: return gpiod_line_request_rising_edge_events_flags(watch->line, consumer, flags) == 0;
    case CGPIOD_FALLING: return gpiod_line_request_falling_edge_events_flags(watch->line, consumer, flags) == 0;
    default: return gpiod_line_request_both_edges_events_flags(watch->line, consumer, flags) == 0;
    }
}

int cgpiod_watch_fd(const cgpiod_watch *watch) { return gpiod_line_event_get_fd(watch->line); }

int cgpiod_watch_value(cgpiod_watch *watch) { return gpiod_line_get_value(watch->line); }

int cgpiod_watch_read(cgpiod_watch *watch, cgpiod_edge *edges, int max) {
    struct gpiod_line_event events[CGPIOD_EVENTS_AT_ONCE];
    int count = gpiod_line_event_read_multiple(watch->line, events,
                                               max < CGPIOD_EVENTS_AT_ONCE ? max : CGPIOD_EVENTS_AT_ONCE);
    for (int i = 0; i < count; i++) {
        edges[i].monotonic_ns = (int64_t)events[i].ts.tv_sec * 1000000000 + events[i].ts.tv_nsec;
        edges[i].rising = events[i].event_type == GPIOD_LINE_EVENT_RISING_EDGE;
    }
    return count;
}

static void release(cgpiod_watch *watch) {
    if (watch->line) gpiod_line_release(watch->line);
}

const char *cgpiod_version(void) { return gpiod_version_string(); }

#else

bool cgpiod_debounces(void) { return true; }

static bool configure(struct gpiod_line_settings *settings, const cgpiod_options *options) {
    static const enum gpiod_line_edge edge[] = {GPIOD_LINE_EDGE_BOTH, GPIOD_LINE_EDGE_RISING, GPIOD_LINE_EDGE_FALLING,
                                                GPIOD_LINE_EDGE_BOTH};
    static const enum gpiod_line_bias biases[] = {GPIOD_LINE_BIAS_AS_IS, GPIOD_LINE_BIAS_DISABLED,
                                                  GPIOD_LINE_BIAS_PULL_UP, GPIOD_LINE_BIAS_PULL_DOWN};
    gpiod_line_settings_set_active_low(settings, options->active_low);
    gpiod_line_settings_set_debounce_period_us(settings, options->debounce_us);
    return gpiod_line_settings_set_direction(settings, GPIOD_LINE_DIRECTION_INPUT) == 0 &&
           gpiod_line_settings_set_edge_detection(settings, edge[options->edges & 3]) == 0 &&
           gpiod_line_settings_set_bias(settings, biases[options->bias & 3]) == 0 &&
           gpiod_line_settings_set_event_clock(settings, GPIOD_LINE_CLOCK_MONOTONIC) == 0;
}

static bool request(cgpiod_watch *watch, uint32_t offset, const char *consumer, const cgpiod_options *options) {
    unsigned int offsets[] = {offset};
    struct gpiod_line_settings *settings = gpiod_line_settings_new();
    struct gpiod_line_config *lines = gpiod_line_config_new();
    struct gpiod_request_config *who = gpiod_request_config_new();
    watch->offset = offset;
    watch->events = gpiod_edge_event_buffer_new(CGPIOD_EVENTS_AT_ONCE);
    if (settings && lines && who && watch->events && configure(settings, options) &&
        gpiod_line_config_add_line_settings(lines, offsets, 1, settings) == 0) {
        gpiod_request_config_set_consumer(who, consumer);
        gpiod_request_config_set_event_buffer_size(who, EVENTS_KEPT);
        watch->request = gpiod_chip_request_lines(watch->chip, who, lines);
    }
    int error = errno;
    gpiod_request_config_free(who);
    gpiod_line_config_free(lines);
    gpiod_line_settings_free(settings);
    errno = error;
    return watch->request != NULL;
}

int cgpiod_watch_fd(const cgpiod_watch *watch) { return gpiod_line_request_get_fd(watch->request); }

int cgpiod_watch_value(cgpiod_watch *watch) {
    switch (gpiod_line_request_get_value(watch->request, watch->offset)) {
    case GPIOD_LINE_VALUE_ACTIVE: return 1;
    case GPIOD_LINE_VALUE_INACTIVE: return 0;
    default: return -1;
    }
}

int cgpiod_watch_read(cgpiod_watch *watch, cgpiod_edge *edges, int max) {
    int limit = max < CGPIOD_EVENTS_AT_ONCE ? max : CGPIOD_EVENTS_AT_ONCE;
    int count = gpiod_line_request_read_edge_events(watch->request, watch->events, limit);
    for (int i = 0; i < count; i++) {
        struct gpiod_edge_event *event = gpiod_edge_event_buffer_get_event(watch->events, i);
        edges[i].monotonic_ns = (int64_t)gpiod_edge_event_get_timestamp_ns(event);
        edges[i].rising = gpiod_edge_event_get_event_type(event) == GPIOD_EDGE_EVENT_RISING_EDGE;
    }
    return count;
}

static void release(cgpiod_watch *watch) {
    if (watch->request) gpiod_line_request_release(watch->request);
    if (watch->events) gpiod_edge_event_buffer_free(watch->events);
}

const char *cgpiod_version(void) { return gpiod_api_version(); }

#endif

cgpiod_watch *cgpiod_watch_open(const char *chip, uint32_t offset, const char *consumer,
                                const cgpiod_options *options) {
    cgpiod_watch *watch = calloc(1, sizeof *watch);
    if (!watch) return NULL;
    watch->chip = gpiod_chip_open(chip);
    if (watch->chip && request(watch, offset, consumer, options)) return watch;
    int error = errno;
    cgpiod_watch_close(watch);
    errno = error;
    return NULL;
}

void cgpiod_watch_close(cgpiod_watch *watch) {
    if (!watch) return;
    release(watch);
    if (watch->chip) gpiod_chip_close(watch->chip);
    free(watch);
}
