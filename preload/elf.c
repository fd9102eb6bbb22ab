/* elf.c: symbols of loaded objects, read from the objects' own dynamic symbol tables.
 *
 *    dl_iterate_phdr -> PT_DYNAMIC -> DT_GNU_HASH | DT_HASH, DT_SYMTAB, DT_STRTAB, DT_VERSYM -> address
 *
 * dlsym would not do: a libpython loaded RTLD_LOCAL is invisible to it without a handle; its failure allocates, which
 * an allocator that is just being initialised does not survive, and leaves a message for the host's next dlerror(); and
 * it may wait for the loader's lock. Formats: the ELF gABI, and the GNU hash table
 * as in binutils' elflink.c (a Bloom filter, buckets, chains whose low bit marks the end). */
#include "core.h"

#include <elf.h>
#include <link.h>
#include <string.h>

#include "sys.h"

#include "poison.h"

#define VERSION_HIDDEN 0x8000

static bool is_within(const struct pmt_elf *object, const void *at)
{
    return (uintptr_t)at >= object->low && (uintptr_t)at < object->high;
}

/* glibc relocates the pointers of the dynamic section in place; where the section is read-only they are offsets. */
static const void *absolute(const struct pmt_elf *object, ElfW(Addr) value)
{
    uintptr_t at = value < object->base ? value + object->base : value;
    return is_within(object, (const void *)at) ? (const void *)at : NULL;
}

static void read_dynamic(struct pmt_elf *object, const ElfW(Dyn) * entry)
{
    for (; entry->d_tag != DT_NULL; entry++)
        switch (entry->d_tag) {
        case DT_SYMTAB: object->symbols = absolute(object, entry->d_un.d_ptr); break;
        case DT_STRTAB: object->strings = absolute(object, entry->d_un.d_ptr); break;
        case DT_HASH: object->hash = absolute(object, entry->d_un.d_ptr); break;
        case DT_GNU_HASH: object->gnu_hash = absolute(object, entry->d_un.d_ptr); break;
        case DT_VERSYM: object->versions = absolute(object, entry->d_un.d_ptr); break;
        default: break;
        }
}

/* False: the object has no symbols to read. */
static bool describe(const struct dl_phdr_info *info, struct pmt_elf *object)
{
    const ElfW(Dyn) *dynamic = NULL;
    *object = (struct pmt_elf){.base = info->dlpi_addr, .low = UINTPTR_MAX, .data_low = UINTPTR_MAX};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)start;
        if (header->p_type != PT_LOAD)
            continue;
        object->low = start < object->low ? start : object->low;
        object->high = start + header->p_memsz > object->high ? start + header->p_memsz : object->high;
        if (!(header->p_flags & PF_W))
            continue;
        object->data_low = start < object->data_low ? start : object->data_low;
        object->data_high = start + header->p_memsz;
    }
    if (!dynamic)
        return false;
    object->dynamic = dynamic;
    read_dynamic(object, dynamic);
    return object->symbols && object->strings && (object->gnu_hash || object->hash);
}

/* Whether symbol number `index` is `name`, defined, and the default version. */
static bool is_symbol(const struct pmt_elf *object, uint32_t index, const char *name)
{
    const ElfW(Sym) *symbol = (const ElfW(Sym) *)object->symbols + index;
    const ElfW(Versym) *versions = object->versions;
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 &&
           (!versions || !(versions[index] & VERSION_HIDDEN)) && strcmp(object->strings + symbol->st_name, name) == 0;
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* Symbol number, 0 if there is none. */
static uint32_t find_by_gnu_hash(const struct pmt_elf *object, const char *name)
{
    const uint32_t *table = object->gnu_hash;
    uint32_t bucket_count = table[0], first = table[1], bloom_count = table[2], bloom_shift = table[3];
    const ElfW(Addr) *bloom = (const ElfW(Addr) *)(const void *)(table + 4);
    const uint32_t *buckets = (const uint32_t *)(const void *)(bloom + bloom_count);
    const uint32_t *chains = buckets + bucket_count;
    uint32_t hash = gnu_hash(name), bits = sizeof(ElfW(Addr)) * 8;
    if (bucket_count == 0 || bloom_count == 0)
        return 0;
    ElfW(Addr) word = bloom[hash / bits % bloom_count];
    if (!(word >> hash % bits & word >> (hash >> bloom_shift) % bits & 1))
        return 0;
    for (uint32_t index = buckets[hash % bucket_count]; index >= first; index++) {
        uint32_t link = chains[index - first];
        if ((link | 1) == (hash | 1) && is_symbol(object, index, name))
            return index;
        if (link & 1)
            break;
    }
    return 0;
}

static uint32_t sysv_hash(const char *name)
{
    uint32_t hash = 0;
    for (; *name; name++) {
        hash = (hash << 4) + (unsigned char)*name;
        uint32_t high = hash & 0xf0000000;
        hash = (hash ^ high >> 24) & ~high;
    }
    return hash;
}

static uint32_t find_by_sysv_hash(const struct pmt_elf *object, const char *name)
{
    const uint32_t *table = object->hash, bucket_count = table[0];
    if (bucket_count == 0)
        return 0;
    for (uint32_t index = table[2 + sysv_hash(name) % bucket_count]; index; index = table[2 + bucket_count + index])
        if (is_symbol(object, index, name))
            return index;
    return 0;
}

/* Address of a function or variable that the object defines, NULL if it does not. */
void *pmt_elf_symbol(const struct pmt_elf *object, const char *name)
{
    uint32_t index = object->gnu_hash ? find_by_gnu_hash(object, name) : find_by_sysv_hash(object, name);
    if (!index)
        return NULL;
    const ElfW(Sym) *symbol = (const ElfW(Sym) *)object->symbols + index;
    void *address = (void *)(object->base + symbol->st_value);
    if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC)
        return ((void *(*)(void))address)();
    return address;
}

struct search {
    const char *symbol;
    struct pmt_elf *object;
    bool is_after_us, have_passed_us; /* only objects after this library in load order */
};

static int visit_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;
    struct pmt_text path;
    (void)size;
    bool has_symbols = describe(info, search->object), had_passed_us = search->have_passed_us;
    search->have_passed_us |= is_within(search->object, pmt_pool);
    if (!has_symbols || (search->is_after_us && !had_passed_us) || !pmt_elf_symbol(search->object, search->symbol))
        return 0;
    pmt_text_init(&path, search->object->path, sizeof search->object->path);
    pmt_text_string(&path, info->dlpi_name ? info->dlpi_name : "");
    pmt_text_end(&path);
    return 1;
}

/* The first loaded object, in load order, that defines `symbol`. */
bool pmt_elf_find(const char *symbol, struct pmt_elf *object)
{
    struct search search = {.symbol = symbol, .object = object};
    return dl_iterate_phdr(visit_object, &search) == 1;
}

/* The first one after this library: what RTLD_NEXT means. */
bool pmt_elf_find_next(const char *symbol, struct pmt_elf *object)
{
    struct search search = {.symbol = symbol, .object = object, .is_after_us = true};
    return dl_iterate_phdr(visit_object, &search) == 1;
}

/* ---- references */

struct references {
    const ElfW(Rela) * entries;
    size_t count;
};

/* What is bound to symbols of other objects: calls (which = 0), and all else (1). The relative ones come first. */
static struct references find_references(const struct pmt_elf *object, int which)
{
    static const ElfW(Sxword) tags[][2] = {{DT_JMPREL, DT_PLTRELSZ}, {DT_RELA, DT_RELASZ}};
    struct references found = {NULL, 0};
    size_t relative = 0;
    for (const ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == tags[which][0])
            found.entries = absolute(object, entry->d_un.d_ptr);
        else if (entry->d_tag == tags[which][1])
            found.count = entry->d_un.d_val / sizeof *found.entries;
        else if (entry->d_tag == DT_RELACOUNT && which == 1)
            relative = entry->d_un.d_val;
    if (!found.entries || relative > found.count)
        return (struct references){NULL, 0};
    return (struct references){found.entries + relative, found.count - relative};
}

/* Some of what is bound at start-up is read-only afterwards. */
static void write_slot(const struct dl_phdr_info *info, void **slot, void *value)
{
    uintptr_t at = (uintptr_t)slot, page = at & ~((uintptr_t)pmt_page_size - 1);
    bool is_read_only = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        is_read_only |= header->p_type == PT_GNU_RELRO && at - info->dlpi_addr - header->p_vaddr < header->p_memsz;
    }
    if (is_read_only && pmt_sys(SYS_mprotect, (long)page, pmt_page_size, PROT_READ | PROT_WRITE, 0, 0, 0) < 0)
        return;
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    if (is_read_only)
        pmt_sys(SYS_mprotect, (long)page, pmt_page_size, PROT_READ, 0, 0, 0);
}

struct redirection {
    const struct pmt_redirect *table;
    size_t count;
    const struct pmt_elf *definer;
    size_t index, first, first_unready; /* of objects, from 1; those before `first` have been looked at */
};

/* False: the reference is not bound yet. A call that is bound when it is first made goes through the object's own table
 * until then. */
static bool redirect(const struct dl_phdr_info *info, const struct pmt_elf *object, const ElfW(Rela) * entry,
                     const struct redirection *walk)
{
    const ElfW(Sym) *symbol = (const ElfW(Sym) *)object->symbols + ELF64_R_SYM(entry->r_info);
    uint64_t type = ELF64_R_TYPE(entry->r_info);
    void **slot = (void **)(object->base + entry->r_offset);
    if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64) ||
        symbol->st_shndx != SHN_UNDEF || !is_within(object, slot))
        return true;
    for (size_t i = 0; i < walk->count; i++) {
        if (strcmp(object->strings + symbol->st_name, walk->table[i].name) != 0)
            continue;
        void *bound = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
        if (bound == walk->table[i].from || (type == R_X86_64_JUMP_SLOT && is_within(object, bound)))
            write_slot(info, slot, walk->table[i].to);
        return bound && (object->base == 0 || !is_within(object, (char *)bound + object->base));
    }
    return true;
}

static int redirect_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct redirection *walk = data;
    struct pmt_elf object;
    bool is_ready = true;
    (void)size;
    if (walk->index++ < walk->first || !describe(info, &object) || object.low == walk->definer->low)
        return 0;
    for (int which = 0; which < 2; which++) {
        struct references references = find_references(&object, which);
        for (size_t i = 0; i < references.count; i++)
            is_ready &= redirect(info, &object, &references.entries[i], walk);
    }
    if (!is_ready && walk->first_unready == 0)
        walk->first_unready = walk->index;
    return 0;
}

static int read_counts(struct dl_phdr_info *info, size_t size, void *counts)
{
    if (size >= offsetof(struct dl_phdr_info, dlpi_tls_modid))
        memcpy(counts, (uint64_t[2]){info->dlpi_adds, info->dlpi_subs}, 2 * sizeof(uint64_t));
    return 1;
}

/* References of loaded objects to functions of `definer` are made to lead elsewhere, as the table says, for objects
 * that have been loaded since the last call. False: the loader is not through with one of them; it will be looked at
 * again. Not for two threads at a time. */
bool pmt_elf_redirect(const struct pmt_redirect *table, size_t count, const struct pmt_elf *definer)
{
    static size_t looked_at;
    static uint64_t unloads;
    uint64_t counts[2] = {0, 0};
    dl_iterate_phdr(read_counts, counts);
    struct redirection walk = {table, count, definer, 0, counts[1] == unloads ? looked_at : 0, 0};
    unloads = counts[1];
    dl_iterate_phdr(redirect_object, &walk);
    looked_at = walk.first_unready ? walk.first_unready - 1 : walk.index;
    return walk.first_unready == 0;
}

/* Objects loaded since the process began. */
uint64_t pmt_elf_load_count(void)
{
    uint64_t counts[2] = {0, 0};
    dl_iterate_phdr(read_counts, counts);
    return counts[0];
}
