/* intern.c: gives what is equal one ID: hash tables with open addressing over arrays that keep the order of appearance.
 */
#include "profile.h"

#include <stdlib.h>
#include <string.h>

/* Room for one more: more than half of the slots stay free. True if they were emptied: all IDs have to go in again. */
static bool widen(uint32_t **slots, size_t *slot_count, size_t count)
{
    if (*slot_count > count * 2 + 2)
        return false;
    size_t capacity = 0;
    free(*slots);
    *slots = grow(NULL, &capacity, *slot_count ? *slot_count * 2 : 1024, sizeof **slots);
    *slot_count = capacity;
    memset(*slots, 0, capacity * sizeof **slots);
    return true;
}

static void insert(uint32_t *slots, size_t slot_count, uint64_t hash, size_t id)
{
    size_t at = hash & (slot_count - 1);
    while (slots[at])
        at = (at + 1) & (slot_count - 1);
    slots[at] = (uint32_t)id + 1;
}

static uint64_t hash_key(struct key key)
{
    uint64_t hash = ((uint64_t)key.part[0] << 32 | key.part[1]) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 29 ^ ((uint64_t)key.part[2] << 32 | key.part[3])) * 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

uint32_t intern_key(struct key_table *table, struct key key)
{
    if (widen(&table->slots, &table->slot_count, table->count)) {
        for (size_t i = 0; i < table->count; i++)
            insert(table->slots, table->slot_count, hash_key(table->keys[i]), i);
    }
    uint64_t hash = hash_key(key);
    for (size_t at = hash & (table->slot_count - 1); table->slots[at]; at = (at + 1) & (table->slot_count - 1)) {
        uint32_t id = table->slots[at] - 1;
        if (memcmp(&table->keys[id], &key, sizeof key) == 0)
            return id;
    }
    table->keys = grow(table->keys, &table->capacity, table->count + 1, sizeof *table->keys);
    table->keys[table->count] = key;
    insert(table->slots, table->slot_count, hash, table->count);
    return (uint32_t)table->count++;
}

static uint64_t hash_text(struct text text)
{
    return text_hash(0xcbf29ce484222325u, text);
}

uint32_t intern_text(struct text_table *table, struct text text)
{
    if (widen(&table->slots, &table->slot_count, table->count)) {
        for (size_t i = 0; i < table->count; i++)
            insert(table->slots, table->slot_count, hash_text(table->texts[i]), i);
    }
    uint64_t hash = hash_text(text);
    for (size_t at = hash & (table->slot_count - 1); table->slots[at]; at = (at + 1) & (table->slot_count - 1)) {
        uint32_t id = table->slots[at] - 1;
        if (text_equal(table->texts[id], text))
            return id;
    }
    table->texts = grow(table->texts, &table->capacity, table->count + 1, sizeof *table->texts);
    table->texts[table->count] = text;
    insert(table->slots, table->slot_count, hash, table->count);
    return (uint32_t)table->count++;
}

void key_table_free(struct key_table *table)
{
    free(table->keys);
    free(table->slots);
}

void text_table_free(struct text_table *table)
{
    free(table->texts);
    free(table->slots);
}
