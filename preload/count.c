/* count.c: bytes and blocks of the allocator, allocated and freed.
 *
 *    thread 1 -> tally --+
 *    thread 2 -> tally --+--> pmt_count_total()          tallies live in chunks that are never given back
 *    gone     -> tally --+
 *
 * A tally is a running sum, not a thread's property: a thread that ends leaves its tally with its sums in it, and the
 * next thread goes on adding to the same one. So a block may be freed by another thread than the one that allocated it,
 * nothing is ever folded or lost, and 10,000 short threads need as many tallies as there were threads at once. */
#include "core.h"

#include <pthread.h>

#include "sys.h"

#include "poison.h"

#define CHUNK_TALLIES 63
#define ALLOCATIONS_PER_LOOK 32 /* at the clock, which costs as much as an allocation */

struct chunk {
    struct chunk *next; /* atomic; set once */
    char pad[56];
    struct pmt_tally tallies[CHUNK_TALLIES];
};

__thread struct pmt_tally *pmt_tally_mine;
__thread int pmt_inside;
static __thread struct pmt_tally *spare;        /* mine, set aside so that the next call comes here; see below */
static __thread void (*work_when_called)(void); /* what that call is to do first */
static __thread bool is_leaving;                /* the thread's destructors run: its tally is handed on */
static struct chunk first_chunk;
static struct pmt_tally shared = {.is_owned = 1}; /* atomic adds: late calls, and when there is no memory for chunks */
static pthread_key_t thread_end;
static bool has_thread_end;
int pmt_count_most_threads;
static int threads; /* atomic: that have a tally */

static struct pmt_tally *claim_in(struct chunk *chunk)
{
    for (int i = 0; i < CHUNK_TALLIES; i++) {
        int nobody = 0;
        struct pmt_tally *tally = &chunk->tallies[i];
        if (!__atomic_load_n(&tally->is_owned, __ATOMIC_RELAXED) &&
            __atomic_compare_exchange_n(&tally->is_owned, &nobody, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return tally;
    }
    return NULL;
}

/* The chunk after `chunk`, made if there is none; NULL without memory. */
static struct chunk *next_chunk(struct chunk *chunk)
{
    struct chunk *next = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE);
    if (next)
        return next;
    struct chunk *fresh = pmt_sys_pages(sizeof *fresh);
    if (!fresh)
        return NULL;
    if (__atomic_compare_exchange_n(&chunk->next, &next, fresh, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        return fresh;
    pmt_sys(SYS_munmap, (long)fresh, sizeof *fresh, 0, 0, 0, 0);
    return next;
}

static struct pmt_tally *claim_tally(void)
{
    for (struct chunk *chunk = &first_chunk; chunk; chunk = next_chunk(chunk)) {
        struct pmt_tally *tally = claim_in(chunk);
        if (tally)
            return tally;
    }
    return NULL;
}

/* A second thread came, and not by pthread_create. */
static PMT_SLOW void narrow_all(void)
{
    for (struct chunk *chunk = &first_chunk; chunk; chunk = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE))
        for (int i = 0; i < CHUNK_TALLIES; i++)
            pmt_peak_narrow(&chunk->tallies[i]);
}

/* Thread-specific data destructor: others may still run after it, and allocate. */
static void leave_tally(void *tally)
{
    pmt_gate_thread_ends();
    is_leaving = true;
    pmt_tally_mine = NULL;
    spare = NULL;
    __atomic_fetch_sub(&threads, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&((struct pmt_tally *)tally)->is_owned, 0, __ATOMIC_RELEASE);
}

static void add_shared(enum pmt_owner owner, enum pmt_flow flow, int64_t bytes, int64_t blocks)
{
    __atomic_fetch_add(&shared.sums[owner][flow].bytes, bytes, __ATOMIC_RELAXED);
    __atomic_fetch_add(&shared.sums[owner][flow].blocks, blocks, __ATOMIC_RELAXED);
}

static void claim_mine(void)
{
    int error = errno;
    pmt_tally_mine = claim_tally();
    if (pmt_tally_mine) {
        int now = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
        int most = __atomic_load_n(&pmt_count_most_threads, __ATOMIC_RELAXED);
        if (now > most)
            __atomic_store_n(&pmt_count_most_threads, now, __ATOMIC_RELAXED);
        if (now > most && most == 1)
            narrow_all();
        pmt_tally_mine->latest = NULL;
    }
    if (pmt_tally_mine && has_thread_end)
        pthread_setspecific(thread_end, pmt_tally_mine);
    errno = error;
}

/* The thread has no tally in place: its first call, its last ones, or work is due. */
PMT_SLOW void pmt_count_slow(enum pmt_owner owner, enum pmt_flow flow, int64_t bytes, int64_t blocks)
{
    if (spare) {
        pmt_tally_mine = spare;
        spare = NULL;
        pmt_count(owner, flow, bytes, blocks);
        void (*work)(void) = work_when_called;
        work_when_called = NULL;
        if (work)
            work();
        return;
    }
    if (!is_leaving)
        claim_mine();
    if (pmt_tally_mine)
        pmt_count(owner, flow, bytes, blocks);
    else
        add_shared(owner, flow, bytes, blocks);
}

/* `work` is called once, inside this thread's next call of the allocator, at no cost to any other call. */
void pmt_count_when_next_called(void (*work)(void))
{
    if (!pmt_tally_mine && !spare && !is_leaving)
        claim_mine();
    if (!pmt_tally_mine && !spare)
        return;
    work_when_called = work;
    if (pmt_tally_mine)
        spare = pmt_tally_mine;
    pmt_tally_mine = NULL;
}

/* The caller's tally, in place or set aside; NULL if it has none yet. */
struct pmt_tally *pmt_count_mine(void)
{
    return pmt_tally_mine ? pmt_tally_mine : spare;
}

void pmt_count_start(void)
{
    has_thread_end = pthread_key_create(&thread_end, leave_tally) == 0;
}

/* The other threads are no more; their tallies keep what they counted and may be taken over. */
void pmt_count_after_fork(void)
{
    struct pmt_tally *mine = pmt_count_mine();
    pmt_tally_mine = mine;
    spare = NULL;
    threads = pmt_count_most_threads = mine != NULL;
    work_when_called = NULL; /* the loader's lock may have been another thread's, and would not be given back */
    for (struct chunk *chunk = &first_chunk; chunk; chunk = chunk->next)
        for (int i = 0; i < CHUNK_TALLIES; i++)
            chunk->tallies[i].is_owned = &chunk->tallies[i] == mine;
}

static int64_t read_cell(const int64_t *cell)
{
    return __atomic_load_n(cell, __ATOMIC_RELAXED);
}

/* Runs over all tallies: the shared one, then each chunk's. */
static const struct pmt_tally *next_tally(const struct pmt_tally *tally, struct chunk **chunk, int *index)
{
    if (!tally) {
        *chunk = &first_chunk;
        *index = 0;
        return &shared;
    }
    if (*index == CHUNK_TALLIES) {
        *chunk = __atomic_load_n(&(*chunk)->next, __ATOMIC_ACQUIRE);
        *index = 0;
    }
    return *chunk ? &(*chunk)->tallies[(*index)++] : NULL;
}

#define FOR_EACH_TALLY(tally)                                                                                          \
    struct chunk *chunk;                                                                                               \
    int index;                                                                                                         \
    for (const struct pmt_tally *tally = next_tally(NULL, &chunk, &index); tally;                                      \
         tally = next_tally(tally, &chunk, &index))

/* Exact when no other thread is allocating; else each thread's sum is exact at the moment it is read. */
struct pmt_net pmt_count_sum(enum pmt_owner owner, enum pmt_flow flow)
{
    struct pmt_net sum = {0, 0};
    FOR_EACH_TALLY(tally)
    {
        sum.bytes += read_cell(&tally->sums[owner][flow].bytes);
        sum.blocks += read_cell(&tally->sums[owner][flow].blocks);
    }
    return sum;
}

/* What is live. */
struct pmt_net pmt_count_total(enum pmt_owner owner)
{
    struct pmt_net freed = pmt_count_sum(owner, PMT_FREED), allocated = pmt_count_sum(owner, PMT_ALLOCATED);
    return (struct pmt_net){allocated.bytes - freed.bytes, allocated.blocks - freed.blocks};
}

/* Blocks that were freed before their thread allocated another. */
int64_t pmt_count_temporary(enum pmt_owner owner)
{
    int64_t sum = 0;
    FOR_EACH_TALLY(tally)
    sum += read_cell(&tally->temporary_blocks[owner]);
    return sum;
}

/* This thread has allocated a few times: rare work, if any is due. */
PMT_SLOW void pmt_count_due(struct pmt_tally *mine)
{
    mine->countdown = ALLOCATIONS_PER_LOOK;
    pmt_peak_stamp();
    pmt_capture_tick();
}
