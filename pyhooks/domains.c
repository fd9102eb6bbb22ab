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
#include "account.h"
#include "pyhooks.h"

#define DOMAINS 3
#define LAYERS_MAX 32 /* of a domain: CPython swaps allocators a few times while it starts */

/* A wrapper, once set, keeps its `next` for ever: whoever replaced it may put it back. */
static struct layer {
    PyMemAllocatorEx next;
} layers[DOMAINS][LAYERS_MAX];
static int layer_count[DOMAINS]; /* Protected by the GIL, or by there being one thread yet. */

static void (*get_allocator)(PyMemAllocatorDomain, PyMemAllocatorEx *);
static void (*set_allocator)(PyMemAllocatorDomain, PyMemAllocatorEx *);

/* Each function twice: the raw domain may be used without the GIL, the others not. */

PMT_HOT void *count_new(bool is_raw, void *block, size_t size, bool is_fresh)
{
    if (PMT_LIKELY(block && pmt_shadow_is_aligned(block)))
        pmt_account_new(block, size, PMT_OWNER_PYTHON, pmt_stack_here(PMT_OWNER_PYTHON, !is_raw), is_fresh);
    return block;
}

/* Counts off a block that is about to be freed. One made before we came is known as native, or not at all. */
PMT_HOT struct pmt_block count_gone(bool is_raw, void *block, bool is_freed)
{
    struct pmt_block gone = {0, 0, false};
    if (PMT_UNLIKELY(!pmt_shadow_is_aligned(block)))
        return gone;
    gone = pmt_account_gone(block, is_raw || pmt_stack_has_own_gils ? PMT_GIL_ASK : PMT_GIL_HELD, is_freed);
    if (PMT_UNLIKELY(gone.what & PMT_SHADOW_CODE))
        pmt_stack_forget_code(block);
    return gone;
}

PMT_HOT void *domain_malloc(struct layer *layer, size_t size, bool is_raw)
{
    if (pmt_inside)
        return layer->next.malloc(layer->next.ctx, size);
    pmt_inside = 1;
    void *block = layer->next.malloc(layer->next.ctx, size);
    pmt_inside = 0;
    return count_new(is_raw, block, size, true);
}

PMT_HOT void *domain_calloc(struct layer *layer, size_t count, size_t size, bool is_raw)
{
    if (pmt_inside)
        return layer->next.calloc(layer->next.ctx, count, size);
    pmt_inside = 1;
    void *block = layer->next.calloc(layer->next.ctx, count, size);
    pmt_inside = 0;
    return count_new(is_raw, block, count * size, true); /* did not overflow, or there is no block */
}

PMT_HOT void *domain_realloc(struct layer *layer, void *block, size_t size, bool is_raw)
{
    struct pmt_block gone = {0, 0, false};
    if (pmt_inside)
        return layer->next.realloc(layer->next.ctx, block, size);
    if (block)
        gone = count_gone(is_raw, block, false);
    pmt_inside = 1;
    void *fresh = layer->next.realloc(layer->next.ctx, block, size);
    pmt_inside = 0;
    if (PMT_UNLIKELY(!fresh && block))
        pmt_account_back(block, &gone, pmt_python_has_gil());
    return count_new(is_raw, fresh, size, !block);
}

/* A block that we do not know goes down as what it is to the layers below. */
PMT_HOT void domain_free(struct layer *layer, void *block, bool is_raw)
{
    if (pmt_inside || !block || PMT_UNLIKELY(!count_gone(is_raw, block, true).is_known)) {
        layer->next.free(layer->next.ctx, block);
        return;
    }
    pmt_inside = 1;
    layer->next.free(layer->next.ctx, block);
    pmt_inside = 0;
}

#define DOMAIN_FUNCTIONS(name, is_raw)                                                                                 \
    static void *name##_malloc(void *layer, size_t size)                                                               \
    {                                                                                                                  \
        return domain_malloc(layer, size, is_raw);                                                                     \
    }                                                                                                                  \
    static void *name##_calloc(void *layer, size_t count, size_t size)                                                 \
    {                                                                                                                  \
        return domain_calloc(layer, count, size, is_raw);                                                              \
    }                                                                                                                  \
    static void *name##_realloc(void *layer, void *block, size_t size)                                                 \
    {                                                                                                                  \
        return domain_realloc(layer, block, size, is_raw);                                                             \
    }                                                                                                                  \
    static void name##_free(void *layer, void *block)                                                                  \
    {                                                                                                                  \
        domain_free(layer, block, is_raw);                                                                             \
    }
DOMAIN_FUNCTIONS(raw, true)
DOMAIN_FUNCTIONS(object, false)

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

static void install(int domain, const PyMemAllocatorEx *top)
{
    struct layer *layer = layer_over(domain, top);
    PyMemAllocatorEx ours = {layer, object_malloc, object_calloc, object_realloc, object_free};
    if (domain == PYMEM_DOMAIN_RAW)
        ours = (PyMemAllocatorEx){layer, raw_malloc, raw_calloc, raw_realloc, raw_free};
    if (!layer)
        return;
    set_allocator((PyMemAllocatorDomain)domain, &ours);
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
            pmt_say(PMT_VERBOSE_PROBLEMS,
                    "another tool removed pmt from Python's allocators: blocks made meanwhile are "
                    "not counted");
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
