/* meta.c: the capture's text: what process this is, and what a reader should know. Lines key=value (FORMAT.md), a
 * few when the file is made, more when there is something new. */
#include "capture.h"

#include <string.h>
#include <sys/utsname.h>

#include "sys.h"

#include "poison.h"

#define WARNINGS_MAX 16

static const char *warnings[WARNINGS_MAX]; /* atomic; words that stay where they are */
static int warning_count;                  /* atomic */
static int told_warnings;                  /* those that are in the file */
static bool has_told_python;
static int text_error;

/* Something that a user should know about the figures, whatever is said on stderr. Any thread; `words` stay. */
void pmt_capture_warn(const char *words)
{
    int number = __atomic_fetch_add(&warning_count, 1, __ATOMIC_RELAXED);
    if (number < WARNINGS_MAX)
        __atomic_store_n(&warnings[number], words, __ATOMIC_RELEASE);
}

/* The same, and a line on stderr. */
void pmt_capture_problem(const char *words)
{
    pmt_say(PMT_VERBOSE_PROBLEMS, "%s", words);
    pmt_capture_warn(words);
}

/* ---- lines */

static bool flush_text(struct pmt_text *text)
{
    size_t size = (size_t)(text->at - text->start);
    text->at = text->start;
    if (text_error == 0)
        text_error = pmt_streams_append(PMT_STREAM_META, text->start, size);
    return text_error == 0;
}

static void put_value(struct pmt_text *text, const char *bytes, size_t size)
{
    for (const char *end = bytes + size; bytes < end; bytes++) {
        if (*bytes == '\\' || *bytes == '\n')
            pmt_text_string(text, "\\");
        pmt_text_bytes(text, *bytes == '\n' ? "n" : bytes, 1);
    }
    pmt_text_string(text, "\n");
}

static void put_line(struct pmt_text *text, const char *key, const char *value)
{
    pmt_text_format(text, "%s=", key);
    put_value(text, value, strlen(value));
}

static void put_arguments(struct pmt_text *text)
{
    for (size_t at = 0, size; at < pmt_arguments_size; at += size + 1) {
        size = strnlen(pmt_arguments + at, pmt_arguments_size - at);
        pmt_text_string(text, "argv=");
        put_value(text, pmt_arguments + at, size);
    }
    if (pmt_arguments_are_cut)
        put_line(text, "warning", "the command line is longer than what is kept of it");
}

static void put_executable(struct pmt_text *text)
{
    static char path[PMT_PATH_SIZE]; /* a tick may come on a small stack */
    long size = pmt_sys(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)path, sizeof path, 0, 0);
    if (size <= 0)
        return;
    pmt_text_string(text, "executable=");
    put_value(text, path, (size_t)size);
}

static void put_machine(struct pmt_text *text)
{
    static struct utsname name;
    char boot[64];
    if (pmt_sys(SYS_uname, (long)&name, 0, 0, 0, 0, 0) == 0)
        put_line(text, "host", name.nodename);
    int size = pmt_read_file("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    if (size <= 0)
        return;
    boot[strcspn(boot, "\n")] = '\0';
    put_line(text, "boot", boot);
}

static void put_options(struct pmt_text *text)
{
    static char buffer[PMT_PATH_SIZE];
    struct pmt_text value;
    const char *name;
    bool is_initial;
    pmt_text_init(&value, buffer, sizeof buffer);
    for (size_t row = 0; (name = pmt_config_describe(row, &value, &is_initial)); row++) {
        const char *key = strcmp(name, "PMT_SITES") == 0 ? "sites" : strcmp(name, "PMT_DEPTH") == 0 ? "depth" : NULL;
        if (key)
            put_line(text, key, buffer);
        if (!is_initial) {
            pmt_text_format(text, "option=%s=", name);
            put_value(text, buffer, strlen(buffer));
        }
        pmt_text_init(&value, buffer, sizeof buffer);
    }
}

static void put_first_lines(struct pmt_text *text)
{
    static const char *const heaps[] = {
        [PMT_HEAP_EXACT] = "exact", [PMT_HEAP_GLIBC] = "glibc", [PMT_HEAP_OTHER] = "other"};
    put_line(text, "version", PMT_VERSION);
    put_arguments(text);
    if (pmt_working_directory[0])
        put_line(text, "cwd", pmt_working_directory);
    put_executable(text);
    put_machine(text);
    put_line(text, "heap", heaps[pmt_heap]);
    put_options(text);
    if (pmt_heap != PMT_HEAP_EXACT)
        put_line(text, "warning", "without --sites exact bytes are block sizes as the allocator rounds them");
}

static void put_news(struct pmt_text *text)
{
    if (!has_told_python && pmt_python_has_started() && pmt_python_version()) {
        put_line(text, "python", pmt_python_version());
        has_told_python = true;
    }
    for (const char *words; told_warnings < WARNINGS_MAX; told_warnings++) {
        if (!(words = __atomic_load_n(&warnings[told_warnings], __ATOMIC_ACQUIRE)))
            break;
        put_line(text, "warning", words);
    }
}

/* Appends what is new; at first, everything. */
int pmt_meta_append(void)
{
    struct pmt_text text;
    pmt_text_init(&text, pmt_staging, sizeof pmt_staging);
    text.flush = flush_text;
    text_error = 0;
    if (pmt_streams_length(PMT_STREAM_META) == 0)
        put_first_lines(&text);
    put_news(&text);
    flush_text(&text);
    return text_error;
}

/* In a child of fork: its file knows nothing yet. */
void pmt_meta_after_fork(void)
{
    told_warnings = 0;
    has_told_python = false;
}
