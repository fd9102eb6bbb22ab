/* site_string.c: file names, names of functions and labels, each once.
 *
 *    | length | bytes, zeros up to a multiple of 4 | length | ...        a stream, in chunks that a string may cross
 *
 * It is what the capture writes. A table of table.h: the record is a byte, a string's ID that of its first. */
#include "site.h"

#include <string.h>

#include "sys.h"
#include "table.h"

#include "poison.h"

#define CHUNK_BITS 16
#define CHUNK ((size_t)1 << CHUNK_BITS)
#define SIZE_MAX_OF_ONE ((size_t)32 << 10) /* a longer one is cut */

struct string {
    const char *bytes;
    size_t size;
};

static uint64_t hash_at(uint32_t id);
static uint32_t room_of_key(const void *key);
static void write_locked(uint32_t id, const void *key);

static void *chunks[PMT_STRINGS_MAX >> CHUNK_BITS];
struct pmt_table pmt_site_strings = {.limit = PMT_STRINGS_MAX,
                                     .record_size = 1,
                                     .chunk_bits = CHUNK_BITS,
                                     .chunks = chunks,
                                     .hash = hash_at,
                                     .size = room_of_key,
                                     .write_locked = write_locked};

_Static_assert(PMT_TABLE_NONE == PMT_NO_STRING && PMT_TABLE_NONE == PMT_NO_FUNCTION, "nothing is nothing everywhere");

static size_t room_of(size_t size)
{
    return sizeof(uint32_t) + ((size + 3) & ~(size_t)3);
}

static char *byte_at(size_t offset)
{
    return (char *)chunks[offset >> CHUNK_BITS] + (offset & (CHUNK - 1));
}

/* The bytes from `offset` on that lie together in memory, `size` at most. */
static size_t piece_size(size_t offset, size_t size)
{
    size_t together = CHUNK - (offset & (CHUNK - 1));
    return size < together ? size : together;
}

static uint32_t size_at(uint32_t id)
{
    uint32_t size;
    memcpy(&size, byte_at(id), sizeof size); /* a chunk ends at a multiple of 4 */
    return size;
}

/* FNV-1a, 64 bits, and a last step that brings the low bits up. */
static uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_string(const struct string *string)
{
    return hash_bytes(0xcbf29ce484222325u, string->bytes, string->size) * 0x9e3779b97f4a7c15u;
}

static uint64_t hash_at(uint32_t id)
{
    uint64_t hash = 0xcbf29ce484222325u;
    size_t offset = id + sizeof(uint32_t), left = size_at(id), piece;
    for (; left; offset += piece, left -= piece) {
        piece = piece_size(offset, left);
        hash = hash_bytes(hash, byte_at(offset), piece);
    }
    return hash * 0x9e3779b97f4a7c15u;
}

static bool is_same_string(uint32_t id, const void *key)
{
    const struct string *string = key;
    size_t offset = id + sizeof(uint32_t), piece;
    if (size_at(id) != string->size)
        return false;
    for (size_t done = 0; done < string->size; done += piece) {
        piece = piece_size(offset + done, string->size - done);
        if (memcmp(byte_at(offset + done), string->bytes + done, piece) != 0)
            return false;
    }
    return true;
}

static uint32_t room_of_key(const void *key)
{
    return (uint32_t)room_of(((const struct string *)key)->size);
}

static void write_locked(uint32_t id, const void *key)
{
    const struct string *string = key;
    uint32_t size = (uint32_t)string->size;
    size_t offset = id + sizeof size, piece;
    memcpy(byte_at(id), &size, sizeof size);
    for (size_t done = 0; done < size; done += piece) {
        piece = piece_size(offset + done, size - done);
        memcpy(byte_at(offset + done), string->bytes + done, piece);
    }
}

/* Cut where a character of UTF-8 ends. */
static size_t cut_size(const char *bytes, size_t size)
{
    if (size <= SIZE_MAX_OF_ONE)
        return size;
    size = SIZE_MAX_OF_ONE;
    while (size > SIZE_MAX_OF_ONE - 3 && (bytes[size] & 0xc0) == 0x80)
        size--;
    return size;
}

uint32_t pmt_site_string(const char *bytes, size_t size)
{
    struct string string = {bytes, cut_size(bytes, size)};
    if (!size)
        return PMT_NO_STRING;
    uint64_t hash = hash_string(&string);
    uint32_t id = pmt_table_find(&pmt_site_strings, hash, is_same_string, &string);
    return id != PMT_TABLE_NONE ? id : pmt_table_enter(&pmt_site_strings, hash, is_same_string, &string);
}

size_t pmt_site_get_strings(uint32_t offset, const char **bytes)
{
    uint32_t count = pmt_table_count(&pmt_site_strings);
    if (offset >= count)
        return 0;
    *bytes = byte_at(offset);
    return piece_size(offset, count - offset);
}

/* The bytes of a string, as many as have room: returns their number. */
size_t pmt_site_string_copy(uint32_t id, char *bytes, size_t room)
{
    size_t size = size_at(id) < room ? size_at(id) : room, offset = id + sizeof(uint32_t), piece;
    for (size_t done = 0; done < size; done += piece) {
        piece = piece_size(offset + done, size - done);
        memcpy(bytes + done, byte_at(offset + done), piece);
    }
    return size;
}

/* ---- for tests */

/* Strings follow each other to the end of the stream, and each is found. */
bool pmt_site_string_is_valid_locked(void)
{
    uint32_t number = 0, next = 0;
    for (; next < pmt_site_strings.count; next += (uint32_t)room_of(size_at(next)))
        number++;
    return next == pmt_site_strings.count && number == pmt_site_strings.used &&
           pmt_table_is_valid_locked(&pmt_site_strings, 0);
}

/* Whether it is the ID of a string, or of none. */
bool pmt_site_string_is_at_locked(uint32_t id)
{
    return id == PMT_NO_STRING || (id % 4 == 0 && id < pmt_site_strings.count && size_at(id) > 0 &&
                                   room_of(size_at(id)) <= pmt_site_strings.count - id);
}
