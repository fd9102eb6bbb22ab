/* tool.h: what the files of the tool `pmt` share. One file, one noun:
 *
 *   main.c -> cmd_log.c    -> tally.c (a log added up), event_log.c (its rows), site_table.c (sums by place)
 *          -> cmd_doctor.c -> program.c (what a command will run), elf_file.c (its headers), python.c (interpreters),
 *                             option.c (PMT_* variables), library.c (libpmt.so), perf.c (page fault rings)
 *   all    -> text.c (names and numbers for people and for JSON)
 *
 * Functions return 0 or -errno, or say otherwise. A tool may allocate, and ends when it cannot.
 */
#ifndef PMT_TOOL_H
#define PMT_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- main.c */
enum { EXIT_GOOD = 0, EXIT_BAD = 1 };
int cmd_report(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

/* ---- text.c: bytes that may be anything, from logs and file systems */
struct text {
    const char *at; /* not ended by a NUL */
    size_t size;
};
enum { NUMBER_SIZE = 32 };
struct text text_of(const char *string);
bool text_equal(struct text a, struct text b);
int text_compare(struct text a, struct text b);
uint64_t text_hash(uint64_t hash, struct text text);
void text_print(FILE *out, struct text text);
void json_string(FILE *out, struct text text);
const char *number_grouped(uint64_t number, char *out); /* at most 26 characters, as of all these */
const char *number_signed(int64_t number, char out[NUMBER_SIZE]);
const char *number_mib(uint64_t bytes, char out[NUMBER_SIZE]);
void *grow(void *array, size_t *capacity, size_t needed, size_t item_size);
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- progress.c: one line on a terminal, once the work has taken more than a second */
struct progress {
    int64_t start; /* seconds */
    bool is_wanted, is_shown;
};
struct progress progress_start(void);
void progress_show(struct progress *progress, const char *verb, const char *path, const char *done);
void progress_end(struct progress *progress);

/* ---- event_log.c: reads a log row by row, strictly, in bounded memory */
enum log_kind { LOG_NEXT, LOG_PREV, LOG_MSG, LOG_KINDS };
struct log_row {
    enum log_kind kind;
    uint64_t event;                   /* number of the event */
    uint64_t step;                    /* dEvent */
    uint64_t clock_us;                /* CPU time of the process */
    struct text what, file, function; /* valid until the next row is read; still escaped */
    int64_t line;
    int64_t rss, rss_change;
    uint64_t thread;     /* 0: the main thread */
    struct text message; /* of a MSG row; still escaped */
};
struct log_reader {
    int fd;
    char *buffer;
    size_t capacity, start, end; /* unread bytes are buffer[start..end) */
    uint64_t line;               /* number of the row last read, from 1 */
    uint64_t bytes_read, size;   /* size is 0 for a pipe */
    uint64_t cut_bytes;          /* of an incomplete last row */
    uint64_t nul_bytes;          /* behind the last row */
    char error[256];             /* why a call returned -1 */
};
int log_open(struct log_reader *reader, const char *path);
int log_next(struct log_reader *reader, struct log_row *row);
void log_close(struct log_reader *reader);
size_t log_unescape(struct text escaped, char *out);

/* ---- site_table.c: a sum for each (function, file, line) */
struct site {
    uint64_t hash;
    struct text file, function; /* as in the program: escapes undone */
    int64_t line;
    uint64_t rose, fell;               /* bytes */
    uint64_t rose_events, fell_events; /* rows that moved RSS so */
    uint64_t rows;
};
struct site_table {
    struct site *sites; /* in order of appearance */
    size_t count, capacity;
    uint32_t *slots;   /* index into sites + 1; 0 is free */
    size_t slot_count; /* a power of two, more than twice count */
    char *scratch;
    size_t scratch_capacity;
};
struct site *site_find(struct site_table *table, struct text file, struct text function, int64_t line);
void site_table_free(struct site_table *table);

/* ---- tally.c: a log added up */
enum grouping { BY_LINE, BY_FUNCTION, BY_FILE, BY_STACK, BY_LABEL }; /* the last two: not of logs */
enum { MESSAGES_KEPT = 100 };
struct tally {
    const char *path;
    uint64_t rows[LOG_KINDS];
    struct site_table what, threads, places;
    struct site between;
    bool has_rows;
    uint64_t last_event;
    uint64_t clock_first, clock_last;
    int64_t rss_first, rss_last, rss_max;
    uint64_t rose, fell;
    uint64_t contradictions;
    uint64_t left_out, lost; /* rows, as the log says at its end */
    bool is_limited;         /* it reached PMT_LOG_MAX */
    struct text messages[MESSAGES_KEPT];
    size_t message_count;
};
bool tally_log(struct tally *tally, struct log_reader *reader, const char *path, enum grouping by);
void tally_free(struct tally *tally);

/* ---- elf_file.c: an ELF file that may be cut, foreign or hostile */
struct elf_file {
    bool is_elf;
    int bits;         /* 32 or 64 */
    unsigned machine; /* EM_* */
    bool is_native;   /* of the class, byte order and machine that this tool is built for; what follows is known */
    bool has_interpreter;
    char interpreter[256];   /* PT_INTERP */
    char python_needed[128]; /* DT_NEEDED libpython*, or "" */
    bool exports_malloc;     /* one of its own, that the loader binds everybody to */
    bool defines_malloc;     /* a function of its own, exported or not */
    bool exports_python;     /* defines PyImport_Inittab: a static interpreter or libpython itself */
    const char *damage;      /* what is wrong with the headers, or NULL */
};
int elf_file_read(const char *path, struct elf_file *elf);
const char *elf_machine_name(unsigned machine);

/* ---- option.c: the variables of options.def */
enum option_state { OPTION_GOOD, OPTION_BAD, OPTION_WITHOUT_EFFECT, OPTION_INTERNAL, OPTION_UNKNOWN };
enum option_state option_check(const char *name, size_t name_size, const char *value, const char **accepted);
const char *option_value(const char *name);

/* ---- library.c: libpmt.so as an install or a build tree has it */
bool library_find(char *path, size_t size);

/* ---- perf.c: how the library will notice that RSS has moved */
struct perf_state {
    const char *words; /* those of the library */
    bool is_allowed;   /* perf events */
    char why[256];     /* or what that means */
};
void perf_examine(struct perf_state *state);

/* ---- program.c: what a command will run, and whether the preload takes in it. No program is run. */
struct obstacle {
    char text[512];
};
struct program {
    char path[4096];  /* the ELF file in the end */
    char chain[1024]; /* "app.py -> /usr/bin/env -> /usr/bin/python3" */
    struct elf_file elf;
    struct obstacle obstacles[8]; /* why pmt will see nothing, or less */
    int obstacle_count;
    bool is_blind; /* nothing of pmt starts in the program */
};
int program_resolve(const char *name, char *path, size_t size);
const char *exec_error(int state);
int program_examine(char **argv, const char *library, struct program *program);

/* ---- python.c: the interpreters of this machine */
struct interpreter {
    char path[4096];
    char version[16]; /* "3.11", or "" */
    const char *kind; /* "static", "shared", "script", "no Python" */
    bool is_served;
};
void interpreter_examine(const char *path, struct interpreter *found);
size_t interpreters_find(struct interpreter **list);

/* Where events come from in a version of CPython, in the library's own words. */
struct engines {
    const char *python, *calls, *lines; /* with --events */
};
const struct engines *interpreter_engines(const struct interpreter *python);

#endif
