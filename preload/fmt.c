/* fmt.c: text into a bounded buffer, without stdio, locale or malloc.
 *
 *    start ......... at ......... end      pmt_text_bytes() appends; at the end flush() makes room, or the text is cut.
 */
#include "core.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "poison.h"

void pmt_text_init(struct pmt_text *text, char *buffer, size_t size)
{
    *text = (struct pmt_text){.start = buffer, .at = buffer, .end = buffer + size};
}

/* Does not fit, or is cut already. */
static PMT_SLOW void put_piecewise(struct pmt_text *text, const char *bytes, size_t size)
{
    while (size > 0 && !text->is_cut) {
        size_t room = (size_t)(text->end - text->at);
        if (room == 0) {
            text->is_cut = !text->flush || !text->flush(text);
            continue;
        }
        size_t now = size < room ? size : room;
        memcpy(text->at, bytes, now);
        text->at += now;
        text->total += now;
        bytes += now;
        size -= now;
    }
}

/* `size` bytes more, to be written at the result; NULL if there is no room for all of them. */
static inline char *take_room(struct pmt_text *text, size_t size)
{
    if (PMT_UNLIKELY(size > (size_t)(text->end - text->at) || text->is_cut))
        return NULL;
    char *at = text->at;
    text->at += size;
    text->total += size;
    return at;
}

void pmt_text_bytes(struct pmt_text *text, const char *bytes, size_t size)
{
    char *at = take_room(text, size);
    if (PMT_UNLIKELY(!at))
        put_piecewise(text, bytes, size);
    else if (size <= 8) /* most are a word or a sign: not worth a call */
        for (size_t i = 0; i < size; i++)
            at[i] = bytes[i];
    else
        memcpy(at, bytes, size);
}

void pmt_text_fill(struct pmt_text *text, char c, size_t count)
{
    char *at = take_room(text, count);
    if (PMT_LIKELY(at != NULL))
        memset(at, c, count);
    else
        while (count-- > 0)
            put_piecewise(text, &c, 1);
}

/* Blanks up to `width` bytes since `field_start`, a value of text->total: what printf does for %-Ns. */
void pmt_text_pad(struct pmt_text *text, size_t field_start, size_t width)
{
    size_t used = text->total - field_start;
    if (used < width)
        pmt_text_fill(text, ' ', width - used);
}

/* Digits of `value`, written backwards from `end`; returns their start. */
static char *put_digits(char *end, uint64_t value)
{
    do
        *--end = (char)('0' + value % 10);
    while (value /= 10);
    return end;
}

static char *put_signed_digits(char *end, int64_t value)
{
    char *at = put_digits(end, value < 0 ? -(uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--at = '-';
    return at;
}

void pmt_text_unsigned(struct pmt_text *text, uint64_t value)
{
    char digits[24], *end = digits + sizeof digits, *at = put_digits(end, value);
    pmt_text_bytes(text, at, (size_t)(end - at));
}

void pmt_text_signed(struct pmt_text *text, int64_t value)
{
    pmt_text_signed_right(text, value, 0);
}

/* As printf's %*ld. */
void pmt_text_signed_right(struct pmt_text *text, int64_t value, size_t width)
{
    char digits[24], *end = digits + sizeof digits, *at = put_signed_digits(end, value);
    size_t size = (size_t)(end - at);
    if (size < width)
        pmt_text_fill(text, ' ', width - size);
    pmt_text_bytes(text, at, size);
}

/* 1234567 as 1,234,567. */
void pmt_text_grouped(struct pmt_text *text, int64_t value)
{
    char digits[24], *end = digits + sizeof digits, *at = put_signed_digits(end, value);
    for (; at < end; at++) {
        pmt_text_bytes(text, at, 1);
        size_t left = (size_t)(end - at - 1);
        if (left > 0 && left % 3 == 0 && *at != '-')
            pmt_text_bytes(text, ",", 1);
    }
}

/* Bytes as MiB with one decimal, rounded half away from zero: "210.5 MiB". */
void pmt_text_mib(struct pmt_text *text, int64_t bytes)
{
    uint64_t magnitude = bytes < 0 ? -(uint64_t)bytes : (uint64_t)bytes;
    uint64_t tenths = (magnitude * 10 + (1 << 19)) >> 20;
    if (bytes < 0)
        pmt_text_string(text, "-");
    pmt_text_unsigned(text, tenths / 10);
    pmt_text_string(text, ".");
    pmt_text_unsigned(text, tenths % 10);
    pmt_text_string(text, " MiB");
}

/* Nanoseconds as seconds with 1 to 6 decimals, cut (not rounded) to them. */
void pmt_text_seconds(struct pmt_text *text, int64_t ns, int decimals)
{
    char fraction[6];
    int64_t micro = ns / 1000;
    pmt_text_signed(text, micro / 1000000);
    micro %= 1000000;
    for (int i = 5; i >= 0; i--, micro /= 10)
        fraction[i] = (char)('0' + micro % 10);
    pmt_text_string(text, ".");
    pmt_text_bytes(text, fraction, (size_t)decimals);
}

void pmt_text_escaped_byte(struct pmt_text *text, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    char escape[4] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
    pmt_text_bytes(text, escape, 4);
}

/* Length of the well-formed UTF-8 sequence at `at`, 0 if there is none (Unicode 15, table 3-7). */
static size_t utf8_length(const unsigned char *at, size_t left)
{
    static const struct {
        unsigned char first, last, second_low, second_high, length;
    } rows[] = {
        {0x00, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (*at < rows[i].first || *at > rows[i].last)
            continue;
        size_t length = rows[i].length;
        if (length > left || (length > 1 && (at[1] < rows[i].second_low || at[1] > rows[i].second_high)))
            return 0;
        for (size_t k = 2; k < length; k++)
            if ((at[k] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

static bool is_escaped(unsigned char byte)
{
    return byte < 0x20 || byte == '#' || byte == '\\';
}

/* A file or function name as the event log writes it (EVENT-LOG.md, "Escapes"), from bytes. */
void pmt_text_name(struct pmt_text *text, const char *bytes, size_t size)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + size;
    while (at < end) {
        size_t plain = 0;
        while (at + plain < end && at[plain] < 0x80 && !is_escaped(at[plain]))
            plain++;
        pmt_text_bytes(text, (const char *)at, plain);
        at += plain;
        if (at == end)
            return;
        size_t length = utf8_length(at, (size_t)(end - at));
        if (length == 0 || is_escaped(*at)) {
            pmt_text_escaped_byte(text, *at++);
            continue;
        }
        pmt_text_bytes(text, (const char *)at, length);
        at += length;
    }
}

/* UTF-8 of a code point, at most 4 bytes; surrogates, which have none, as three bytes all the same. Returns its size.
 */
size_t pmt_utf8_put(char *bytes, uint32_t c)
{
    size_t size = 0;
    if (c < 0x80) {
        bytes[size++] = (char)c;
        return size;
    }
    if (c < 0x800)
        bytes[size++] = (char)(0xc0 | c >> 6);
    else if (c < 0x10000) {
        bytes[size++] = (char)(0xe0 | c >> 12);
        bytes[size++] = (char)(0x80 | (c >> 6 & 0x3f));
    } else {
        bytes[size++] = (char)(0xf0 | c >> 18);
        bytes[size++] = (char)(0x80 | (c >> 12 & 0x3f));
        bytes[size++] = (char)(0x80 | (c >> 6 & 0x3f));
    }
    bytes[size++] = (char)(0x80 | (c & 0x3f));
    return size;
}

/* One code point of a Python string, as pmt_text_name() would write its bytes: U+DC80..U+DCFF stand for the undecodable
 * bytes 0x80..0xFF (PEP 383); other surrogates become their three bytes, escaped, since they are not UTF-8. */
void pmt_text_codepoint(struct pmt_text *text, uint32_t c)
{
    char bytes[4];
    if (c >= 0xdc80 && c <= 0xdcff)
        pmt_text_escaped_byte(text, (unsigned char)(c - 0xdc00));
    else
        pmt_text_name(text, bytes, pmt_utf8_put(bytes, c));
}

/* One conversion of pmt_text_values(); returns the format after it. */
static const char *put_conversion(struct pmt_text *text, const char *format, va_list *values)
{
    bool is_long = false;
    while (*format == 'l' || *format == 'z') {
        is_long = true;
        format++;
    }
    switch (*format) {
    case 's': {
        const char *string = va_arg(*values, const char *);
        pmt_text_string(text, string ? string : "(null)");
        break;
    }
    case 'd': pmt_text_signed(text, is_long ? va_arg(*values, long) : va_arg(*values, int)); break;
    case 'u': pmt_text_unsigned(text, is_long ? va_arg(*values, unsigned long) : va_arg(*values, unsigned)); break;
    case 'c': {
        char c = (char)va_arg(*values, int);
        pmt_text_bytes(text, &c, 1);
        break;
    }
    case '%': pmt_text_string(text, "%"); break;
    default: pmt_text_string(text, "?"); return format;
    }
    return format + 1;
}

/* printf's %s %d %u %c %% with l and z; no widths. */
void pmt_text_values(struct pmt_text *text, const char *format, va_list *values)
{
    while (*format) {
        size_t plain = strcspn(format, "%");
        pmt_text_bytes(text, format, plain);
        format += plain;
        if (*format == '%')
            format = put_conversion(text, format + 1, values);
    }
}

void pmt_text_format(struct pmt_text *text, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    pmt_text_values(text, format, &values);
    va_end(values);
}

/* Ends the text with a NUL, in place of its last byte if it is full; returns its start. */
const char *pmt_text_end(struct pmt_text *text)
{
    if (text->at == text->end)
        text->at--;
    *text->at = '\0';
    return text->start;
}

/* The errors that a user of pmt can meet, in words; others as a number. `error` may be negative. */
const char *pmt_error_name(int error)
{
    static const struct {
        int error;
        const char *name;
    } names[] = {
        {EPERM, "operation not permitted"},
        {ENOENT, "no such file or directory"},
        {EIO, "input/output error"},
        {EBADF, "the descriptor was closed by the program"},
        {ENOMEM, "out of memory"},
        {EACCES, "permission denied"},
        {EEXIST, "file exists"},
        {ENOTDIR, "not a directory"},
        {EISDIR, "is a directory"},
        {EINVAL, "invalid argument"},
        {ENFILE, "too many open files in the system"},
        {EMFILE, "too many open files"},
        {EFBIG, "file size limit (RLIMIT_FSIZE)"},
        {ENOSPC, "no space left on device"},
        {EROFS, "read-only file system"},
        {ENAMETOOLONG, "file name too long"},
        {ELOOP, "too many symbolic links"},
        {EDQUOT, "disk quota exceeded"},
    };
    int positive = error < 0 ? -error : error;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].error == positive)
            return names[i].name;
    return "error of the system";
}

/* "YYMMDD_HHMMSS" in UTC of a Unix time. gmtime() would take libc's time zone lock and may allocate. Days to a date:
 * Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days. */
void pmt_utc_stamp(char stamp[14], int64_t unix_seconds)
{
    int64_t days = unix_seconds / 86400, second = unix_seconds % 86400;
    int64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    int64_t fields[6] = {year % 100, month, day, second / 3600, second / 60 % 60, second % 60};
    char *at = stamp;
    for (int i = 0; i < 6; i++) {
        if (i == 3)
            *at++ = '_';
        *at++ = (char)('0' + fields[i] / 10);
        *at++ = (char)('0' + fields[i] % 10);
    }
    *at = '\0';
}
