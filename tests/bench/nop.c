/* The floor of every overhead figure: a preload library that interposes the malloc family and only forwards. What a
 * profiler costs more than this is its own doing.
 *
 * Each pointer starts at a resolver that looks the family up and forwards the first call, so that afterwards a call
 * costs one indirect jump and no test. dlsym(RTLD_NEXT) of glibc does not allocate for names that exist. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

/* NAME, result, parameters, arguments */
#define FAMILY(X)                                                                                                      \
    X(malloc, void *, (size_t size), (size))                                                                           \
    X(calloc, void *, (size_t n, size_t size), (n, size))                                                              \
    X(realloc, void *, (void *p, size_t size), (p, size))                                                              \
    X(reallocarray, void *, (void *p, size_t n, size_t size), (p, n, size))                                            \
    X(free, void, (void *p), (p))                                                                                      \
    X(posix_memalign, int, (void **p, size_t alignment, size_t size), (p, alignment, size))                            \
    X(aligned_alloc, void *, (size_t alignment, size_t size), (alignment, size))                                       \
    X(memalign, void *, (size_t alignment, size_t size), (alignment, size))                                            \
    X(valloc, void *, (size_t size), (size))                                                                           \
    X(pvalloc, void *, (size_t size), (size))                                                                          \
    X(malloc_usable_size, size_t, (void *p), (p))

static void resolve(void);

#define DEFINE(name, result, parameters, arguments)                                                                    \
    extern result name parameters;                                                                                     \
    static result first_##name parameters;                                                                             \
    static result(*next_##name) parameters = first_##name;                                                             \
    static result first_##name parameters                                                                              \
    {                                                                                                                  \
        resolve();                                                                                                     \
        return next_##name arguments;                                                                                  \
    }                                                                                                                  \
    result name parameters                                                                                             \
    {                                                                                                                  \
        return next_##name arguments;                                                                                  \
    }
FAMILY(DEFINE)

/* A name that the next allocator lacks would leave its resolver in place and loop: better to end at once here. */
#define RESOLVE(name, result, parameters, arguments)                                                                   \
    *(void **)&next_##name = dlsym(RTLD_NEXT, #name);                                                                  \
    if (!next_##name)                                                                                                  \
        __builtin_trap();

static void resolve(void)
{
    FAMILY(RESOLVE)
}
