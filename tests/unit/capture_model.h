/* capture_model.h: what a capture should say, kept the slow way: figures of every site, and a copy of all at every new
 * peak. allocate() and release() change it and the library's own tables alike. */
#ifndef PMT_CAPTURE_MODEL_H
#define PMT_CAPTURE_MODEL_H

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "account.h"

#define SITES_MAX 8192
#define BLOCKS_MAX 20000

static struct figures {
    int64_t live, blocks, total, total_blocks, temporary, at_peak;
} model[SITES_MAX];
static int64_t model_live, model_peak;
static struct block {
    uint32_t site, size;
} blocks[BLOCKS_MAX];
static char *heap;
static size_t latest = SIZE_MAX;
static uint64_t seed = 0x9e3779b97f4a7c15;

static inline void *address_of(size_t block)
{
    if (!heap)
        heap = mmap(NULL, BLOCKS_MAX * 64, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return heap + block * 64;
}

/* Site number n: a function of its own below a common one. */
static inline uint32_t make_site(uint32_t n)
{
    char name[32];
    int size = snprintf(name, sizeof name, "function_%u", n);
    uint32_t file_name = pmt_site_string("app.py", 6), string = pmt_site_string(name, (size_t)size);
    uint32_t outer = pmt_site_node(PMT_NODE_ROOT, pmt_site_function(file_name, file_name, 1), 7);
    uint32_t node = pmt_site_node(outer, pmt_site_function(file_name, string, (int32_t)n), (int32_t)n);
    return pmt_site_find(node, n % 10 ? 0 : pmt_site_label(string), PMT_OWNER_PYTHON);
}

static inline void release(size_t block)
{
    struct figures *figures = &model[blocks[block].site];
    pmt_account_gone(address_of(block), PMT_GIL_HELD, true);
    figures->live -= blocks[block].size;
    figures->blocks--;
    figures->temporary += latest == block;
    model_live -= blocks[block].size;
    latest = latest == block ? SIZE_MAX : latest;
    blocks[block] = (struct block){0, 0};
}

static inline void release_all(size_t step)
{
    for (size_t block = 0; block < BLOCKS_MAX; block += step)
        if (blocks[block].site)
            release(block);
}

static inline void allocate(size_t block, uint32_t site, uint32_t size)
{
    if (blocks[block].site)
        release(block);
    blocks[block] = (struct block){site, size};
    pmt_account_new(address_of(block), size, PMT_OWNER_PYTHON, (struct pmt_here){site, true}, true);
    model[site].live += size;
    model[site].total += size;
    model[site].blocks++;
    model[site].total_blocks++;
    model_live += size;
    latest = block;
    if (model_live <= model_peak)
        return;
    model_peak = model_live;
    for (uint32_t id = 0; id < SITES_MAX; id++)
        model[id].at_peak = model[id].live;
}

static inline void work(uint32_t sites, int steps)
{
    static uint32_t ids[SITES_MAX];
    for (int i = 0; i < steps; i++) {
        size_t block = next_random(&seed) % BLOCKS_MAX;
        uint32_t n = (uint32_t)(next_random(&seed) % sites);
        if (blocks[block].site) {
            release(block);
            continue;
        }
        if (!ids[n])
            ids[n] = make_site(n);
        allocate(block, ids[n], (uint32_t)(next_random(&seed) % 1000));
    }
}

#endif
