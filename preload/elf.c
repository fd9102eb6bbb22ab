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

static int read_load_count(struct dl_phdr_info *info, size_t size, void *count)
{
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs))
        *(uint64_t *)count = info->dlpi_adds;
    return 1;
}

/* Objects loaded since the process began. */
uint64_t pmt_elf_load_count(void)
{
    uint64_t count = 0;
    dl_iterate_phdr(read_load_count, &count);
    return count;
}
