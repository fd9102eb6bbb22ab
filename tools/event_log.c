/* event_log.c: reads an event log row by row. A row is
 *
 *   NEXT: 12           +1      0.081434     CALL     app.py     #   9 create_string    13316096      1052672  thread=7
 *   kind  event        dEvent  CPU seconds  what     file       line  function         RSS           dRSS     optional
 *   MSG:  12           +1      0.081434     # text
 *
 * or, as one expression (of which this is the hand-written form):
 *   ^(NEXT|PREV): (\d+)\s+\+(\d+)\s+([\d.]+)\s+(\w+)\s+(.*?)\s*#\s*(-?\d+) (.+?)\s+(\d+)\s+(-?\d+)(?:\s+thread=(\d+))?$
 *
 * Strict: a row that does not match is an error with its line number, never skipped. Only the end may be ragged,
 * because a killed program leaves it so: a last row without newline, then NUL bytes.
 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROW_LIMIT = 16 << 20, BUFFER_SIZE = 256 << 10 };

static int __attribute__((format(printf, 2, 3))) fail(struct log_reader *reader, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(reader->error, sizeof reader->error, format, values);
    va_end(values);
    return -1;
}

/* ---- a cursor over one row */

struct cursor {
    const char *at, *end;
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static size_t skip_blanks(struct cursor *cursor)
{
    const char *from = cursor->at;
    while (cursor->at < cursor->end && is_blank(*cursor->at))
        cursor->at++;
    return (size_t)(cursor->at - from);
}

static bool skip_char(struct cursor *cursor, char c)
{
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

/* \d+ up to the largest int64_t */
static bool read_number(struct cursor *cursor, int64_t *number)
{
    const char *from = cursor->at;
    *number = 0;
    for (; cursor->at < cursor->end && is_digit(*cursor->at); cursor->at++) {
        if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, *cursor->at - '0', number))
            return false;
    }
    return cursor->at > from;
}

static bool read_unsigned(struct cursor *cursor, uint64_t *number)
{
    int64_t value;
    bool is_read = read_number(cursor, &value);
    *number = (uint64_t)value;
    return is_read;
}

static bool read_signed(struct cursor *cursor, int64_t *number)
{
    bool is_negative = skip_char(cursor, '-');
    if (!read_number(cursor, number))
        return false;
    *number = is_negative ? -*number : *number;
    return true;
}

/* Seconds such as 0.081434, in microseconds; further digits are dropped. */
static bool read_clock(struct cursor *cursor, uint64_t *us)
{
    int64_t seconds, fraction = 0;
    if (!read_number(cursor, &seconds) || seconds > INT64_MAX / 1000000 - 1)
        return false;
    int64_t unit = 100000;
    if (skip_char(cursor, '.')) {
        for (; cursor->at < cursor->end && is_digit(*cursor->at); cursor->at++, unit /= 10)
            fraction += (*cursor->at - '0') * unit;
    }
    *us = (uint64_t)(seconds * 1000000 + fraction);
    return true;
}

/* (\w+) */
static bool read_word(struct cursor *cursor, struct text *word)
{
    word->at = cursor->at;
    while (cursor->at < cursor->end && is_word(*cursor->at))
        cursor->at++;
    word->size = (size_t)(cursor->at - word->at);
    return word->size > 0;
}

/* ---- the end of a row, read backwards */

/* Cuts the last word off the row, and the blanks behind it. */
static bool cut_word(struct cursor *row, struct cursor *word)
{
    while (row->end > row->at && is_blank(row->end[-1]))
        row->end--;
    word->end = row->end;
    while (row->end > row->at && !is_blank(row->end[-1]))
        row->end--;
    word->at = row->end;
    return word->at < word->end;
}

static bool is_thread(const struct cursor *word)
{
    return word->end - word->at > 7 && memcmp(word->at, "thread=", 7) == 0;
}

static bool is_all(const struct cursor *word, bool is_read)
{
    return is_read && word->at == word->end;
}

/* (\d+)\s+(-?\d+)(?:\s+thread=(\d+))?$ */
static bool cut_tail(struct cursor *row, struct log_row *out)
{
    struct cursor word;
    if (row->at == row->end || is_blank(row->end[-1]) || !cut_word(row, &word))
        return false;
    if (is_thread(&word)) {
        word.at += 7;
        if (!is_all(&word, read_unsigned(&word, &out->thread)) || !cut_word(row, &word))
            return false;
    }
    return is_all(&word, read_signed(&word, &out->rss_change)) && cut_word(row, &word) &&
           is_all(&word, read_number(&word, &out->rss));
}

/* ---- rows */

/* #\s*(-?\d+) (.+?)\s+ with the cursor at a '#', up to where the tail was cut off */
static bool match_place(struct cursor cursor, struct cursor *number, struct text *function)
{
    cursor.at++;
    skip_blanks(&cursor);
    *number = cursor;
    skip_char(&cursor, '-');
    const char *digits = cursor.at;
    while (cursor.at < cursor.end && is_digit(*cursor.at))
        cursor.at++;
    if (cursor.at == digits || !skip_char(&cursor, ' ') || cursor.end - cursor.at < 2 || !is_blank(cursor.end[-1]))
        return false;
    do {
        cursor.end--;
    } while (cursor.end - cursor.at > 1 && is_blank(cursor.end[-1]));
    *function = (struct text){cursor.at, (size_t)(cursor.end - cursor.at)};
    return true;
}

/* (.*?)\s*#...: the first '#' behind which the rest fits. pmt escapes any other; old logs do not. */
static bool read_names(struct cursor *cursor, struct log_row *row)
{
    const char *from = cursor->at, *end = from;
    struct cursor number;
    while ((end = memchr(end, '#', (size_t)(cursor->end - end))) &&
           !match_place((struct cursor){end, cursor->end}, &number, &row->function))
        end++;
    if (!end)
        return false;
    while (end > from && is_blank(end[-1]))
        end--;
    row->file = (struct text){from, (size_t)(end - from)};
    return read_signed(&number, &row->line);
}

/* (\d+)\s+\+(\d+)\s+([\d.]+)\s+ */
static bool read_numbers(struct cursor *cursor, struct log_row *row)
{
    return read_unsigned(cursor, &row->event) && skip_blanks(cursor) && skip_char(cursor, '+') &&
           read_unsigned(cursor, &row->step) && skip_blanks(cursor) && read_clock(cursor, &row->clock_us) &&
           skip_blanks(cursor);
}

static bool read_event(struct cursor cursor, struct log_row *row)
{
    return read_numbers(&cursor, row) && read_word(&cursor, &row->what) && skip_blanks(&cursor) &&
           cut_tail(&cursor, row) && read_names(&cursor, row);
}

static bool read_message(struct cursor cursor, struct log_row *row)
{
    skip_blanks(&cursor);
    if (!read_numbers(&cursor, row) || !skip_char(&cursor, '#'))
        return false;
    skip_char(&cursor, ' ');
    row->message = (struct text){cursor.at, (size_t)(cursor.end - cursor.at)};
    return true;
}

static bool read_row(struct cursor cursor, struct log_row *row)
{
    static const char marks[][7] = {[LOG_NEXT] = "NEXT: ", [LOG_PREV] = "PREV: ", [LOG_MSG] = "MSG:  "};
    memset(row, 0, sizeof *row);
    for (int kind = 0; kind < LOG_KINDS; kind++) {
        if (cursor.end - cursor.at < 6 || memcmp(cursor.at, marks[kind], 6) != 0)
            continue;
        cursor.at += 6;
        row->kind = (enum log_kind)kind;
        return kind == LOG_MSG ? read_message(cursor, row) : read_event(cursor, row);
    }
    return false;
}

/* ---- lines of the file */

/* Reads more behind what is unread; 0 at the end of the file, -1 with an error. */
static ssize_t fill(struct log_reader *reader)
{
    size_t unread = reader->end - reader->start;
    memmove(reader->buffer, reader->buffer + reader->start, unread);
    reader->start = 0;
    reader->end = unread;
    if (unread > reader->capacity / 2)
        reader->buffer = grow(reader->buffer, &reader->capacity, reader->capacity * 2, 1);
    ssize_t got;
    do {
        got = read(reader->fd, reader->buffer + unread, reader->capacity - unread);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail(reader, "cannot be read: %s", strerror(errno));
    reader->end += (size_t)got;
    reader->bytes_read += (uint64_t)got;
    return got;
}

/* The end of the file, reached behind a last row without newline (cut) and NULs. */
static int end_ragged(struct log_reader *reader, const char *nul)
{
    reader->cut_bytes = (uint64_t)(nul - (reader->buffer + reader->start));
    for (;;) {
        for (; nul < reader->buffer + reader->end; nul++, reader->nul_bytes++) {
            if (*nul)
                return fail(reader, "line %llu holds NUL bytes: not an event log, or damaged",
                            (unsigned long long)reader->line);
        }
        reader->start = reader->end;
        ssize_t got = fill(reader);
        if (got <= 0)
            return (int)got;
        nul = reader->buffer;
    }
}

/* The next line without its newline: 1, 0 at the end, -1 on an error. */
static int next_line(struct log_reader *reader, struct cursor *line)
{
    size_t looked = 0; /* at so many of the unread bytes */
    reader->line++;
    for (;;) {
        char *from = reader->buffer + reader->start;
        size_t fresh = reader->end - reader->start - looked;
        char *newline = memchr(from + looked, '\n', fresh);
        char *nul = memchr(from + looked, '\0', newline ? (size_t)(newline - from) - looked : fresh);
        if (nul)
            return end_ragged(reader, nul);
        if (newline) {
            *line = (struct cursor){from, newline};
            reader->start = (size_t)(newline + 1 - reader->buffer);
            return 1;
        }
        looked += fresh;
        if (looked > ROW_LIMIT)
            return fail(reader, "line %llu is longer than %d MiB", (unsigned long long)reader->line, ROW_LIMIT >> 20);
        ssize_t got = fill(reader);
        if (got < 0)
            return -1;
        if (got == 0) {
            reader->cut_bytes = looked;
            return 0;
        }
    }
}

/* The words of the header, however the columns are filled. */
static bool is_header(struct cursor line)
{
    static const char *const words[] = {"Event", "dEvent", "Clock", "What", "File", "#line", "Function", "RSS", "dRSS"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t size = strlen(words[i]);
        if (!skip_blanks(&line) || (size_t)(line.end - line.at) < size || memcmp(line.at, words[i], size) != 0)
            return false;
        line.at += size;
    }
    skip_blanks(&line);
    return line.at == line.end;
}

static int read_header(struct log_reader *reader)
{
    static const char wanted[] = "an event log starts with the line \"Event dEvent Clock What File #line ...\"";
    struct cursor line;
    int state = next_line(reader, &line);
    if (state == 1 && is_header(line))
        return 0;
    if (state == 0 && reader->cut_bytes + reader->nul_bytes == 0)
        return fail(reader, "is empty: %s", wanted);
    return fail(reader, "is not an event log: %s", wanted);
}

/* Regular files and pipes; a FIFO without a writer is empty rather than waited for. */
static int open_file(struct log_reader *reader, const char *path)
{
    struct stat st;
    reader->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (reader->fd < 0 || fstat(reader->fd, &st) != 0)
        return fail(reader, "cannot be opened: %s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return fail(reader, "is a directory: give the log files in it");
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
        return fail(reader, "is neither a file nor a pipe");
    reader->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    fcntl(reader->fd, F_SETFL, fcntl(reader->fd, F_GETFL) & ~O_NONBLOCK);
    return 0;
}

/* Opens a log and reads its header: 0, or -1 with reader->error. Either way log_close() is due. */
int log_open(struct log_reader *reader, const char *path)
{
    *reader = (struct log_reader){.fd = -1};
    if (open_file(reader, path) != 0)
        return -1;
    size_t length = strlen(path);
    if (length > 4 && strcmp(path + length - 4, ".pmt") == 0)
        return fail(reader, "is a capture (.pmt): this command reads event logs (.log)");
    reader->buffer = grow(NULL, &reader->capacity, BUFFER_SIZE, 1);
    return read_header(reader);
}

/* The next row: 1, 0 at the end of the log, -1 with reader->error. */
int log_next(struct log_reader *reader, struct log_row *row)
{
    struct cursor line;
    int state = next_line(reader, &line);
    if (state != 1)
        return state;
    if (read_row(line, row))
        return 1;
    return fail(reader, "line %llu is not a row of an event log: it is damaged, or not a log throughout",
                (unsigned long long)reader->line);
}

void log_close(struct log_reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->buffer);
}

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undoes \xNN; `out` has room for escaped.size bytes. Any other backslash stands for itself. */
size_t log_unescape(struct text escaped, char *out)
{
    const char *at = escaped.at, *end = at + escaped.size;
    char *put = out;
    while (at < end) {
        if (end - at >= 4 && at[0] == '\\' && at[1] == 'x' && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
            *put++ = (char)(hex_digit(at[2]) << 4 | hex_digit(at[3]));
            at += 4;
        } else {
            *put++ = *at++;
        }
    }
    return (size_t)(put - out);
}
