/* domains.c: an independent count of what CPython's three allocator domains hold, to judge MEMPOINT by. As plain as can
 * be: one lock, one hash table of live blocks with the sizes that were asked for.
 *
 *   CPython -> libpmt.so -> libdomains.so -> libpmt.so -> pymalloc      loaded before pmt, so its constructor runs
 * after; then pmt wraps once more, above it
 *
 * A block that is made inside another layer's call is that layer's own matter, not counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { DOMAINS = 3, LAYERS = 8 * DOMAINS, SLOTS = 1 << 24 };

struct allocator { /* PyMemAllocatorEx */
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
};

struct entry {
    uintptr_t block; /* 0: free */
    size_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *table; /* protected by lock, as the two below */
static int64_t live_bytes, live_blocks;
static struct allocator layers[LAYERS];
static int layer_count, is_watching;
static void (*get_allocator)(int, struct allocator *), (*set_allocator)(int, struct allocator *);
static int (*is_initialized)(void); /* on 3.6, from the moment it starts */
static __thread int depth, was_reached;

int64_t oracle_live_bytes(void);
int64_t oracle_live_blocks(void);
void *oracle_point(void *mempoint, int64_t *bytes);

/* ---- the table: linear probing, and deletion that moves later entries up, so that there are no tombstones ---- */

static size_t slot_of(uintptr_t block)
{
    return (size_t)((block >> 3) * 0x9e3779b97f4a7c15u >> 40) & (SLOTS - 1);
}

static void *enter(void *block, size_t size)
{
    if (!block || depth > 0)
        return block;
    pthread_mutex_lock(&lock);
    size_t at = slot_of((uintptr_t)block);
    while (table[at].block)
        if (table[at].block == (uintptr_t)block)
            abort(); /* handed out twice: something passed us by */
        else
            at = (at + 1) & (SLOTS - 1);
    table[at] = (struct entry){(uintptr_t)block, size};
    live_bytes += (int64_t)size;
    live_blocks++;
    pthread_mutex_unlock(&lock);
    return block;
}

/* True if the block was known; its size to *size. */
static int take_out(void *block, size_t *size)
{
    pthread_mutex_lock(&lock);
    size_t at = slot_of((uintptr_t)block);
    while (table[at].block && table[at].block != (uintptr_t)block)
        at = (at + 1) & (SLOTS - 1);
    int is_known = table[at].block != 0;
    if (is_known) {
        *size = table[at].size;
        live_bytes -= (int64_t)*size;
        live_blocks--;
        table[at].block = 0;
        for (size_t i = (at + 1) & (SLOTS - 1); table[i].block; i = (i + 1) & (SLOTS - 1)) {
            size_t home = slot_of(table[i].block);
            if (((i - home) & (SLOTS - 1)) >= ((i - at) & (SLOTS - 1))) {
                table[at] = table[i];
                table[i].block = 0;
                at = i;
            }
        }
    }
    pthread_mutex_unlock(&lock);
    return is_known;
}

/* ---- the wrappers; `context` is the allocator below ---- */

static void *domain_malloc(void *context, size_t size)
{
    struct allocator *below = context;
    was_reached = 1;
    depth++;
    void *block = below->malloc(below->context, size);
    depth--;
    return enter(block, size);
}

static void *domain_calloc(void *context, size_t count, size_t size)
{
    struct allocator *below = context;
    depth++;
    void *block = below->calloc(below->context, count, size);
    depth--;
    return enter(block, count * size);
}

static void *domain_realloc(void *context, void *block, size_t size)
{
    struct allocator *below = context;
    size_t old_size = 0;
    int is_known = block && depth == 0 && take_out(block, &old_size);
    depth++;
    void *fresh = below->realloc(below->context, block, size);
    depth--;
    if (!fresh && is_known)
        enter(block, old_size);
    return enter(fresh, size);
}

static void domain_free(void *context, void *block)
{
    struct allocator *below = context;
    size_t size;
    if (block && depth == 0)
        take_out(block, &size);
    depth++;
    below->free(below->context, block);
    depth--;
}

/* ---- being there. CPython 3.6 sets its allocators twice before it starts, above all wrappers: until it has started,
 * every call of the allocator looks whether we are still there, as pmt's do. Later versions put nothing but the raw one
 * aside, and that for moments. ---- */

static void wrap(int domain)
{
    struct allocator *below = &layers[layer_count++];
    if (layer_count > LAYERS)
        abort();
    get_allocator(domain, below);
    set_allocator(domain, &(struct allocator){below, domain_malloc, domain_calloc, domain_realloc, domain_free});
}

/* Domain by domain: the raw one is below the others. */
static void look(void)
{
    struct allocator top;
    if (!is_watching || depth > 0)
        return;
    is_watching = 0;
    int is_last = is_initialized();
    for (int domain = DOMAINS; domain-- > 0;) {
        get_allocator(domain, &top);
        was_reached = 0;
        top.free(top.context, top.malloc(top.context, 1));
        if (!was_reached)
            wrap(domain);
    }
    is_watching = !is_last;
}

__attribute__((constructor)) static void start(void)
{
    *(void **)&get_allocator = dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    *(void **)&set_allocator = dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    table =
        mmap(NULL, SLOTS * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED)
        abort();
    const char *(*version)(void);
    *(void **)&version = dlsym(RTLD_DEFAULT, "Py_GetVersion");
    *(void **)&is_initialized = dlsym(RTLD_DEFAULT, "Py_IsInitialized");
    for (int domain = 0; domain < DOMAINS && set_allocator; domain++)
        wrap(domain);
    free(malloc(1)); /* pmt looks at every allocation, and goes above us now, not in the middle of a swap */
    is_watching = set_allocator && version && strncmp(version(), "3.6.", 4) == 0;
}

/* Each forwards, then looks: pmt has looked by then, and does so again at its next call, to be above us. */
#define NEXT(name) (next_##name ? next_##name : (*(void **)&next_##name = dlsym(RTLD_NEXT, #name), next_##name))
static void *(*next_malloc)(size_t), *(*next_calloc)(size_t, size_t), *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);

void *malloc(size_t size)
{
    void *block = NEXT(malloc)(size);
    look();
    return block;
}

void *calloc(size_t count, size_t size)
{
    void *block = NEXT(calloc)(count, size);
    look();
    return block;
}

void *realloc(void *block, size_t size)
{
    void *fresh = NEXT(realloc)(block, size);
    look();
    return fresh;
}

void free(void *block)
{
    NEXT(free)(block);
    look();
}

/* ---- the figures ---- */

int64_t oracle_live_bytes(void)
{
    return __atomic_load_n(&live_bytes, __ATOMIC_RELAXED);
}

int64_t oracle_live_blocks(void)
{
    return __atomic_load_n(&live_blocks, __ATOMIC_RELAXED);
}

/* Calls mempoint(), with the figure of that moment to *bytes: a call without arguments allocates nothing, so nothing
 * lies between this reading and MEMPOINT's own, unless a thread that ends frees its raw blocks without the GIL: then
 * once more. For ctypes.PyDLL, which keeps the GIL. */
void *oracle_point(void *mempoint, int64_t *bytes)
{
    void *(*call)(void *, void *), *result;
    *(void **)&call = dlsym(RTLD_DEFAULT, "PyObject_CallObject");
    do {
        *bytes = oracle_live_bytes();
        result = call(mempoint, NULL);
    } while (oracle_live_bytes() != *bytes);
    return result;
}
