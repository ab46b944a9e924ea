/* One face over libgpiod 1.6 and 2.x: what the gateway needs of GPIO lines, without a type of either library. */
#ifndef CGPIOD_H
#define CGPIOD_H

#include <stdbool.h>
#include <stdint.h>

/* A line: where it is, and its consumer. */
typedef struct {
    char name[64];     /* its label; empty when it has none */
    char chip[64];     /* path of the chip's device, "/dev/gpiochip0" */
    char label[64];    /* the chip's label, which stays the same when its number does not */
    uint32_t offset;   /* of the line in its chip */
    bool used;         /* requested by somebody, or by a driver of the kernel's */
    bool output;       /* else it is an input */
    char consumer[64]; /* the name given with the request; empty where the kernel does not say */
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

/* Calls body with every line of every chip, the lowest number first, until it returns true. Returns how many chips there
 * are; denied is the path of the first that may not be opened, or empty. */
int cgpiod_each_line(bool (*body)(const cgpiod_line *line, void *context), void *context, char denied[64]);

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

/* The kernel's own interface, version 2 (linux/gpio.h, since 5.10), for what libgpiod has no words for: a count that stays
 * exact however late it is asked for (libgpiod 1.x knows no sequence numbers), and an output whose descriptor is handed to
 * somebody who outlives this process and taken back (neither major can). Both work on a plain descriptor. */

/* Requests an input whose edges are numbered by the kernel. A descriptor, to be closed; -1 and errno as above. */
int cgpiod_counter_open(const char *chip, uint32_t offset, const char *consumer, const cgpiod_options *options);

/* Takes what waits and returns the number of the last edge since the request, through *last; it wraps around. How many
 * were taken, 0 for none; -1 and errno. Edges that nobody took in time are numbered all the same. Does not block. */
int cgpiod_counter_read(int fd, uint32_t *last);

enum { CGPIOD_KEEP = -1 };
enum { CGPIOD_PUSH_PULL, CGPIOD_OPEN_DRAIN, CGPIOD_OPEN_SOURCE };

/* Requests an output with that logical value; CGPIOD_KEEP: with the value that the line has now, whatever its direction,
 * without a glitch. A descriptor, to be closed; -1 and errno. */
int cgpiod_output_open(const char *chip, uint32_t offset, const char *consumer, bool active_low, int drive, int value);

/* The logical value of an input or an output: 0 or 1, or -1 and errno. */
int cgpiod_value(int fd);

/* Sets an output: 0, or -1 and errno. */
int cgpiod_set(int fd, bool value);

/* The line keeper: a process of its own that keeps the descriptors of outputs open while the gateway is away, and moves an
 * output when the gateway had promised to: at the end of a pulse, or to its safe value. A line that no process has
 * requested may fall back, which a relay would follow. The keeper is forked when it is first needed, listens on a Unix
 * socket, and ends when it keeps nothing or its socket's file is gone. Only processes of the same user, and root, are
 * served. Each call waits up to 2 s for its answer. */

enum { CGPIOD_PULSE_END, CGPIOD_SAFE, CGPIOD_CHANGES };

/* What will happen to an output without a further command. The safe value, once it is taken, calls a pulse off. */
typedef struct {
    int64_t boot_ns[CGPIOD_CHANGES]; /* when, on CLOCK_BOOTTIME; 0: not */
    bool value[CGPIOD_CHANGES];      /* what the line is set to then, as a logical value */
} cgpiod_changes;

/* Hands a copy of fd to the keeper under a name (at most 127 bytes), in place of what it had there, without changes to
 * come. 0, or -1 and errno. */
int cgpiod_keep(const char *socket_path, const char *name, int fd);

/* A copy of what is kept under that name, to be closed, and through *changes what is still to come; -1 and errno, ENOENT:
 * nothing. */
int cgpiod_kept(const char *socket_path, const char *name, cgpiod_changes *changes);

/* Sets the output that is kept under that name, and replaces the changes to come, in one step: whenever the caller dies,
 * both hold or neither. 0, or -1 and errno, ENOENT: nothing is kept there. */
int cgpiod_kept_set(const char *socket_path, const char *name, bool value, const cgpiod_changes *changes);

/* Closes what is kept under that name: 0, or -1 and errno, ENOENT: nothing is. */
int cgpiod_release(const char *socket_path, const char *name);

/* The same two of the keeper that an earlier version of the gateway left running, which knows no changes to come. */
int cgpiod_kept_by_old(const char *socket_path, const char *name);
int cgpiod_release_by_old(const char *socket_path, const char *name);

#endif
