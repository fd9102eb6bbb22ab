/* sites.c: an independent account of who holds a Python program's memory, to judge captures by. As plain as can be: one
 * lock, one hash table of live blocks, each with its size and its stack; a stack is a text, made anew by CPython's own
 * functions at every single allocation; nothing is remembered of any code object.
 *
 *   CPython's three domains -> libpmt.so -> libsites.so -> pymalloc     a block, its size, its Python stack
 *   malloc family           -> libpmt.so -> libsites.so -> libc         a block and its size: stack 0, "native"
 *
 * A block belongs to the outermost layer that was asked for it, at the stack of that moment. A realloc is the end of
 * one block and the beginning of another; of nothing, it allocates. Temporary: freed by the thread that allocated it,
 * which has allocated nothing in between; reallocs are neither. At the peak: what was live when the bytes of all
 * stacks, native too, were most, the first time; copied whole, before the total falls from a new height.
 *
 * From CPython 3.11 on its functions make frame objects. They are made inside a call that we stand in, and are
 * nobody's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DOMAINS = 3, LAYERS = 4 * DOMAINS, TEXT_MAX = 1 << 20 };
enum { BLOCKS = 1 << 23, STACKS = 1 << 19, STACK_SLOTS = 4 * STACKS };
enum { NATIVE, NO_THREAD, FIRST_STACK }; /* stacks; NO_THREAD: of Python's allocators, called without the GIL */
static const size_t TEXTS = (size_t)16 << 30;

struct allocator { /* PyMemAllocatorEx */
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
};

struct block {
    uintptr_t address; /* 0: free slot */
    size_t size;
    uint64_t serial;
    uint32_t stack;
};

enum { LIVE_BYTES, LIVE_BLOCKS, PEAK_BYTES, TOTAL_BYTES, TOTAL_BLOCKS, TEMPORARY_BLOCKS, FIGURES };
static const char *const figure_names[] = {"live_bytes",  "live_blocks",  "peak_bytes",
                                           "total_bytes", "total_blocks", "temporary_blocks"};

struct stack {
    const char *text; /* JSON */
    size_t length;
    int64_t figures[FIGURES];
};

struct text {
    char *at, *end;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Protected by lock; that there is a stack, and its text, by the GIL. */
static struct block *blocks;
static struct stack *stacks;
static int64_t total_bytes, peak_bytes;
static int is_at_peak; /* and stacks[].peak_bytes do not show it yet */
static uint64_t serial;

static struct allocator layers[LAYERS];
static int layer_count, is_watching;
static size_t depth_limit = 64;
#define OWN static __thread __attribute__((tls_model("initial-exec")))
OWN int inside;           /* a call of an outer layer, or of our own into Python */
OWN int was_reached;      /* by an allocation, of those that wrap() looks at */
OWN uint64_t last_serial; /* of the block that this thread allocated last */
/* Protected by the GIL. */
static uint32_t *stack_slots, stack_count = FIRST_STACK;
static char *buffer, *texts;
static size_t texts_used;

/* ---- CPython's functions; all are public. Frames of 3.6 to 3.8 are read, by the layout in its public header. */

typedef void object;
#define FUNCTIONS(F)                                                                                                   \
    F(Py_GetVersion, const char *, (void))                                                                             \
    F(Py_IsInitialized, int, (void))                                                                                   \
    F(PyMem_GetAllocator, void, (int, struct allocator *))                                                             \
    F(PyMem_SetAllocator, void, (int, struct allocator *))                                                             \
    F(PyThreadState_GetUnchecked, object *, (void))                                                                    \
    F(_PyThreadState_UncheckedGet, object *, (void))                                                                   \
    F(PyGILState_GetThisThreadState, object *, (void))                                                                 \
    F(PyEval_GetFrame, object *, (void))                                                                               \
    F(PyThreadState_GetFrame, object *, (object *))                                                                    \
    F(PyFrame_GetBack, object *, (object *))                                                                           \
    F(PyFrame_GetCode, object *, (object *))                                                                           \
    F(PyFrame_GetLineNumber, int, (object *))                                                                          \
    F(PyObject_GetAttrString, object *, (object *, const char *))                                                      \
    F(PyMember_GetOne, object *, (const char *, void *))                                                               \
    F(PyLong_AsLong, long, (object *))                                                                                 \
    F(PyUnicode_GetLength, ssize_t, (object *))                                                                        \
    F(PyUnicode_ReadChar, uint32_t, (object *, ssize_t))                                                               \
    F(Py_DecRef, void, (object *))                                                                                     \
    F(PyGC_Disable, int, (void))                                                                                       \
    F(PyGC_Enable, int, (void))                                                                                        \
    F(PyCode_Type, void, (void))
static struct {
#define F(name, type, parameters) type(*name) parameters;
    FUNCTIONS(F)
#undef F
} py;

/* Up to 3.8 f_back and f_code follow PyObject_VAR_HEAD. */
static object *back_of(object *frame)
{
    object *back = py.PyFrame_GetBack ? py.PyFrame_GetBack(frame) : ((object **)frame)[3];
    if (py.PyFrame_GetBack)
        py.Py_DecRef(frame);
    return back;
}

static object *code_of(object *frame)
{
    return py.PyFrame_GetCode ? py.PyFrame_GetCode(frame) : ((object **)frame)[4];
}

/* ---- a stack as text: [["file", first line, line, "function"], ...], innermost first; null at its end: cut */

static void put(struct text *text, const char *bytes)
{
    size_t size = strlen(bytes);
    if ((size_t)(text->end - text->at) < size)
        abort();
    memcpy(text->at, bytes, size);
    text->at += size;
}

static void put_number(struct text *text, const char *format, long number)
{
    char digits[32];
    snprintf(digits, sizeof digits, format, number);
    put(text, digits);
}

static void put_string(struct text *text, object *string)
{
    put(text, "\"");
    for (ssize_t i = 0, length = py.PyUnicode_GetLength(string); i < length; i++) {
        long character = py.PyUnicode_ReadChar(string, i);
        if (character > 0xffff) {
            put_number(text, "\\u%04lx", 0xd800 + ((character - 0x10000) >> 10));
            put_number(text, "\\u%04lx", 0xdc00 + (character & 0x3ff));
        } else if (character < ' ' || character > '~' || character == '"' || character == '\\')
            put_number(text, "\\u%04lx", character);
        else if (text->at < text->end)
            *text->at++ = (char)character;
    }
    put(text, "\"");
}

/* By the descriptor of its type (PyMemberDescrObject), found once: looking attributes up by name changes a cache, which
 * may free a string. */
static object *member_of(object *code, const char *name, void **member)
{
    if (!*member) {
        object *descriptor = py.PyObject_GetAttrString((object *)(uintptr_t)py.PyCode_Type, name);
        *member = ((void **)descriptor)[5];
    }
    return py.PyMember_GetOne(code, *member);
}

static void put_frame(struct text *text, object *frame)
{
    static void *file_member, *function_member, *first_line_member;
    object *code = code_of(frame);
    object *file = member_of(code, "co_filename", &file_member);
    object *function = member_of(code, "co_name", &function_member);
    object *first_line = member_of(code, "co_firstlineno", &first_line_member);
    int line = py.PyFrame_GetLineNumber(frame);
    put(text, "[");
    put_string(text, file);
    put_number(text, ",%ld", py.PyLong_AsLong(first_line));
    put_number(text, ",%ld,", line > 0 ? line : 0);
    put_string(text, function);
    put(text, "]");
    py.Py_DecRef(file);
    py.Py_DecRef(function);
    py.Py_DecRef(first_line);
    if (py.PyFrame_GetCode)
        py.Py_DecRef(code);
}

static void put_frames(struct text *text, object *thread)
{
    object *frame = py.PyThreadState_GetFrame ? py.PyThreadState_GetFrame(thread) : py.PyEval_GetFrame();
    size_t count = 0;
    put(text, "[");
    for (; frame && count < depth_limit; frame = back_of(frame)) {
        put(text, count++ ? "," : "");
        put_frame(text, frame);
    }
    if (frame && py.PyFrame_GetBack)
        py.Py_DecRef(frame);
    put(text, frame ? ",null]" : "]");
}

static uint32_t find_stack(const char *text, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    size_t at = (hash ^ hash >> 29) % STACK_SLOTS;
    for (; stack_slots[at]; at = (at + 1) % STACK_SLOTS) {
        const struct stack *stack = &stacks[stack_slots[at]];
        if (stack->length == length && memcmp(stack->text, text, length) == 0)
            return stack_slots[at];
    }
    if (stack_count == STACKS || texts_used + length > TEXTS)
        abort();
    stacks[stack_count].text = memcpy(texts + texts_used, text, length);
    stacks[stack_count].length = length;
    texts_used += length;
    return stack_slots[at] = stack_count++;
}

/* Called inside a call of an allocator. A garbage collection must not begin there: before 3.12 a new frame object may
 * begin one. */
static uint32_t stack_of_now(void)
{
    object *thread = py.PyThreadState_GetUnchecked ? py.PyThreadState_GetUnchecked() : py._PyThreadState_UncheckedGet();
    if (!thread || thread != py.PyGILState_GetThisThreadState())
        return NO_THREAD;
    struct text text = {buffer, buffer + TEXT_MAX};
    int error = errno, was_enabled = py.PyGC_Disable ? py.PyGC_Disable() : 0;
    put_frames(&text, thread);
    if (was_enabled)
        py.PyGC_Enable();
    uint32_t stack = find_stack(buffer, (size_t)(text.at - buffer));
    errno = error;
    return stack;
}

/* ---- the table of blocks: linear probing; deletion moves later entries up, so that there are no tombstones */

static size_t slot_of(uintptr_t address)
{
    return (size_t)((address >> 3) * 0x9e3779b97f4a7c15u >> 41) & (BLOCKS - 1);
}

static void delete_locked(size_t hole)
{
    for (size_t at = (hole + 1) & (BLOCKS - 1); blocks[at].address; at = (at + 1) & (BLOCKS - 1))
        if (((at - slot_of(blocks[at].address)) & (BLOCKS - 1)) >= ((at - hole) & (BLOCKS - 1))) {
            blocks[hole] = blocks[at];
            hole = at;
        }
    blocks[hole].address = 0;
}

static void *reserve(size_t size)
{
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        abort();
    return start;
}

/* At the first allocation of the process, which has one thread then. */
static void make_tables(void)
{
    if (blocks)
        return;
    stacks = reserve(STACKS * sizeof *stacks);
    stack_slots = reserve(STACK_SLOTS * sizeof *stack_slots);
    texts = reserve(TEXTS);
    buffer = reserve(TEXT_MAX);
    stacks[NATIVE].text = "\"native\"", stacks[NATIVE].length = 8;
    stacks[NO_THREAD].text = "\"no thread\"", stacks[NO_THREAD].length = 11;
    blocks = reserve(BLOCKS * sizeof *blocks);
}

/* The total is about to change: if it stands at its highest, that is kept. */
static void leave_peak_locked(void)
{
    for (uint32_t i = 0; is_at_peak && i < stack_count; i++)
        stacks[i].figures[PEAK_BYTES] = stacks[i].figures[LIVE_BYTES];
    is_at_peak = 0;
}

static void add_locked(uint32_t stack, int64_t bytes, int64_t blocks)
{
    stacks[stack].figures[LIVE_BYTES] += bytes;
    stacks[stack].figures[LIVE_BLOCKS] += blocks;
    total_bytes += bytes;
    if (total_bytes > peak_bytes) {
        peak_bytes = total_bytes;
        is_at_peak = 1;
    }
}

/* Returns the block's serial number. */
static uint64_t enter(void *block, size_t size, uint32_t stack)
{
    pthread_mutex_lock(&lock);
    size_t at = slot_of((uintptr_t)block);
    while (blocks[at].address) {
        if (blocks[at].address == (uintptr_t)block)
            abort(); /* handed out twice: something passed us by */
        at = (at + 1) & (BLOCKS - 1);
    }
    uint64_t mine = ++serial;
    blocks[at] = (struct block){(uintptr_t)block, size, mine, stack};
    add_locked(stack, (int64_t)size, 1);
    stacks[stack].figures[TOTAL_BYTES] += (int64_t)size;
    stacks[stack].figures[TOTAL_BLOCKS]++;
    pthread_mutex_unlock(&lock);
    return mine;
}

/* True if the block was known; then it is no more, and *gone is what it was. */
static int take_out(void *block, struct block *gone)
{
    if (!block || !blocks)
        return 0;
    pthread_mutex_lock(&lock);
    size_t at = slot_of((uintptr_t)block);
    while (blocks[at].address && blocks[at].address != (uintptr_t)block)
        at = (at + 1) & (BLOCKS - 1);
    int is_known = blocks[at].address != 0;
    if (is_known) {
        *gone = blocks[at];
        if (gone->size > 0)
            leave_peak_locked();
        add_locked(gone->stack, -(int64_t)gone->size, -1);
        delete_locked(at);
    }
    pthread_mutex_unlock(&lock);
    return is_known;
}

static void put_back(const struct block *gone)
{
    enter((void *)gone->address, gone->size, gone->stack);
    pthread_mutex_lock(&lock);
    stacks[gone->stack].figures[TOTAL_BYTES] -= (int64_t)gone->size;
    stacks[gone->stack].figures[TOTAL_BLOCKS]--;
    pthread_mutex_unlock(&lock);
}

static void note_free(void *block)
{
    struct block gone;
    if (take_out(block, &gone) && gone.serial == last_serial) {
        pthread_mutex_lock(&lock);
        stacks[gone.stack].figures[TEMPORARY_BLOCKS]++;
        pthread_mutex_unlock(&lock);
    }
}

/* ---- the domains; `context` is the allocator below */

static uint64_t note_python(void *block, size_t size)
{
    if (!block || inside)
        return last_serial;
    inside++;
    uint32_t stack = stack_of_now();
    inside--;
    return enter(block, size, stack);
}

static void *domain_malloc(void *context, size_t size)
{
    struct allocator *below = context;
    was_reached = 1;
    inside++;
    void *block = below->malloc(below->context, size);
    inside--;
    last_serial = note_python(block, size);
    return block;
}

static void *domain_calloc(void *context, size_t count, size_t size)
{
    struct allocator *below = context;
    inside++;
    void *block = below->calloc(below->context, count, size);
    inside--;
    last_serial = note_python(block, count * size);
    return block;
}

static void *domain_realloc(void *context, void *block, size_t size)
{
    struct allocator *below = context;
    struct block gone;
    int is_known = take_out(block, &gone);
    inside++;
    void *fresh = below->realloc(below->context, block, size);
    inside--;
    if (!fresh && is_known)
        put_back(&gone);
    uint64_t fresh_serial = note_python(fresh, size);
    if (!block)
        last_serial = fresh_serial;
    return fresh;
}

static void domain_free(void *context, void *block)
{
    struct allocator *below = context;
    note_free(block);
    inside++;
    below->free(below->context, block);
    inside--;
}

/* ---- being there. CPython 3.6 sets its allocators twice before it starts, above all wrappers: until it has started,
 * every call of malloc looks whether we are still there, as pmt's do. Later versions put nothing but the raw one aside,
 * and that for moments. */

static void wrap(int domain)
{
    struct allocator *below = &layers[layer_count++];
    if (layer_count > LAYERS)
        abort();
    py.PyMem_GetAllocator(domain, below);
    py.PyMem_SetAllocator(domain,
                          &(struct allocator){below, domain_malloc, domain_calloc, domain_realloc, domain_free});
}

/* Domain by domain: the raw one is below the others. */
static void look(void)
{
    struct allocator top;
    if (!is_watching)
        return;
    is_watching = 0;
    int is_last = py.Py_IsInitialized();
    for (int domain = DOMAINS; domain-- > 0;) {
        py.PyMem_GetAllocator(domain, &top);
        was_reached = 0;
        top.free(top.context, top.malloc(top.context, 1));
        if (!was_reached)
            wrap(domain);
    }
    is_watching = !is_last;
}

/* ---- the malloc family of libc, whose own names need no looking up */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static void *note_native(void *block, size_t size)
{
    if (!block || inside)
        return block;
    int error = errno;
    make_tables();
    look();
    last_serial = enter(block, size, NATIVE);
    errno = error;
    return block;
}

void *malloc(size_t size)
{
    return note_native(__libc_malloc(size), size);
}

void *calloc(size_t count, size_t size)
{
    return note_native(__libc_calloc(count, size), count * size);
}

void free(void *block)
{
    note_free(block);
    __libc_free(block);
}

void *realloc(void *block, size_t size)
{
    struct block gone;
    int is_known = take_out(block, &gone);
    uint64_t last = last_serial;
    void *fresh = __libc_realloc(block, size);
    if (!fresh && is_known && size > 0)
        put_back(&gone);
    note_native(fresh, size);
    if (block)
        last_serial = last;
    return fresh;
}

void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    return realloc(block, __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes);
}

void *memalign(size_t alignment, size_t size)
{
    return note_native(__libc_memalign(alignment, size), size);
}

void *aligned_alloc(size_t, size_t) __attribute__((alias("memalign")));

void *valloc(size_t size)
{
    return memalign(4096, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    void *fresh = memalign(alignment, size);
    if (fresh)
        *block = fresh;
    return fresh ? 0 : ENOMEM;
}

__attribute__((constructor)) static void start(void)
{
#define F(name, type, parameters) *(void **)&py.name = dlsym(RTLD_DEFAULT, #name);
    FUNCTIONS(F)
#undef F
    if (getenv("ORACLE_DEPTH"))
        depth_limit = (size_t)atoi(getenv("ORACLE_DEPTH"));
}

typedef int start_function(int (*)(), int, char **, void (*)(), void (*)(), void (*)(), void *);
start_function __libc_start_main;

/* All constructors have run: pmt has wrapped CPython's own allocators, and so knows them. Now we do, and at the next
 * allocation, at each of which it looks, pmt comes on top. */
int __libc_start_main(int (*main)(), int count, char **words, void (*a)(), void (*b)(), void (*c)(), void *stack)
{
    start_function *next;
    *(void **)&next = dlsym(RTLD_NEXT, "__libc_start_main");
    for (int domain = 0; domain < DOMAINS && py.PyMem_SetAllocator; domain++)
        wrap(domain);
    free(malloc(1));
    is_watching = py.PyMem_SetAllocator && strncmp(py.Py_GetVersion(), "3.6.", 4) == 0;
    return next(main, count, words, a, b, c, stack);
}

/* ---- what is told: a line of JSON for each stack, and a last one */

void oracle_dump(const char *path);
void oracle_end(const char *path);

static void put_stack(struct text *text, const struct stack *stack)
{
    if ((size_t)(text->end - text->at) < stack->length + 1024)
        abort();
    put(text, "{\"stack\":");
    text->at = (char *)memcpy(text->at, stack->text, stack->length) + stack->length;
    for (int i = 0; i < FIGURES; i++) {
        put(text, ",\"");
        put(text, figure_names[i]);
        put_number(text, "\":%ld", stack->figures[i]);
    }
    put(text, "}\n");
}

/* Allocates nothing. For ctypes.PyDLL, which keeps the GIL. */
void oracle_dump(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    size_t size = (size_t)1 << 32;
    char *start = reserve(size);
    struct text text = {start, start + size};
    pthread_mutex_lock(&lock);
    int was_at_peak = is_at_peak;
    leave_peak_locked();
    is_at_peak = was_at_peak;
    for (uint32_t i = 0; i < stack_count; i++)
        if (stacks[i].figures[TOTAL_BLOCKS] > 0)
            put_stack(&text, &stacks[i]);
    put_number(&text, "{\"peak_bytes\":%ld}\n", peak_bytes);
    pthread_mutex_unlock(&lock);
    for (char *at = start; at < text.at;) {
        ssize_t written = write(file, at, (size_t)(text.at - at));
        if (written <= 0)
            abort();
        at += written;
    }
    close(file);
    munmap(start, size);
}

/* The process ends at this very moment. */
void oracle_end(const char *path)
{
    oracle_dump(path);
    _exit(0);
}
