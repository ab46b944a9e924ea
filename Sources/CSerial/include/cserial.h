/* What termios(3) has no words for: any speed, RS-485, the port's error counters. */
#ifndef CSERIAL_H
#define CSERIAL_H

#include <stdbool.h>
#include <stdint.h>

enum { CSERIAL_FLOW_NONE, CSERIAL_FLOW_RTS_CTS, CSERIAL_FLOW_XON_XOFF };

typedef struct {
    uint32_t baud;
    uint8_t data_bits; /* 5 to 8 */
    uint8_t stop_bits; /* 1 or 2 */
    char parity;       /* 'n', 'e', 'o', 'm', 's' */
    int flow;          /* CSERIAL_FLOW_… */
} cserial_format;

/* Makes the line raw, with that format: bytes as they come, one with a parity error as NUL. 0, or -1 and errno; ERANGE:
 * the port took another speed, more than 3 % away, or another format. */
int cserial_configure(int fd, const cserial_format *format);

typedef struct {
    bool rts_on_send;    /* the level of RTS that switches the driver to sending */
    bool rx_during_tx;   /* hear oneself */
    uint32_t before_ms;  /* between RTS and the first bit */
    uint32_t after_ms;   /* between the last bit and RTS */
} cserial_rs485;

/* Lets the kernel's driver switch the direction (Documentation/driver-api/serial/serial-rs485.rst). 0, or -1 and errno;
 * ENOTTY: the driver cannot. */
int cserial_set_rs485(int fd, const cserial_rs485 *settings);

/* Errors since the port was last opened by anybody. */
typedef struct {
    uint32_t framing, parity, overrun, breaks;
} cserial_errors;

/* 0, or -1 and errno; ENOTTY: the driver does not count. */
int cserial_count_errors(int fd, cserial_errors *errors);

/* A pseudo terminal: nobody's hardware. */
bool cserial_is_pty(int fd);

#endif
