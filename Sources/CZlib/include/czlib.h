/* The door to zlib, for its CRC-32: zlib.h itself brings half of the C library along. */
#ifndef CZLIB_H
#define CZLIB_H

#include <stddef.h>
#include <stdint.h>

/* Goes on with `checksum`, which begins with 0. */
uint32_t czlib_crc32(uint32_t checksum, const void *bytes, size_t count);

#endif
