/* points.c: MEMPOINTs, the marks of memory that a program sets, and the list of them, MEMLOGS.
 *
 *    MEMPOINT(x) -> figure -> str(x), made unique -> table of points (own memory) -> MEMLOGS[i], made when asked for
 *                                    +-> a MSG row of the event log, a mark of the capture
 *
 * The figure is the live bytes of CPython's three allocator domains. The table is not in them: points add nothing to
 * what they measure. Behaviour: PYTHON-API.md, "Builtins". All state is protected by pmt_points_lock, since
 * interpreters with a GIL of their own share it. */
#include "pyhooks.h"

#include <string.h>

#include "format.h"
#include "sys.h"

#include "poison.h"

struct point {
    char *id; /* UTF-8; lone surrogates as three bytes each */
    uint32_t id_size;
    int64_t memory;
};

/* How often an ID was asked for; and that a name is taken. */
struct name {
    const char *text;
    uint32_t size, hash;
    uint32_t uses;
};

struct pmt_lock pmt_points_lock;
static struct point *points;
static size_t point_count, point_room;
static struct name *names; /* open addressing, a power of two, at most half full */
static size_t name_count, name_room;
static char *arena_at, *arena_end; /* text of the points; never given back, as points are not */

static char *take_text(size_t size)
{
    if ((size_t)(arena_end - arena_at) < size) {
        size_t chunk = size > 65536 ? (size + 4095) & ~(size_t)4095 : 65536;
        char *fresh = pmt_sys_pages(chunk);
        if (!fresh)
            return NULL;
        arena_at = fresh;
        arena_end = fresh + chunk;
    }
    char *text = arena_at;
    arena_at += size;
    return text;
}

static bool grow_points(void)
{
    size_t room = point_room ? point_room * 2 : 256;
    struct point *fresh = pmt_sys_pages(room * sizeof *fresh);
    if (!fresh)
        return false;
    if (points) {
        memcpy(fresh, points, point_count * sizeof *fresh);
        pmt_sys(SYS_munmap, (long)points, (long)(point_room * sizeof *points), 0, 0, 0, 0);
    }
    points = fresh;
    point_room = room;
    return true;
}

static uint32_t hash_text(const char *text, size_t size)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

static struct name *find_name(const char *text, size_t size, uint32_t hash)
{
    size_t at = hash & (name_room - 1);
    for (; names[at].text; at = (at + 1) & (name_room - 1))
        if (names[at].hash == hash && names[at].size == size && memcmp(names[at].text, text, size) == 0)
            break;
    return &names[at];
}

static bool grow_names(void)
{
    struct name *old = names;
    size_t old_room = name_room, room = name_room ? name_room * 2 : 256;
    struct name *fresh = pmt_sys_pages(room * sizeof *fresh);
    if (!fresh)
        return false;
    names = fresh;
    name_room = room;
    for (size_t i = 0; i < old_room; i++)
        if (old[i].text)
            *find_name(old[i].text, old[i].size, old[i].hash) = old[i];
    if (old)
        pmt_sys(SYS_munmap, (long)old, (long)(old_room * sizeof *old), 0, 0, 0, 0);
    return true;
}

/* The entry of a name, made if there is none; NULL without memory. `text` must stay. */
static struct name *name_entry(const char *text, size_t size)
{
    if (name_count * 2 >= name_room && !grow_names())
        return NULL;
    uint32_t hash = hash_text(text, size);
    struct name *name = find_name(text, size, hash);
    if (!name->text) {
        *name = (struct name){text, (uint32_t)size, hash, 0};
        name_count++;
    }
    return name;
}

static bool is_taken(const char *text, size_t size)
{
    return find_name(text, size, hash_text(text, size))->uses > 0;
}

/* "ID-n" with the first n from `uses` on that is not taken; in the arena. Its size, 0 without memory. */
static size_t make_unique(const char *id, size_t size, uint32_t uses, char **unique)
{
    struct pmt_text text;
    char *room = take_text(size + 12);
    if (!room)
        return 0;
    do {
        pmt_text_init(&text, room, size + 12);
        pmt_text_bytes(&text, id, size);
        pmt_text_format(&text, "-%u", uses++);
    } while (is_taken(room, text.total));
    *unique = room;
    return text.total;
}

static bool add_locked(char *id, size_t size, int64_t memory)
{
    if (point_count == point_room && !grow_points())
        return false;
    struct name *base = name_entry(id, size);
    if (!base)
        return false;
    base->uses++;
    if (base->uses > 1) {
        size = make_unique(id, size, base->uses, &id);
        struct name *unique = size ? name_entry(id, size) : NULL;
        if (!unique)
            return false;
        unique->uses++;
    }
    points[point_count++] = (struct point){id, (uint32_t)size, memory};
    return true;
}

/* Live bytes of CPython's allocator domains, all threads. Where they are not counted, what the process holds from
 * malloc and mmap, which moves in steps of pymalloc's arenas; that is said once. */
int64_t pmt_points_figure(void)
{
    static bool is_said;
    if (PMT_LIKELY(pmt_heap == PMT_HEAP_EXACT))
        return pmt_count_total(PMT_OWNER_PYTHON).bytes;
    int64_t mapped, regions;
    pmt_maps_total(&mapped, &regions);
    if (!is_said && point_count > 0)
        pmt_say(PMT_VERBOSE_PROBLEMS, "without --sites exact, MEMPOINT shows the bytes held from malloc and mmap");
    is_said |= point_count > 0;
    return pmt_count_total(PMT_OWNER_NATIVE).bytes + mapped;
}

/* Adds a point; `id` is copied. The program's own points are marks in the event log too. False without memory. */
bool pmt_points_add(const char *id, size_t size, int64_t memory)
{
    if (!pmt_lock_take(&pmt_points_lock))
        return false;
    char *copy = take_text(size ? size : 1);
    if (copy)
        memcpy(copy, id, size);
    bool is_added = copy && add_locked(copy, size, memory);
    struct point added = is_added ? points[point_count - 1] : (struct point){0};
    bool is_first = point_count == 1; /* made by pmt itself */
    pmt_lock_drop(&pmt_points_lock);
    if (is_added && !is_first) {
        pmt_log_mark("MEMPOINT ", added.id, added.id_size, memory);
        pmt_capture_mark(PMT_MARK_POINT, added.id, added.id_size, memory);
    }
    return is_added;
}

size_t pmt_points_count(void)
{
    return __atomic_load_n(&point_count, __ATOMIC_RELAXED);
}

/* Point number `index`, which exists; its text stays where it is. */
const char *pmt_points_get(size_t index, size_t *size, int64_t *memory)
{
    bool is_taken_now = pmt_lock_take(&pmt_points_lock);
    struct point point = points[index];
    if (is_taken_now)
        pmt_lock_drop(&pmt_points_lock);
    *size = point.id_size;
    *memory = point.memory;
    return point.id;
}

/* The first point under another name: a shim says what its import is called. */
void pmt_points_rename_first(const char *id)
{
    if (!pmt_lock_take(&pmt_points_lock))
        return;
    if (point_count > 0) {
        find_name(points[0].id, points[0].id_size, hash_text(points[0].id, points[0].id_size))->uses = 0;
        points[0].id = (char *)(uintptr_t)id;
        points[0].id_size = (uint32_t)strlen(id);
        struct name *name = name_entry(id, strlen(id));
        if (name)
            name->uses++;
    }
    pmt_lock_drop(&pmt_points_lock);
}
