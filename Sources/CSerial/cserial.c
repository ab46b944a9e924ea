#include "cserial.h"

/* The kernel's own termios: glibc's has no place for a speed that is none of the old names. Both cannot be included. */
#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/serial.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int ioctl(int fd, unsigned long request, ...);

int cserial_configure(int fd, const cserial_format *format) {
    static const tcflag_t sizes[] = {CS5, CS6, CS7, CS8};
    struct termios2 wanted, now;
    if (format->data_bits < 5 || format->data_bits > 8) {
        errno = EINVAL;
        return -1;
    }
    if (ioctl(fd, TCGETS2, &wanted) != 0) return -1;
    /* A BREAK is no byte. */
    wanted.c_iflag = IGNBRK;
    wanted.c_oflag = 0;
    wanted.c_lflag = 0;
    wanted.c_cflag = CREAD | CLOCAL | BOTHER | sizes[format->data_bits - 5];
    if (format->stop_bits == 2) wanted.c_cflag |= CSTOPB;
    switch (format->parity) {
    case 'e': wanted.c_cflag |= PARENB; break;
    case 'o': wanted.c_cflag |= PARENB | PARODD; break;
    case 's': wanted.c_cflag |= PARENB | CMSPAR; break;
    case 'm': wanted.c_cflag |= PARENB | PARODD | CMSPAR; break;
    }
    if (format->parity != 'n') wanted.c_iflag |= INPCK;
    if (format->flow == CSERIAL_FLOW_RTS_CTS) wanted.c_cflag |= CRTSCTS;
    if (format->flow == CSERIAL_FLOW_XON_XOFF) wanted.c_iflag |= IXON | IXOFF;
    wanted.c_ispeed = wanted.c_ospeed = format->baud;
    wanted.c_cc[VMIN] = 1;
    wanted.c_cc[VTIME] = 0;
    if (ioctl(fd, TCSETS2, &wanted) != 0 || ioctl(fd, TCGETS2, &now) != 0) return -1;
    /* The kernel is content when anything at all could be set. A pty has no parity, and needs none. */
    const tcflag_t checked = cserial_is_pty(fd) ? 0 : CSIZE | CSTOPB | PARENB | PARODD | CMSPAR | CRTSCTS;
    uint32_t difference = now.c_ospeed > format->baud ? now.c_ospeed - format->baud : format->baud - now.c_ospeed;
    if ((now.c_cflag & checked) != (wanted.c_cflag & checked) || (uint64_t)difference * 100 > (uint64_t)format->baud * 3) {
        errno = ERANGE;
        return -1;
    }
    return 0;
}

int cserial_set_rs485(int fd, const cserial_rs485 *settings) {
    struct serial_rs485 wanted;
    memset(&wanted, 0, sizeof wanted);
    wanted.flags = SER_RS485_ENABLED | (settings->rts_on_send ? SER_RS485_RTS_ON_SEND : SER_RS485_RTS_AFTER_SEND);
    if (settings->rx_during_tx) wanted.flags |= SER_RS485_RX_DURING_TX;
    wanted.delay_rts_before_send = settings->before_ms;
    wanted.delay_rts_after_send = settings->after_ms;
    return ioctl(fd, TIOCSRS485, &wanted);
}

int cserial_count_errors(int fd, cserial_errors *errors) {
    struct serial_icounter_struct counted;
    memset(&counted, 0, sizeof counted);
    if (ioctl(fd, TIOCGICOUNT, &counted) != 0) return -1;
    errors->framing = (uint32_t)counted.frame;
    errors->parity = (uint32_t)counted.parity;
    errors->overrun = (uint32_t)counted.overrun + (uint32_t)counted.buf_overrun;
    errors->breaks = (uint32_t)counted.brk;
    return 0;
}

bool cserial_is_pty(int fd) {
    /* Unix 98 slaves have the major numbers 136 to 143 (Documentation/admin-guide/devices.txt of the kernel). */
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && major(status.st_rdev) >= 136 && major(status.st_rdev) <= 143;
}
