/* stack.h: the hot half of stack.c: the stack of this thread's Python frames, hashed, and the site that is remembered
 * for it. Inline, so that domains.c has it without a call, for each layout of frames with offsets that the compiler
 * knows. */
#ifndef PMT_STACK_H
#define PMT_STACK_H

#include <string.h>

#include "account.h"
#include "pyhooks.h"

#pragma GCC visibility push(hidden)

#define STACK_FRAMES_MORE 8 /* frames that may turn out not to be Python's, beyond --depth */
#define STACK_SITE_BITS 14
#define STACK_MIX_PLACE 0x9e3779b97f4a7c15u
#define STACK_MIX_FRAME 0xff51afd7ed558ccdu
#define STACK_MIX_NUMBER 0xc4ceb9fe1a85ec53u

/* What a hash stands for. Written without a lock: key is the hash ^ value, so that a torn entry does not match. */
struct stack_remembered {
    uint64_t key, value;
};
extern struct stack_remembered pmt_stack_sites[1u << STACK_SITE_BITS];

extern PyThreadState *(*pmt_stack_current_thread)(void);
extern PyInterpreterState *pmt_stack_main_interpreter;
extern uint64_t pmt_stack_generation; /* of code objects: atomic */

static inline const char *stack_pointer(const void *object, int offset)
{
    const char *value;
    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

static inline bool stack_recall(const struct stack_remembered *memory, int bits, uint64_t hash, uint64_t *value)
{
    const struct stack_remembered *entry = &memory[hash >> (64 - bits)];
    *value = __atomic_load_n(&entry->value, __ATOMIC_RELAXED);
    return (__atomic_load_n(&entry->key, __ATOMIC_RELAXED) ^ *value) == hash;
}

PMT_HOT int64_t stack_place(const char *frame, int place, int place_size)
{
    int32_t index;
    if (place_size == 8)
        return (int64_t)(uintptr_t)stack_pointer(frame, place);
    memcpy(&index, frame + place, sizeof index);
    return index;
}

/* The multiplications of a frame wait for nothing; from frame to frame there is a rotation and an addition, which keep
 * differences as they are, but for a few bits. So a frame's value must be no linear thing: else a place a little
 * further in one frame and back in the next, or the same frame 64 times, would cancel out. */
PMT_HOT uint64_t stack_mix(uint64_t hash, const void *code, int64_t place, uint64_t number)
{
    uint64_t frame = (uint64_t)(uintptr_t)code + (uint64_t)place * STACK_MIX_PLACE + number * STACK_MIX_NUMBER;
    return (hash << 5 | hash >> 59) + (frame ^ frame >> 32) * STACK_MIX_FRAME;
}

/* So that the highest bits depend on all. */
PMT_HOT uint64_t stack_finish(uint64_t hash)
{
    hash = (hash ^ hash >> 32) * STACK_MIX_PLACE;
    return hash ^ hash >> 29;
}

static inline uint64_t stack_start_of_hash(void)
{
    return (__atomic_load_n(&pmt_stack_generation, __ATOMIC_ACQUIRE) << 40) + ((uint64_t)pmt_site_label_mine << 2) + 1;
}

/* The site that the thread's stack is remembered as, else the hash to find it out for, with is_known false. */
struct stack_recalled {
    uint64_t value;
    bool is_known;
};

#define LAYOUT(first, last, thread_frame, current, previous, code, place, place_size, owner, foreign, ...)             \
    PMT_HOT struct stack_recalled stack_recall_##first(const char *thread, enum pmt_owner who)                         \
    {                                                                                                                  \
        uint64_t site, hash = stack_start_of_hash() + (uint64_t)who;                                                   \
        int64_t left = pmt_config.depth + STACK_FRAMES_MORE;                                                           \
        const char *frame = stack_pointer(thread, thread_frame);                                                       \
        if ((current) >= 0 && frame)                                                                                   \
            frame = stack_pointer(frame, current);                                                                     \
        for (; frame && left > 0; frame = stack_pointer(frame, previous)) {                                            \
            if ((owner) >= 0 && (foreign) < 127 && frame[owner] >= (foreign))                                          \
                continue;                                                                                              \
            hash = stack_mix(hash, stack_pointer(frame, code), stack_place(frame, place, place_size), (uint64_t)left); \
            left--;                                                                                                    \
        }                                                                                                              \
        hash = stack_finish(hash + (frame != NULL));                                                                   \
        if (PMT_LIKELY(stack_recall(pmt_stack_sites, STACK_SITE_BITS, hash, &site)))                                   \
            return (struct stack_recalled){site, true};                                                                \
        return (struct stack_recalled){hash, false};                                                                   \
    }
#include "pystack.def"
#undef LAYOUT

uint32_t pmt_stack_resolve(const char *thread, enum pmt_owner owner, uint64_t hash);

/* For an allocation of the mem or object domain, whose caller holds a GIL. Up to 3.11 there is but one. */
#define LAYOUT(first, ...)                                                                                             \
    PMT_HOT struct pmt_here stack_here_##first(void)                                                                   \
    {                                                                                                                  \
        struct pmt_here here = {PMT_SITE_PYTHON, true};                                                                \
        const char *thread = (const char *)pmt_stack_current_thread();                                                 \
        if (PMT_UNLIKELY(!thread))                                                                                     \
            return here;                                                                                               \
        if ((first) >= 12)                                                                                             \
            here.is_held =                                                                                             \
                stack_pointer(thread, PMT_PYVER_THREAD_INTERPRETER) == (const char *)pmt_stack_main_interpreter;       \
        struct stack_recalled recalled = stack_recall_##first(thread, PMT_OWNER_PYTHON);                               \
        here.site = PMT_LIKELY(recalled.is_known) ? (uint32_t)recalled.value                                           \
                                                  : pmt_stack_resolve(thread, PMT_OWNER_PYTHON, recalled.value);       \
        return here;                                                                                                   \
    }
#include "pystack.def"
#undef LAYOUT

#pragma GCC visibility pop

#endif
