/* The door to zlib: zlib.h itself brings half of the C library along. */
#ifndef CZLIB_H
#define CZLIB_H

#include <stddef.h>
#include <stdint.h>

/* Goes on with `checksum`, which begins with 0. */
uint32_t czlib_crc32(uint32_t checksum, const void *bytes, size_t count);

/* Bytes that czlib_gzip needs at most for `count` bytes, which are fewer than 4 GB. */
size_t czlib_gzip_bound(size_t count);

/* Packs bytes as a gzip file (RFC 1952). Returns its size; 0 when there is no memory, or no room for it. */
size_t czlib_gzip(const void *bytes, size_t count, void *packed, size_t capacity);

#endif
