/* libmodbus; its error numbers are macros that Swift does not see. */
#pragma once
#include <modbus.h>

enum {
    cmodbus_bad_crc = EMBBADCRC,
    cmodbus_bad_data = EMBBADDATA,
    cmodbus_bad_exception = EMBBADEXC,
    cmodbus_unknown_exception = EMBUNKEXC,
    cmodbus_too_many_data = EMBMDATA,
    cmodbus_other_slave = EMBBADSLAVE,
    /* Exceptions that the slave answered with: this plus the exception code. */
    cmodbus_exception_base = MODBUS_ENOBASE,
    cmodbus_exception_last = EMBXGTAR,
};
