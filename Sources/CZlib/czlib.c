#include "czlib.h"

#include <zlib.h>

uint32_t czlib_crc32(uint32_t checksum, const void *bytes, size_t count) {
    return (uint32_t)crc32_z(checksum, bytes, count);
}
