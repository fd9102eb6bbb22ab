/* real.h: the next functions, for hook.c, notice.c and real.c only. Protected by: written once, in pmt_real_resolve().
 */
#ifndef PMT_REAL_H
#define PMT_REAL_H

#include <sys/types.h>

#pragma GCC visibility push(hidden)
#define HOOK(name, type, parameters) extern type(*pmt_next_##name) parameters;
#define NOTICE(name) extern void *pmt_next_##name;
#include "hook.def"
#undef HOOK
#undef NOTICE
#pragma GCC visibility pop

/* Usable bytes of a block of glibc's malloc, as malloc_usable_size: the word before it holds the chunk's size and three
 * flags, of which bit 1 says "mapped" (glibc malloc.c: chunksize, musable). 2 ns less than the call. */
static inline size_t pmt_glibc_size(const void *block)
{
    size_t head;
    __builtin_memcpy(&head, (const char *)block - sizeof head, sizeof head);
    return (head & ~(size_t)7) - sizeof head - ((head & 2) ? sizeof head : 0);
}

#endif
