/* site_table.c: finds the sum for a (function, file, line) of the log: a hash table with open addressing over an array
 * that keeps the order of appearance. */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static struct text copy_text(struct text text)
{
    size_t capacity = 0;
    char *copy = grow(NULL, &capacity, text.size + 1, 1);
    if (text.size)
        memcpy(copy, text.at, text.size);
    return (struct text){copy, text.size};
}

static void insert_slot(struct site_table *table, uint64_t hash, uint32_t value)
{
    size_t at = hash & (table->slot_count - 1);
    while (table->slots[at])
        at = (at + 1) & (table->slot_count - 1);
    table->slots[at] = value;
}

static void widen(struct site_table *table)
{
    size_t capacity = 0;
    free(table->slots);
    table->slots = grow(NULL, &capacity, table->slot_count ? table->slot_count * 2 : 1024, sizeof *table->slots);
    table->slot_count = capacity;
    memset(table->slots, 0, capacity * sizeof *table->slots);
    for (size_t i = 0; i < table->count; i++)
        insert_slot(table, table->sites[i].hash, (uint32_t)i + 1);
}

/* Names with their escapes undone; only those that have any are copied. */
static struct text unescape(struct text text, char **scratch)
{
    if (text.size == 0 || !memchr(text.at, '\\', text.size))
        return text;
    char *at = *scratch;
    size_t size = log_unescape(text, at);
    *scratch += size;
    return (struct text){at, size};
}

/* The site of these names, as they stand in the log, made if it is new. Valid until the next call. */
struct site *site_find(struct site_table *table, struct text file, struct text function, int64_t line)
{
    table->scratch = grow(table->scratch, &table->scratch_capacity, file.size + function.size + 1, 1);
    char *scratch = table->scratch;
    file = unescape(file, &scratch);
    function = unescape(function, &scratch);
    if (table->slot_count <= table->count * 2)
        widen(table);
    uint64_t hash = text_hash(text_hash((uint64_t)line * 0x9e3779b97f4a7c15u, function), file);
    for (size_t at = hash & (table->slot_count - 1); table->slots[at]; at = (at + 1) & (table->slot_count - 1)) {
        struct site *site = &table->sites[table->slots[at] - 1];
        if (site->hash == hash && site->line == line && text_equal(site->function, function) &&
            text_equal(site->file, file))
            return site;
    }
    table->sites = grow(table->sites, &table->capacity, table->count + 1, sizeof *table->sites);
    struct site *site = &table->sites[table->count++];
    *site = (struct site){.hash = hash, .file = copy_text(file), .function = copy_text(function), .line = line};
    insert_slot(table, hash, (uint32_t)table->count);
    return site;
}

void site_table_free(struct site_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free((void *)(uintptr_t)table->sites[i].file.at);
        free((void *)(uintptr_t)table->sites[i].function.at);
    }
    free(table->sites);
    free(table->slots);
    free(table->scratch);
}
