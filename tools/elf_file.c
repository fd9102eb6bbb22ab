/* elf_file.c: what an ELF file says of itself, read by hand. The file may be cut, foreign or made to harm: every offset
 * and size is checked against the file before it is used, and nothing of it is run.
 *
 *   header -> program headers -> PT_INTERP, PT_DYNAMIC -> DT_NEEDED names
 *          -> section headers -> .dynsym, .symtab -> names of defined functions
 */
#include "tool.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TABLE_LIMIT = 256 << 20 }; /* bytes of one symbol or string table that are still looked at */

#define NATIVE_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define NATIVE_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

/* The structures of this tool's own class. */
typedef ElfW(Ehdr) elf_header;
typedef ElfW(Phdr) elf_segment;
typedef ElfW(Shdr) elf_section;
typedef ElfW(Sym) elf_symbol;
typedef ElfW(Dyn) elf_dynamic;

struct image {
    int fd;
    uint64_t size;
    elf_header header;
    elf_segment *segments; /* header.e_phnum of them */
};

/* The bytes [offset, offset + size) of the file with a NUL behind them, or NULL if it has no such bytes. */
static void *load(const struct image *image, uint64_t offset, uint64_t size)
{
    if (size > TABLE_LIMIT || offset > image->size || size > image->size - offset)
        return NULL;
    char *bytes = malloc((size_t)size + 1);
    for (size_t done = 0; bytes && done < size;) {
        ssize_t got = pread(image->fd, bytes + done, (size_t)size - done, (off_t)(offset + done));
        if (got <= 0) {
            free(bytes);
            return NULL;
        }
        done += (size_t)got;
    }
    if (bytes)
        bytes[size] = '\0';
    return bytes;
}

static const elf_segment *find_segment(const struct image *image, uint32_t type)
{
    for (unsigned i = 0; i < image->header.e_phnum; i++) {
        if (image->segments[i].p_type == type)
            return &image->segments[i];
    }
    return NULL;
}

/* Where in the file the loader's address is, or a place behind its end. */
static uint64_t file_offset(const struct image *image, uint64_t address)
{
    for (unsigned i = 0; i < image->header.e_phnum; i++) {
        const elf_segment *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD && address >= segment->p_vaddr && address - segment->p_vaddr < segment->p_filesz)
            return segment->p_offset + (address - segment->p_vaddr);
    }
    return UINT64_MAX;
}

static void read_interpreter(const struct image *image, struct elf_file *elf)
{
    const elf_segment *segment = find_segment(image, PT_INTERP);
    elf->has_interpreter = segment != NULL;
    char *name = segment ? load(image, segment->p_offset, segment->p_filesz) : NULL;
    if (segment && (!name || strlen(name) >= sizeof elf->interpreter))
        elf->damage = "its loader's name lies outside the file";
    else if (name)
        strcpy(elf->interpreter, name);
    free(name);
}

/* Looks for libpython* among the names of needed libraries. */
static void read_needed(const struct image *image, const elf_dynamic *entries, size_t count, struct elf_file *elf)
{
    uint64_t strings_at = 0, strings_size = 0;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].d_tag == DT_STRTAB)
            strings_at = entries[i].d_un.d_ptr;
        if (entries[i].d_tag == DT_STRSZ)
            strings_size = entries[i].d_un.d_val;
    }
    char *strings = load(image, file_offset(image, strings_at), strings_size);
    for (size_t i = 0; strings && i < count; i++) {
        if (entries[i].d_tag != DT_NEEDED || entries[i].d_un.d_val >= strings_size)
            continue;
        const char *name = strings + entries[i].d_un.d_val;
        if (strncmp(name, "libpython", 9) == 0)
            snprintf(elf->python_needed, sizeof elf->python_needed, "%s", name);
    }
    free(strings);
}

static void read_dynamic(const struct image *image, struct elf_file *elf)
{
    const elf_segment *segment = find_segment(image, PT_DYNAMIC);
    elf_dynamic *entries = segment ? load(image, segment->p_offset, segment->p_filesz) : NULL;
    if (entries)
        read_needed(image, entries, segment->p_filesz / sizeof *entries, elf);
    free(entries);
}

static void read_symbols(const elf_symbol *symbols, size_t count, const char *names, uint64_t names_size,
                         bool is_exported, struct elf_file *elf)
{
    for (size_t i = 0; i < count; i++) {
        if (symbols[i].st_shndx == SHN_UNDEF || symbols[i].st_name >= names_size)
            continue;
        const char *name = names + symbols[i].st_name;
        if (strcmp(name, "malloc") == 0) {
            elf->defines_malloc = true;
            elf->exports_malloc = elf->exports_malloc || is_exported;
        } else if (strcmp(name, "PyImport_Inittab") == 0) {
            elf->exports_python = true;
        }
    }
}

static void read_symbol_section(const struct image *image, const elf_section *sections, const elf_section *section,
                                struct elf_file *elf)
{
    if (section->sh_link >= image->header.e_shnum)
        return;
    const elf_section *strings = &sections[section->sh_link];
    elf_symbol *symbols = load(image, section->sh_offset, section->sh_size);
    char *names = load(image, strings->sh_offset, strings->sh_size);
    if (symbols && names)
        read_symbols(symbols, section->sh_size / sizeof *symbols, names, strings->sh_size,
                     section->sh_type == SHT_DYNSYM, elf);
    free(symbols);
    free(names);
}

static void read_sections(const struct image *image, struct elf_file *elf)
{
    unsigned count = image->header.e_shnum;
    if (image->header.e_shentsize != sizeof(elf_section))
        return;
    elf_section *sections = load(image, image->header.e_shoff, (uint64_t)count * sizeof(elf_section));
    for (unsigned i = 0; sections && i < count; i++) {
        if (sections[i].sh_type == SHT_DYNSYM || sections[i].sh_type == SHT_SYMTAB)
            read_symbol_section(image, sections, &sections[i], elf);
    }
    free(sections);
}

static void read_native(struct image *image, struct elf_file *elf)
{
    elf_header *header = load(image, 0, sizeof *header);
    if (header)
        image->header = *header;
    free(header);
    if (image->header.e_phentsize == sizeof(elf_segment))
        image->segments = load(image, image->header.e_phoff, (uint64_t)image->header.e_phnum * sizeof(elf_segment));
    if (!image->segments) {
        elf->damage = "its program headers lie outside the file";
        return;
    }
    read_interpreter(image, elf);
    read_dynamic(image, elf);
    read_sections(image, elf);
    free(image->segments);
}

static void read_identity(const struct image *image, struct elf_file *elf)
{
    unsigned char *bytes = load(image, 0, EI_NIDENT + 4);
    elf->is_elf = bytes && memcmp(bytes, ELFMAG, SELFMAG) == 0;
    if (elf->is_elf) {
        const unsigned char *machine = bytes + EI_NIDENT + 2;
        bool is_little = bytes[EI_DATA] == ELFDATA2LSB;
        elf->bits = bytes[EI_CLASS] == ELFCLASS64 ? 64 : 32;
        elf->machine = is_little ? machine[0] | (unsigned)machine[1] << 8 : machine[1] | (unsigned)machine[0] << 8;
        ElfW(Half) built_for =
#if defined __x86_64__
            EM_X86_64;
#elif defined __aarch64__
            EM_AARCH64;
#else
            EM_NONE;
#endif
        elf->is_native = bytes[EI_CLASS] == NATIVE_CLASS && bytes[EI_DATA] == NATIVE_ORDER &&
                         (built_for == EM_NONE || elf->machine == built_for);
    }
    free(bytes);
}

/* 0, or -errno if the file cannot be read. A file that is no ELF file is said to be none. */
int elf_file_read(const char *path, struct elf_file *elf)
{
    struct image image = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat st;
    *elf = (struct elf_file){0};
    if (image.fd < 0)
        return -errno;
    if (fstat(image.fd, &st) == 0 && S_ISREG(st.st_mode)) {
        image.size = (uint64_t)st.st_size;
        read_identity(&image, elf);
        if (elf->is_native)
            read_native(&image, elf);
    }
    close(image.fd);
    return 0;
}

const char *elf_machine_name(unsigned machine)
{
    static const struct {
        unsigned machine;
        const char *name;
    } names[] = {{EM_386, "i386"},    {EM_X86_64, "x86-64"},   {EM_ARM, "arm"},   {EM_AARCH64, "aarch64"},
                 {EM_RISCV, "riscv"}, {EM_PPC64, "powerpc64"}, {EM_S390, "s390"}, {EM_MIPS, "mips"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].machine == machine)
            return names[i].name;
    }
    return "another machine";
}
