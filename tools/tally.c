/* tally.c: adds an event log up.
 *
 * Each row is set against the row before it in the file. If their events follow on one another, the whole difference of
 * RSS is the row's own. Otherwise events between them were not logged: the row owns its dRSS, and the remainder
 * happened at "(between logged rows)". So first RSS + rises - falls = last RSS, to the byte, for any log.
 */
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PROGRESS_ROWS = 1 << 16 };

static bool move(struct tally *tally, struct site *site, int64_t change)
{
    if (change > 0) {
        site->rose += (uint64_t)change;
        site->rose_events++;
        return !__builtin_add_overflow(tally->rose, (uint64_t)change, &tally->rose);
    }
    if (change < 0) {
        site->fell += -(uint64_t)change;
        site->fell_events++;
        return !__builtin_add_overflow(tally->fell, -(uint64_t)change, &tally->fell);
    }
    return true;
}

static struct site *find_place(struct tally *tally, const struct log_row *row, enum grouping by)
{
    static const struct text none = {"", 0};
    return site_find(&tally->places, row->file, by == BY_FILE ? none : row->function, by == BY_LINE ? row->line : 0);
}

/* False if sums pass 64 bits. */
static bool count_change(struct tally *tally, const struct log_row *row, enum grouping by)
{
    int64_t change = row->rss - tally->rss_last, own = change, rest = 0;
    if (row->event > tally->last_event + 1) {
        own = row->rss_change;
        if (__builtin_sub_overflow(change, own, &rest))
            return false;
    } else if (change != row->rss_change) {
        tally->contradictions++;
    }
    return move(tally, &tally->between, rest) && (own == 0 || move(tally, find_place(tally, row, by), own));
}

/* NULL, or what is wrong with the row. */
static const char *count_event(struct tally *tally, const struct log_row *row, enum grouping by)
{
    static const struct text none = {"", 0};
    if (!tally->has_rows) {
        tally->rss_first = row->rss;
        tally->clock_first = row->clock_us;
    } else if (row->event < tally->last_event || (row->event == tally->last_event && row->rss != tally->rss_last)) {
        return "its event number does not follow that of the row before";
    } else if (!count_change(tally, row, by)) {
        return "the changes of RSS add up to more than 64 bits";
    }
    tally->has_rows = true;
    tally->last_event = row->event;
    tally->clock_last = row->clock_us;
    tally->rss_last = row->rss;
    if (row->rss > tally->rss_max)
        tally->rss_max = row->rss;
    site_find(&tally->what, none, row->what, 0)->rows++;
    site_find(&tally->threads, none, none, (int64_t)row->thread)->rows++;
    return NULL;
}

/* "1234 rows were lost": the number if the text goes on with `words` behind it. */
static bool read_count(struct text text, const char *words, uint64_t *count)
{
    size_t digits = 0, size = strlen(words);
    uint64_t number = 0;
    for (; digits < text.size && text.at[digits] >= '0' && text.at[digits] <= '9'; digits++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.at[digits] - '0'), &number))
            return false;
    }
    bool is_match = digits > 0 && text.size - digits >= size && memcmp(text.at + digits, words, size) == 0;
    if (is_match)
        *count = number;
    return is_match;
}

/* A MSG row that tells of loss (preload/log.c writes these) is kept: the reader of the summary has to know. Later
 * counts include the earlier ones. */
static void count_message(struct tally *tally, const struct log_row *row)
{
    static const char limit[] = "rows are left out from here";
    bool is_count = read_count(row->message, " rows were left out", &tally->left_out) ||
                    read_count(row->message, " rows were lost", &tally->lost);
    bool is_limit = !is_count && memmem(row->message.at, row->message.size, limit, sizeof limit - 1);
    tally->is_limited = tally->is_limited || is_limit;
    if ((!is_count && !is_limit) || tally->message_count == MESSAGES_KEPT)
        return;
    size_t capacity = 0;
    char *copy = grow(NULL, &capacity, row->message.size + 1, 1);
    tally->messages[tally->message_count++] = (struct text){copy, log_unescape(row->message, copy)};
}

static void show_progress(struct progress *progress, const struct log_reader *reader, const char *path)
{
    char done[NUMBER_SIZE];
    if (reader->size)
        snprintf(done, sizeof done, "%3.0f%%", 100.0 * (double)reader->bytes_read / (double)reader->size);
    else
        snprintf(done, sizeof done, "%" PRIu64 " MiB", reader->bytes_read >> 20);
    progress_show(progress, "reading", path, done);
}

/* Reads the whole log; false after a complaint. Either way tally_free() and log_close() are due. */
bool tally_log(struct tally *tally, struct log_reader *reader, const char *path, enum grouping by)
{
    *tally = (struct tally){.path = path, .between = {.file = text_of(""), .function = text_of("")}};
    struct progress progress = progress_start();
    struct log_row row;
    const char *wrong = NULL;
    int state = log_open(reader, path);
    while (state == 0 && (state = log_next(reader, &row)) == 1) {
        tally->rows[row.kind]++;
        if (reader->line % PROGRESS_ROWS == 0)
            show_progress(&progress, reader, path);
        if (row.kind == LOG_MSG)
            count_message(tally, &row);
        else
            wrong = count_event(tally, &row, by);
        if (wrong)
            break;
        state = 0;
    }
    progress_end(&progress);
    if (wrong)
        complain("%s: line %" PRIu64 ": %s", path, reader->line, wrong);
    else if (state < 0)
        complain("%s: %s", path, reader->error);
    return !wrong && state == 0;
}

void tally_free(struct tally *tally)
{
    site_table_free(&tally->what);
    site_table_free(&tally->threads);
    site_table_free(&tally->places);
    for (size_t i = 0; i < tally->message_count; i++)
        free((void *)(uintptr_t)tally->messages[i].at);
}
