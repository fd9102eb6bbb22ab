/* text.c: names and numbers as people and JSON read them. Names come from programs and file systems: they may hold
 * anything, and must not move a terminal's cursor or break a document. */
#include "tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct text text_of(const char *string)
{
    return (struct text){string, strlen(string)};
}

bool text_equal(struct text a, struct text b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

int text_compare(struct text a, struct text b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter ? memcmp(a.at, b.at, shorter) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* FNV-1a over eight bytes at a time, which is what names of 10 to 100 bytes need. */
uint64_t text_hash(uint64_t hash, struct text text)
{
    uint64_t part;
    for (; text.size >= sizeof part; text.at += sizeof part, text.size -= sizeof part) {
        memcpy(&part, text.at, sizeof part);
        hash = (hash ^ part) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    for (; text.size > 0; text.at++, text.size--)
        hash = (hash ^ (unsigned char)*text.at) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 character at the start of `text`, 0 if there is none; its code point in *code. */
static size_t read_character(struct text text, uint32_t *code)
{
    const unsigned char *s = (const unsigned char *)text.at;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* shorter forms are not UTF-8 */
    size_t size = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (size == 0 || size > text.size)
        return 0;
    *code = size == 1 ? s[0] : s[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if (!is_continuation(s[i]))
            return 0;
        *code = *code << 6 | (s[i] & 0x3f);
    }
    bool is_surrogate = *code >= 0xd800 && *code < 0xe000;
    return *code < least[size] || *code > 0x10ffff || is_surrogate ? 0 : size;
}

/* Control characters, and those that turn the direction of writing. */
static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* Takes printable ASCII off the start, which is all there is to nearly all names. */
static void print_plain(FILE *out, struct text *text)
{
    size_t size = 0;
    while (size < text->size && text->at[size] >= 0x20 && text->at[size] < 0x7f)
        size++;
    fwrite(text->at, 1, size, out);
    text->at += size;
    text->size -= size;
}

/* What cannot be shown safely becomes \xNN, byte by byte. */
void text_print(FILE *out, struct text text)
{
    for (print_plain(out, &text); text.size > 0; print_plain(out, &text)) {
        uint32_t code = 0;
        size_t size = read_character(text, &code);
        size_t step = size ? size : 1;
        if (size && !is_unsafe(code)) {
            fwrite(text.at, 1, size, out);
        } else {
            for (size_t i = 0; i < step; i++)
                fprintf(out, "\\x%02x", (unsigned char)text.at[i]);
        }
        text.at += step;
        text.size -= step;
    }
}

/* A byte that is no UTF-8 becomes the surrogate \udcNN, as in Python's os.fsdecode(): nothing is lost. */
void json_string(FILE *out, struct text text)
{
    putc('"', out);
    while (text.size > 0) {
        uint32_t code = 0;
        size_t size = read_character(text, &code);
        if (size == 0)
            fprintf(out, "\\udc%02x", (unsigned char)text.at[0]);
        else if (code == '"' || code == '\\')
            fprintf(out, "\\%c", (int)code);
        else if (is_unsafe(code))
            fprintf(out, "\\u%04x", code);
        else
            fwrite(text.at, 1, size, out);
        text.at += size ? size : 1;
        text.size -= size ? size : 1;
    }
    putc('"', out);
}

/* 1234567 -> "1,234,567" */
const char *number_grouped(uint64_t number, char *out)
{
    char digits[NUMBER_SIZE];
    int count = snprintf(digits, sizeof digits, "%" PRIu64, number);
    char *at = out;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return out;
}

const char *number_signed(int64_t number, char out[NUMBER_SIZE])
{
    out[0] = '-';
    number_grouped(number < 0 ? 0 - (uint64_t)number : (uint64_t)number, out + (number < 0));
    return out;
}

const char *number_mib(uint64_t bytes, char out[NUMBER_SIZE])
{
    snprintf(out, NUMBER_SIZE, "%.1f", (double)bytes / (1024 * 1024));
    return out;
}

/* The array with room for `needed` items, doubled as often as it takes. Ends the tool when memory is out. */
void *grow(void *array, size_t *capacity, size_t needed, size_t item_size)
{
    if (needed <= *capacity)
        return array;
    size_t larger = *capacity ? *capacity : 64;
    while (larger < needed)
        larger *= 2;
    array = reallocarray(array, larger, item_size);
    if (!array) {
        complain("out of memory");
        exit(EXIT_BAD);
    }
    *capacity = larger;
    return array;
}

/* One line on stderr, "pmt: ...", whatever names it holds. */
void complain(const char *format, ...)
{
    char line[1024];
    va_list values;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    fflush(stdout);
    fputs("pmt: ", stderr);
    text_print(stderr, text_of(line));
    putc('\n', stderr);
}
