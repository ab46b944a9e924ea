#include "cgpiod.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int request(const char *chip, uint32_t offset, const char *consumer, const struct gpio_v2_line_config *config) {
    struct gpio_v2_line_request wanted;
    int fd = open(chip, O_RDWR | O_CLOEXEC);
    if (fd < 0) return -1;
    memset(&wanted, 0, sizeof wanted);
    wanted.offsets[0] = offset;
    wanted.num_lines = 1;
    /* The numbers are kept however few events are: the oldest give way. */
    wanted.event_buffer_size = 16;
    wanted.config = *config;
    snprintf(wanted.consumer, sizeof wanted.consumer, "%s", consumer);
    int result = ioctl(fd, GPIO_V2_GET_LINE_IOCTL, &wanted);
    int error = errno;
    close(fd);
    errno = error;
    if (result != 0) return -1;
    fcntl(wanted.fd, F_SETFL, fcntl(wanted.fd, F_GETFL) | O_NONBLOCK);
    fcntl(wanted.fd, F_SETFD, FD_CLOEXEC);
    return wanted.fd;
}

int cgpiod_counter_open(const char *chip, uint32_t offset, const char *consumer, const cgpiod_options *options) {
    struct gpio_v2_line_config config;
    memset(&config, 0, sizeof config);
    config.flags = GPIO_V2_LINE_FLAG_INPUT;
    if (options->edges & CGPIOD_RISING) config.flags |= GPIO_V2_LINE_FLAG_EDGE_RISING;
    if (options->edges & CGPIOD_FALLING) config.flags |= GPIO_V2_LINE_FLAG_EDGE_FALLING;
    if (options->active_low) config.flags |= GPIO_V2_LINE_FLAG_ACTIVE_LOW;
    switch (options->bias) {
    case CGPIOD_BIAS_DISABLED: config.flags |= GPIO_V2_LINE_FLAG_BIAS_DISABLED; break;
    case CGPIOD_BIAS_PULL_UP: config.flags |= GPIO_V2_LINE_FLAG_BIAS_PULL_UP; break;
    case CGPIOD_BIAS_PULL_DOWN: config.flags |= GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN; break;
    }
    if (options->debounce_us) {
        config.num_attrs = 1;
        config.attrs[0].mask = 1;
        config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_DEBOUNCE;
        config.attrs[0].attr.debounce_period_us = options->debounce_us;
    }
    return request(chip, offset, consumer, &config);
}

int cgpiod_counter_read(int fd, uint32_t *last) {
    struct gpio_v2_line_event events[16];
    int taken = 0;
    for (;;) {
        ssize_t size = read(fd, events, sizeof events);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno == EAGAIN) return taken;
        if (size < (ssize_t)sizeof events[0]) {
            if (size >= 0) errno = EIO;
            return -1;
        }
        int count = (int)(size / (ssize_t)sizeof events[0]);
        *last = events[count - 1].line_seqno;
        taken += count;
        /* A signal faster than this loop must not keep it for ever. */
        if (count < 16 || taken >= 1024) return taken;
    }
}

static void as_output(struct gpio_v2_line_config *config, bool active_low, int drive, int value) {
    memset(config, 0, sizeof *config);
    config->flags = GPIO_V2_LINE_FLAG_OUTPUT;
    if (active_low) config->flags |= GPIO_V2_LINE_FLAG_ACTIVE_LOW;
    if (drive == CGPIOD_OPEN_DRAIN) config->flags |= GPIO_V2_LINE_FLAG_OPEN_DRAIN;
    if (drive == CGPIOD_OPEN_SOURCE) config->flags |= GPIO_V2_LINE_FLAG_OPEN_SOURCE;
    config->num_attrs = 1;
    config->attrs[0].mask = 1;
    config->attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES;
    config->attrs[0].attr.values = value ? 1 : 0;
}

int cgpiod_output_open(const char *chip, uint32_t offset, const char *consumer, bool active_low, int drive, int value) {
    struct gpio_v2_line_config config;
    if (value != CGPIOD_KEEP) {
        as_output(&config, active_low, drive, value);
        return request(chip, offset, consumer, &config);
    }
    /* As it is, then as an output of the same value: direction and value change in one step. */
    memset(&config, 0, sizeof config);
    if (active_low) config.flags = GPIO_V2_LINE_FLAG_ACTIVE_LOW;
    int fd = request(chip, offset, consumer, &config);
    if (fd < 0) return -1;
    int now = cgpiod_value(fd);
    if (now >= 0) {
        as_output(&config, active_low, drive, now);
        if (ioctl(fd, GPIO_V2_LINE_SET_CONFIG_IOCTL, &config) == 0) return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int cgpiod_value(int fd) {
    struct gpio_v2_line_values values = {.mask = 1};
    if (ioctl(fd, GPIO_V2_LINE_GET_VALUES_IOCTL, &values) != 0) return -1;
    return values.bits & 1 ? 1 : 0;
}

int cgpiod_set(int fd, bool value) {
    struct gpio_v2_line_values values = {.bits = value ? 1 : 0, .mask = 1};
    return ioctl(fd, GPIO_V2_LINE_SET_VALUES_IOCTL, &values);
}
