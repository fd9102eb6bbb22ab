/* unit.h: what every unit test includes: CMocka with the headers it wants first, and the library's own header. */
#ifndef PMT_UNIT_H
#define PMT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* A small generator, so that random tests are the same everywhere (xorshift64, Marsaglia 2003). */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
