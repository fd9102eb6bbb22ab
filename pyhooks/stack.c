/* stack.c: the site of an allocation: where in Python it is made.
 *
 *    thread state -> frame -> frame -> ...   code objects and places: hashed -- known --> site
 *                                                                       | not yet
 *                    frames gathered; outermost first: node of each below that of its caller (site.h) -> site
 *
 * The hot half reads frames and nothing else: no lock, no reference, no call. What it finds is remembered by the hash
 * of the stack, 64 bits of it. A code object's address stands for it while it lives: when one of those that have a name
 * in the tables is freed (domains.c sees it by a mark in the table of blocks), all that is remembered is void. A thread
 * reads its own frames, which nobody else changes: so it needs no GIL. */
#include "stack.h"

#include "sys.h"

#include "poison.h"

#define TEXT_MAX 16384
#define EDGE_BITS 13

bool pmt_python_has_stacks, pmt_stack_has_own_gils;

static struct pmt_pyver_stack at;                                                      /* offsets, */
static struct stack_recalled (*recall_site)(const char *thread, enum pmt_owner owner); /* and the loop for them */
PyThreadState *(*pmt_stack_current_thread)(void);
PyInterpreterState *pmt_stack_main_interpreter;
uint64_t pmt_stack_generation;
struct stack_remembered pmt_stack_sites[1u << STACK_SITE_BITS];
static struct stack_remembered edges[1u << EDGE_BITS];

/* Where a stack is gathered; of a thread, or rather of its tally. */
struct gathered {
    int count;
    bool is_cut;
    struct {
        const void *code;
        int64_t place;
    } frames[1024];
    char text[TEXT_MAX];
};

static void remember(struct stack_remembered *memory, int bits, uint64_t hash, uint64_t value)
{
    struct stack_remembered *entry = &memory[hash >> (64 - bits)];
    __atomic_store_n(&entry->value, value, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->key, hash ^ value, __ATOMIC_RELAXED);
}

/* ---- the hot half */

static inline const char *top_frame(const char *thread)
{
    const char *frame = stack_pointer(thread, at.thread_frame);
    return at.current >= 0 && frame ? stack_pointer(frame, at.current) : frame;
}

static inline bool is_foreign(const char *frame)
{
    return at.owner >= 0 && frame[at.owner] >= at.foreign;
}

static inline int64_t place_of(const char *frame)
{
    return stack_place(frame, at.place, at.place_size);
}

/* Functions of their own, for allocations that may be anybody's. */
#define LAYOUT(first, ...)                                                                                             \
    static struct stack_recalled recall_site_##first(const char *thread, enum pmt_owner owner)                         \
    {                                                                                                                  \
        return stack_recall_##first(thread, owner);                                                                    \
    }
#include "pystack.def"
#undef LAYOUT

static struct stack_recalled (*const recallers[])(const char *thread, enum pmt_owner owner) = {
#define LAYOUT(first, ...) recall_site_##first,
#include "pystack.def"
#undef LAYOUT
};

/* The thread whose frames are read, NULL if there is none; whether it holds the main interpreter's GIL. */
PMT_HOT const char *this_thread(bool has_gil, bool *is_held)
{
    const char *running = (const char *)pmt_stack_current_thread();
    if (has_gil || pmt_stack_has_own_gils) { /* from 3.12 on the current thread state is the thread's own */
        *is_held =
            running && stack_pointer(running, PMT_PYVER_THREAD_INTERPRETER) == (const char *)pmt_stack_main_interpreter;
        if (running)
            return running;
    }
    const char *mine = (const char *)py.PyGILState_GetThisThreadState();
    *is_held = mine && mine == running && !pmt_stack_has_own_gils;
    return mine;
}

/* See account.h. */
struct pmt_here pmt_stack_here(enum pmt_owner owner, bool has_gil)
{
    struct pmt_here here = {owner == PMT_OWNER_PYTHON ? PMT_SITE_PYTHON : PMT_SITE_NATIVE, false};
    if (PMT_UNLIKELY(!pmt_python_has_stacks))
        return here;
    const char *thread = this_thread(has_gil, &here.is_held);
    if (PMT_UNLIKELY(!thread))
        return here;
    struct stack_recalled recalled = recall_site(thread, owner);
    here.site = recalled.is_known ? (uint32_t)recalled.value : pmt_stack_resolve(thread, owner, recalled.value);
    return here;
}

/* ---- the slow half: a stack that was not seen before, or not lately */

/* The thread's memory for it, NULL without any. */
static struct gathered *gathering(void)
{
    struct pmt_tally *mine = pmt_tally_mine;
    if (mine && !mine->stack)
        mine->stack = pmt_sys_pages(sizeof(struct gathered));
    return mine ? mine->stack : NULL;
}

/* Without the tag that the reference may have from 3.14 on. */
static const char *code_of(const char *frame)
{
    return (const char *)((uintptr_t)stack_pointer(frame, at.code) & ~(uintptr_t)7);
}

/* The frames that were hashed, less those that Python does not show; innermost first. */
static void gather(const char *thread, struct gathered *stack)
{
    int64_t left = pmt_config.depth + STACK_FRAMES_MORE;
    stack->count = 0;
    const char *frame = top_frame(thread);
    for (; frame && left > 0 && stack->count < pmt_config.depth; frame = stack_pointer(frame, at.previous)) {
        if (is_foreign(frame))
            continue;
        left--;
        if (!pmt_pyver_is_finished(&at, frame))
            continue;
        stack->frames[stack->count].code = code_of(frame);
        stack->frames[stack->count++].place = place_of(frame);
    }
    while (frame && is_foreign(frame))
        frame = stack_pointer(frame, at.previous);
    stack->is_cut = frame != NULL;
}

/* A Python string as it was when it was bytes: UTF-8, and what could not be decoded then. Cut at `size` bytes. */
size_t pmt_stack_put_bytes(char *text, size_t size, PyObject *string)
{
    Py_ssize_t length = py.PyUnicode_GetLength(string);
    size_t at_byte = 0;
    for (Py_ssize_t i = 0; i < length && at_byte + 4 <= size; i++) {
        uint32_t c = py.PyUnicode_ReadChar(string, i);
        if (c >= 0xdc80 && c <= 0xdcff)
            text[at_byte++] = (char)(c & 0xff);
        else
            at_byte += pmt_utf8_put(text + at_byte, c);
    }
    return at_byte;
}

static uint32_t string_at(const char *code, int offset, char *text)
{
    PyObject *string = (PyObject *)(uintptr_t)stack_pointer(code, offset);
    return pmt_site_string(text, pmt_stack_put_bytes(text, TEXT_MAX, string));
}

/* The code's function. A code object is known by its address as long as a mark on its block will tell when it goes. One
 * without a block of its own is part of the interpreter, and stays. */
static uint32_t function_of(const char *code, char *text)
{
    int32_t line;
    uint32_t function = pmt_site_code_function(code);
    if (function != PMT_NO_FUNCTION)
        return function;
    uint32_t file = string_at(code, at.file, text), name = string_at(code, at.name, text);
    memcpy(&line, code + at.line, sizeof line);
    function = pmt_site_function(file, name, line);
    if (function == PMT_NO_FUNCTION)
        return function;
    if (pmt_shadow_mark(code, PMT_SHADOW_CODE))
        pmt_site_code_enter(code, function);
    return function;
}

/* The node of a frame below its caller's. */
static uint32_t node_of(uint32_t parent, const char *code, int64_t place, char *text)
{
    uint64_t value, hash = stack_finish(stack_mix(stack_start_of_hash() + ((uint64_t)parent << 8), code, place, 0));
    if (stack_recall(edges, EDGE_BITS, hash, &value))
        return (uint32_t)value;
    uint32_t function = function_of(code, text);
    if (function == PMT_NO_FUNCTION)
        return parent;
    uint32_t node = pmt_site_node(parent, function, pmt_pyver_line(code, place));
    remember(edges, EDGE_BITS, hash, node);
    return node;
}

/* Which site a stack is, found out frame by frame. pmt_inside: what Python might allocate meanwhile is not the host's.
 */
PMT_SLOW uint32_t pmt_stack_resolve(const char *thread, enum pmt_owner owner, uint64_t hash)
{
    struct gathered *stack = gathering();
    if (!stack || __atomic_load_n(&pmt_site_lock.owner, __ATOMIC_RELAXED) == pmt_thread_id())
        return PMT_SITE_OTHER; /* the second: a signal handler, in the middle of this very work */
    int error = errno;
    pmt_inside++;
    gather(thread, stack);
    uint32_t node = stack->is_cut ? PMT_NODE_CUT : PMT_NODE_ROOT;
    for (int i = stack->count; i-- > 0;)
        node = node_of(node, stack->frames[i].code, stack->frames[i].place, stack->text);
    uint32_t site = node == PMT_NODE_ROOT && !pmt_site_label_mine
                        ? (owner == PMT_OWNER_PYTHON ? PMT_SITE_PYTHON : PMT_SITE_NATIVE)
                        : pmt_site_find(node, pmt_site_label_mine, owner);
    pmt_inside--;
    errno = error;
    remember(pmt_stack_sites, STACK_SITE_BITS, hash, site);
    return site;
}

bool pmt_python_has_gil_slow(void)
{
    bool is_held;
    this_thread(false, &is_held);
    return is_held;
}

/* A code object that has a name in the tables is about to be freed. */
PMT_SLOW void pmt_stack_forget_code(const void *code)
{
    pmt_site_code_forget(code);
    __atomic_fetch_add(&pmt_stack_generation, 1, __ATOMIC_RELEASE);
}

/* ---- start */

static bool is_at(const char *object, int offset, PyObject *owner, const char *name)
{
    PyObject *value = py.PyObject_GetAttrString(owner, name);
    bool is_same = value && stack_pointer(object, offset) == (const char *)value;
    if (value)
        py.Py_DecRef(value);
    else
        py.PyErr_Clear();
    return is_same;
}

/* Whether the offsets hold for a frame that runs, and its code. */
static bool do_offsets_hold(PyThreadState *thread, PyFrameObject *frame)
{
    int64_t place;
    PyObject *code = pmt_pyver_place(frame, &place);
    const char *top = top_frame((const char *)thread);
    PyObject *line = py.PyObject_GetAttrString(code, "co_firstlineno");
    int32_t first_line;
    memcpy(&first_line, (const char *)code + at.line, sizeof first_line);
    bool holds = line && py.PyLong_AsLong(line) == first_line;
    if (line)
        py.Py_DecRef(line);
    return holds && top && code_of(top) == (const char *)code && place_of(top) == place &&
           is_at((const char *)code, at.file, code, "co_filename") &&
           is_at((const char *)code, at.name, code, "co_name");
}

/* Python is ready, and `frame` runs in the thread: from here on stacks are read. */
void pmt_stack_start(PyThreadState *thread, PyFrameObject *frame)
{
    int row;
    const struct pmt_pyver_stack *found = pmt_pyver_stack(&row);
    if (found) {
        at = *found;
        recall_site = recallers[row];
    }
    pmt_stack_current_thread =
        py.PyThreadState_GetUnchecked ? py.PyThreadState_GetUnchecked : py._PyThreadState_UncheckedGet;
    pmt_stack_main_interpreter = pmt_pyver_interpreter();
    pmt_stack_has_own_gils = pmt_pyver_has_own_gils();
    if (found && pmt_stack_current_thread && do_offsets_hold(thread, frame)) {
        pmt_peak_expect_python();
        pmt_python_has_stacks = true;
        pmt_domains_know_stacks(row);
    } else
        pmt_capture_problem("the stacks of this Python cannot be read: allocations have no site");
}
