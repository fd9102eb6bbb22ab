/* domains.c: CPython's three allocator domains (raw, mem, object), wrapped.
 *
 *    PyObject_Malloc -> ours -> pymalloc -> PyMem_RawMalloc -> ours -> malloc -> hook.c
 *                       counts              pmt_inside: passes through    passes through
 *
 * The outermost layer owns the block, with the size that was requested; so nothing is counted twice, and an arena of
 * pymalloc (mapped inside) is nobody's. The layout of blocks is not changed: wrappers may come and go at any time.
 * Other tools put allocators in our place: PYTHONMALLOC and -X dev do before user code, so until Python is ready every
 * allocation that reaches malloc looks (attach.c); a later removal is noticed at the next check, and said.
 * poison.h stays out: the fields of PyMemAllocatorEx have the poisoned names. */
#include "stack.h"

#define DOMAINS 3
#define LAYERS_MAX 32 /* of a domain: CPython swaps allocators a few times while it starts */

/* A wrapper, once set, keeps its `next` for ever: whoever replaced it may put it back. */
static struct layer {
    PyMemAllocatorEx next;
} layers[DOMAINS][LAYERS_MAX];
static int layer_count[DOMAINS]; /* Protected by the GIL, or by there being one thread yet. */

static void (*get_allocator)(PyMemAllocatorDomain, PyMemAllocatorEx *);
static void (*set_allocator)(PyMemAllocatorDomain, PyMemAllocatorEx *);

/* The bodies; they are compiled for the raw domain, which may be used without the GIL, and for the other two once for
 * each layout of frames. `here` tells the site. */

typedef struct pmt_here here_function(void);

PMT_HOT void *count_new(here_function *here, void *block, size_t size, bool is_fresh)
{
    if (PMT_LIKELY(block && pmt_shadow_is_aligned(block)))
        pmt_account_new(block, size, PMT_OWNER_PYTHON, here(), is_fresh);
    return block;
}

/* Counts off a block that is about to be freed. One made before we came is known as native, or not at all. */
PMT_HOT struct pmt_block count_gone(enum pmt_gil gil, void *block, bool is_freed)
{
    struct pmt_block gone = {0, 0, false};
    if (PMT_UNLIKELY(!pmt_shadow_is_aligned(block)))
        return gone;
    gone = pmt_account_gone(block, gil, is_freed);
    if (PMT_UNLIKELY(gone.what & PMT_SHADOW_CODE))
        pmt_stack_forget_code(block);
    return gone;
}

PMT_HOT void *domain_malloc(struct layer *layer, size_t size, here_function *here)
{
    if (pmt_inside)
        return layer->next.malloc(layer->next.ctx, size);
    pmt_inside = 1;
    void *block = layer->next.malloc(layer->next.ctx, size);
    pmt_inside = 0;
    return count_new(here, block, size, true);
}

PMT_HOT void *domain_calloc(struct layer *layer, size_t count, size_t size, here_function *here)
{
    if (pmt_inside)
        return layer->next.calloc(layer->next.ctx, count, size);
    pmt_inside = 1;
    void *block = layer->next.calloc(layer->next.ctx, count, size);
    pmt_inside = 0;
    return count_new(here, block, count * size, true); /* did not overflow, or there is no block */
}

PMT_HOT void *domain_realloc(struct layer *layer, void *block, size_t size, here_function *here, enum pmt_gil gil)
{
    struct pmt_block gone = {0, 0, false};
    if (pmt_inside)
        return layer->next.realloc(layer->next.ctx, block, size);
    if (block)
        gone = count_gone(gil, block, false);
    pmt_inside = 1;
    void *fresh = layer->next.realloc(layer->next.ctx, block, size);
    pmt_inside = 0;
    if (PMT_UNLIKELY(!fresh && block))
        pmt_account_back(block, &gone, pmt_python_has_gil());
    return count_new(here, fresh, size, !block);
}

/* A block that we do not know goes down as what it is to the layers below. */
PMT_HOT void domain_free(struct layer *layer, void *block, enum pmt_gil gil)
{
    if (pmt_inside || !block || PMT_UNLIKELY(!count_gone(gil, block, true).is_known)) {
        layer->next.free(layer->next.ctx, block);
        return;
    }
    pmt_inside = 1;
    layer->next.free(layer->next.ctx, block);
    pmt_inside = 0;
}

#define DOMAIN_FUNCTIONS(name, here, gil)                                                                              \
    static void *name##_malloc(void *layer, size_t size)                                                               \
    {                                                                                                                  \
        return domain_malloc(layer, size, here);                                                                       \
    }                                                                                                                  \
    static void *name##_calloc(void *layer, size_t count, size_t size)                                                 \
    {                                                                                                                  \
        return domain_calloc(layer, count, size, here);                                                                \
    }                                                                                                                  \
    static void *name##_realloc(void *layer, void *block, size_t size)                                                 \
    {                                                                                                                  \
        return domain_realloc(layer, block, size, here, gil);                                                          \
    }                                                                                                                  \
    static void name##_free(void *layer, void *block)                                                                  \
    {                                                                                                                  \
        domain_free(layer, block, gil);                                                                                \
    }

static struct pmt_here here_raw(void)
{
    return pmt_stack_here(PMT_OWNER_PYTHON, false);
}

static struct pmt_here here_object(void)
{
    return pmt_stack_here(PMT_OWNER_PYTHON, true);
}

DOMAIN_FUNCTIONS(raw, here_raw, PMT_GIL_ASK)
DOMAIN_FUNCTIONS(object, here_object, pmt_stack_has_own_gils ? PMT_GIL_ASK : PMT_GIL_HELD)
#define LAYOUT(first, ...)                                                                                             \
    DOMAIN_FUNCTIONS(object_##first, stack_here_##first, (first) >= 12 ? PMT_GIL_ASK : PMT_GIL_HELD)
#include "pystack.def"
#undef LAYOUT

#define FUNCTIONS_OF(name)                                                                                             \
    {                                                                                                                  \
        NULL, name##_malloc, name##_calloc, name##_realloc, name##_free                                                \
    }
static const PyMemAllocatorEx raw_functions = FUNCTIONS_OF(raw), object_functions = FUNCTIONS_OF(object);
static const PyMemAllocatorEx layout_functions[] = {
#define LAYOUT(first, ...) FUNCTIONS_OF(object_##first),
#include "pystack.def"
#undef LAYOUT
};
static const PyMemAllocatorEx *best_functions = &object_functions; /* of the mem and object domains */

static bool is_ours(int domain, const PyMemAllocatorEx *top)
{
    return (struct layer *)top->ctx >= layers[domain] && (struct layer *)top->ctx < layers[domain] + LAYERS_MAX;
}

/* Whether an allocation made through `top` comes by us. The caller holds the GIL: debug allocators insist. */
static bool is_reached(const PyMemAllocatorEx *top)
{
    int64_t before = pmt_count_total(PMT_OWNER_PYTHON).blocks;
    void *block = top->malloc(top->ctx, 1);
    bool is_counted = pmt_count_total(PMT_OWNER_PYTHON).blocks > before;
    top->free(top->ctx, block);
    return is_counted;
}

/* The domain's wrapper of `top`: one there is, or a new one; NULL if there are too many. */
static struct layer *layer_over(int domain, const PyMemAllocatorEx *top)
{
    int count = layer_count[domain];
    for (int i = 0; i < count; i++)
        if (layers[domain][i].next.malloc == top->malloc && layers[domain][i].next.ctx == top->ctx)
            return &layers[domain][i];
    if (count == LAYERS_MAX)
        return NULL;
    layers[domain][count].next = *top;
    layer_count[domain]++;
    return &layers[domain][count];
}

static void set_ours(int domain, struct layer *layer)
{
    PyMemAllocatorEx ours = domain == PYMEM_DOMAIN_RAW ? raw_functions : *best_functions;
    ours.ctx = layer;
    set_allocator((PyMemAllocatorDomain)domain, &ours);
}

static void install(int domain, const PyMemAllocatorEx *top)
{
    struct layer *layer = layer_over(domain, top);
    if (layer)
        set_ours(domain, layer);
}

/* Stacks can be read from now on, by row `row` of pystack.def. Where somebody stands above us, who will go on calling
 * the functions he knows, these do the same, a little slower. */
void pmt_domains_know_stacks(int row)
{
    PyMemAllocatorEx top;
    best_functions = &layout_functions[row];
    for (int domain = PYMEM_DOMAIN_MEM; set_allocator && domain < DOMAINS; domain++) {
        get_allocator((PyMemAllocatorDomain)domain, &top);
        if (is_ours(domain, &top))
            set_ours(domain, top.ctx);
    }
}

/* From 3.7 on CPython puts its default raw allocator back for a moment, many times while it starts, to make what is to
 * outlive a choice of allocators; it frees such blocks in the same way. They are not of the domain. */
static bool is_swap(int domain, const PyMemAllocatorEx *top)
{
    const PyMemAllocatorEx *first = &layers[domain][0].next;
    return domain == PYMEM_DOMAIN_RAW && layer_count[domain] > 0 && top->malloc == first->malloc &&
           top->ctx == first->ctx;
}

/* While Python starts: puts a wrapper on top of every domain that has none there; on the raw one in the middle of a
 * swap only if `also_swaps`. A choice of allocators replaces the others too, which come first here, a swap does not. A
 * wrapper further down lets pass what the upper one owns. */
void pmt_domains_wrap(bool also_swaps)
{
    PyMemAllocatorEx top;
    if (!set_allocator || pmt_inside)
        return;
    for (int domain = DOMAINS; domain-- > 0;) {
        get_allocator((PyMemAllocatorDomain)domain, &top);
        if (is_ours(domain, &top) || (!also_swaps && is_swap(domain, &top)))
            continue;
        install(domain, &top);
        also_swaps = true;
    }
}

/* Later, with the GIL: puts back what another tool has removed, and says so once, since the blocks in between are not
 * known. A wrapper that was put above ours stays. */
void pmt_domains_check(void)
{
    static bool is_said;
    PyMemAllocatorEx top;
    if (!set_allocator || pmt_inside)
        return;
    for (int domain = 0; domain < DOMAINS; domain++) {
        get_allocator((PyMemAllocatorDomain)domain, &top);
        if (is_ours(domain, &top) || is_reached(&top))
            continue;
        install(domain, &top);
        if (!is_said)
            pmt_capture_problem(
                "another tool removed pmt from Python's allocators: blocks made meanwhile are not counted");
        is_said = true;
    }
}

/* Whether the table of blocks can hold all of this CPython's: pymalloc gave addresses aligned to 8 bytes before 3.7.4.
 */
bool pmt_domains_are_aligned(void)
{
    PyMemAllocatorEx top;
    uintptr_t bits = 0;
    void *blocks[16];
    if (!get_allocator)
        return true;
    get_allocator(PYMEM_DOMAIN_OBJ, &top);
    for (size_t i = 0; i < 16; i++)
        bits |= (uintptr_t)(blocks[i] = top.malloc(top.ctx, 24));
    for (size_t i = 0; i < 16; i++)
        top.free(top.ctx, blocks[i]);
    return bits % 16 == 0;
}

/* The library that holds CPython may be gone. */
void pmt_domains_forget(void)
{
    set_allocator = NULL;
}

void pmt_domains_start(const struct pmt_elf *python)
{
    *(void **)(void *)&get_allocator = pmt_elf_symbol(python, "PyMem_GetAllocator");
    *(void **)(void *)&set_allocator = pmt_elf_symbol(python, "PyMem_SetAllocator");
    if (!get_allocator || !set_allocator) {
        set_allocator = NULL;
        return;
    }
    pmt_domains_wrap(true);
}
