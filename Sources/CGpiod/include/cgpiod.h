/* One face over libgpiod 1.6 and 2.x: what the gateway needs of GPIO lines, without a type of either library. */
#ifndef CGPIOD_H
#define CGPIOD_H

#include <stdbool.h>
#include <stdint.h>

/* Where a line is, and who holds it. */
typedef struct {
    char chip[64];     /* path of the chip's device, "/dev/gpiochip0" */
    uint32_t offset;   /* of the line in its chip */
    bool used;         /* requested by somebody */
    char consumer[64]; /* by whom; empty where the kernel does not say */
} cgpiod_line;

enum { CGPIOD_RISING = 1, CGPIOD_FALLING = 2 };
enum { CGPIOD_EVENTS_AT_ONCE = 16 };
enum { CGPIOD_BIAS_AS_IS, CGPIOD_BIAS_DISABLED, CGPIOD_BIAS_PULL_UP, CGPIOD_BIAS_PULL_DOWN };

/* One edge; the time is CLOCK_MONOTONIC, taken by the kernel in its interrupt handler. */
typedef struct {
    int64_t monotonic_ns;
    bool rising;
} cgpiod_edge;

/* A line requested for edge events. One thread at a time may use it (libgpiod's own rule). */
typedef struct cgpiod_watch cgpiod_watch;

/* Searches all chips, the lowest number first, for the line of that name: 0, or -1 and errno: ENODEV there is no chip;
 * EACCES no such line among the chips that may be opened, and out->chip may not; ENOENT no such line. */
int cgpiod_find(const char *name, cgpiod_line *out);

/* Calls body with the name of every named line of every chip that may be opened. */
void cgpiod_each_name(void (*body)(const char *name, void *context), void *context);

/* What is asked of a line. */
typedef struct {
    int edges; /* an or of CGPIOD_RISING and CGPIOD_FALLING, of the logical value */
    bool active_low;
    int bias;             /* CGPIOD_BIAS_… */
    uint32_t debounce_us; /* 0 unless cgpiod_debounces() */
} cgpiod_options;

/* Whether the kernel debounces: through libgpiod 2.x always, through 1.x never. A debounced edge has the time when the
 * line had been quiet for long enough. */
bool cgpiod_debounces(void);

/* Requests a line. NULL and errno when it fails: EBUSY somebody else holds it, EINVAL the chip cannot do that … */
cgpiod_watch *cgpiod_watch_open(const char *chip, uint32_t offset, const char *consumer, const cgpiod_options *options);

/* Readable when an edge waits; to be polled, not read. */
int cgpiod_watch_fd(const cgpiod_watch *watch);

/* The line's logical value now: 0 or 1, or -1 and errno. */
int cgpiod_watch_value(cgpiod_watch *watch);

/* Takes up to max and CGPIOD_EVENTS_AT_ONCE waiting edges, at least one; blocks when there is none. Their number, or -1
 * and errno. When it is CGPIOD_EVENTS_AT_ONCE, the kernel may have had no room for more (its queue is as long, and what
 * comes then is lost): ask for the value. */
int cgpiod_watch_read(cgpiod_watch *watch, cgpiod_edge *edges, int max);

/* Gives the line back. NULL is fine. */
void cgpiod_watch_close(cgpiod_watch *watch);

/* libgpiod's version, "1.6.3". */
const char *cgpiod_version(void);

#endif
