#include "czlib.h"

#include <string.h>
#include <zlib.h>

uint32_t czlib_crc32(uint32_t checksum, const void *bytes, size_t count) {
    return (uint32_t)crc32_z(checksum, bytes, count);
}

/* The header and trailer of gzip are 18 bytes, those of zlib 6. */
size_t czlib_gzip_bound(size_t count) { return compressBound(count) + 32; }

size_t czlib_gzip(const void *bytes, size_t count, void *packed, size_t capacity) {
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    /* 16: with a gzip header. */
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return 0;
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)count;
    stream.next_out = packed;
    stream.avail_out = (uInt)capacity;
    int end = deflate(&stream, Z_FINISH);
    size_t written = stream.total_out;
    deflateEnd(&stream);
    return end == Z_STREAM_END ? written : 0;
}
