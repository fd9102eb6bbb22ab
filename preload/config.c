/* config.c: the options of a run, read from the environment by the table options.def.
 *
 *    PMT_X=value -> row of the table -> check by the row's kind -> field of pmt_config, or one line and the default
 */
#include "core.h"

#include <string.h>

#include "poison.h"

struct pmt_config pmt_config;

enum kind { KIND_TEXT, KIND_CHOICE, KIND_COUNT, KIND_SIZE, KIND_FLAG, KIND_WHEN };

struct row {
    enum kind kind;
    bool is_built;
    const char *name, *initial, *accepted;
    void *field;
};

static const struct row rows[] = {
#define OPTION(field, kind, variable, initial, accepted, flags, metavar, built, help)                                  \
    {KIND_##kind, built, variable, initial, accepted, &pmt_config.field},
#define SHORTHAND(...)
#define INTERNAL(...)
#include "options.def"
#undef OPTION
#undef SHORTHAND
#undef INTERNAL
};

static const char *const internal_names[] = {
#define OPTION(...)
#define SHORTHAND(...)
#define INTERNAL(variable, help) variable,
#include "options.def"
#undef OPTION
#undef SHORTHAND
#undef INTERNAL
};

#define ROW_COUNT (sizeof rows / sizeof *rows)
#define INTERNAL_COUNT (sizeof internal_names / sizeof *internal_names)

/* A whole number with an optional K, M or G (1024 each); false if it is not all of `text` or overflows. */
static bool parse_number(const char *text, size_t size, bool has_suffix, int64_t *value)
{
    int64_t number = 0;
    size_t i = 0;
    for (; i < size && text[i] >= '0' && text[i] <= '9'; i++)
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, text[i] - '0', &number))
            return false;
    if (i == 0)
        return false;
    if (has_suffix && i < size) {
        const char *found = memchr("KMGkmg", text[i], 6);
        if (!found)
            return false;
        int64_t unit = (int64_t)1 << 10 * ((found - "KMGkmg") % 3 + 1);
        if (__builtin_mul_overflow(number, unit, &number))
            return false;
        i++;
    }
    *value = number;
    return i == size;
}

/* `accepted` is "low..high". */
static bool is_in_range(const char *accepted, int64_t value)
{
    int64_t low = 0, high = 0;
    const char *dots = strstr(accepted, "..");
    parse_number(accepted, (size_t)(dots - accepted), true, &low);
    parse_number(dots + 2, strlen(dots + 2), true, &high);
    return value >= low && value <= high;
}

/* Index of the word among "a|b|c", -1 if it is none of them. */
static int find_word(const char *words, const char *word, size_t size)
{
    for (int index = 0;; index++) {
        size_t length = strcspn(words, "|");
        if (length == size && memcmp(words, word, size) == 0)
            return index;
        if (words[length] == '\0')
            return -1;
        words += length + 1;
    }
}

static bool is_when_word(const char *accepted, const char *word, size_t size)
{
    int64_t number;
    if (size > 1 && word[0] == '+')
        return parse_number(word + 1, size - 1, true, &number) && number > 0;
    if (size > 1 && word[size - 1] == '%')
        return parse_number(word, size - 1, false, &number) && number >= 1 && number <= 100;
    return find_word(accepted, word, size) >= 0;
}

/* Every word of a comma-separated list, none of them empty. */
static bool is_when(const char *accepted, const char *value)
{
    for (;;) {
        size_t size = strcspn(value, ",");
        if (!is_when_word(accepted, value, size))
            return false;
        if (value[size] == '\0')
            return true;
        value += size + 1;
    }
}

/* Checks `value` by the row and stores it; false leaves the field alone. */
static bool set_value(const struct row *row, const char *value)
{
    size_t size = strlen(value);
    int64_t number = 0;
    switch (row->kind) {
    case KIND_TEXT:
        if (size == 0 && row->initial[0] != '\0')
            return false;
        *(const char **)row->field = value;
        return true;
    case KIND_WHEN:
        if (!is_when(row->accepted, value))
            return false;
        *(const char **)row->field = value;
        return true;
    case KIND_CHOICE:
        number = find_word(row->accepted, value, size);
        if (number < 0)
            return false;
        *(int *)row->field = (int)number;
        return true;
    case KIND_FLAG:
        if (size != 1 || (*value != '0' && *value != '1'))
            return false;
        *(int *)row->field = *value - '0';
        return true;
    case KIND_COUNT:
    case KIND_SIZE:
        if (!parse_number(value, size, row->kind == KIND_SIZE, &number) || !is_in_range(row->accepted, number))
            return false;
        *(int64_t *)row->field = number;
        return true;
    }
    return false;
}

static const char *kind_note(enum kind kind)
{
    switch (kind) {
    case KIND_SIZE: return " bytes (suffixes K, M, G)";
    case KIND_WHEN: return ", +SIZE or N%, separated by commas";
    default: return "";
    }
}

static bool is_internal(const char *name, size_t size)
{
    if (size >= 9 && memcmp(name, "PMT_TEST_", 9) == 0)
        return true;
    for (size_t i = 0; i < INTERNAL_COUNT; i++)
        if (strlen(internal_names[i]) == size && memcmp(internal_names[i], name, size) == 0)
            return true;
    return false;
}

static void report_unknown(const char *name, size_t size, void (*problem)(const char *line))
{
    char line[1024];
    struct pmt_text text;
    pmt_text_init(&text, line, sizeof line);
    pmt_text_name(&text, name, size);
    pmt_text_string(&text, " is not known; known:");
    for (size_t i = 0; i < ROW_COUNT; i++)
        pmt_text_format(&text, " %s", rows[i].name);
    problem(pmt_text_end(&text));
}

static void report_bad(const struct row *row, const char *value, void (*problem)(const char *line))
{
    char line[1024];
    struct pmt_text text;
    size_t size = strlen(value);
    pmt_text_init(&text, line, sizeof line);
    pmt_text_format(&text, "%s=", row->name);
    pmt_text_name(&text, value, size < 200 ? size : 200);
    pmt_text_format(&text, " is not accepted: %s%s; using %s", row->accepted, kind_note(row->kind), row->initial);
    problem(pmt_text_end(&text));
}

static void load_variable(const char *entry, void (*problem)(const char *line))
{
    size_t size = strcspn(entry, "=");
    if (entry[size] != '=' || is_internal(entry, size))
        return;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strlen(rows[i].name) != size || memcmp(rows[i].name, entry, size) != 0)
            continue;
        if (!set_value(&rows[i], entry + size + 1))
            report_bad(&rows[i], entry + size + 1, problem);
        else if (!rows[i].is_built && pmt_config.verbose >= PMT_VERBOSE_DECISIONS)
            pmt_say(PMT_VERBOSE_DECISIONS, "%s is accepted, but has no effect in this version", rows[i].name);
        return;
    }
    report_unknown(entry, size, problem);
}

/* ---- what is in effect */

static bool is_same(const struct row *row, const void *field)
{
    switch (row->kind) {
    case KIND_TEXT:
    case KIND_WHEN: return strcmp(*(const char *const *)row->field, *(const char *const *)field) == 0;
    case KIND_CHOICE:
    case KIND_FLAG: return *(const int *)row->field == *(const int *)field;
    case KIND_COUNT:
    case KIND_SIZE: return *(const int64_t *)row->field == *(const int64_t *)field;
    }
    return false;
}

static void put_word(struct pmt_text *text, const char *words, int index)
{
    while (index-- > 0)
        words += strcspn(words, "|") + 1;
    pmt_text_bytes(text, words, strcspn(words, "|"));
}

/* Variable of a row of the table, NULL past the last; its value is put into `value`, ended by a NUL. */
const char *pmt_config_describe(size_t row_number, struct pmt_text *value, bool *is_initial)
{
    union {
        const char *text;
        int choice;
        int64_t number;
    } initial = {0};
    if (row_number >= ROW_COUNT)
        return NULL;
    const struct row *row = &rows[row_number];
    struct row at_first = *row;
    at_first.field = &initial;
    *is_initial = set_value(&at_first, row->initial) && is_same(row, &initial);
    switch (row->kind) {
    case KIND_TEXT:
    case KIND_WHEN: pmt_text_string(value, *(const char *const *)row->field); break;
    case KIND_CHOICE: put_word(value, row->accepted, *(const int *)row->field); break;
    case KIND_FLAG: pmt_text_signed(value, *(const int *)row->field); break;
    case KIND_COUNT:
    case KIND_SIZE: pmt_text_signed(value, *(const int64_t *)row->field); break;
    }
    pmt_text_end(value);
    return row->name;
}

/* What --snapshot asks for. The list has been checked. */
struct pmt_when pmt_config_when(void)
{
    struct pmt_when when = {0};
    const char *word = pmt_config.snapshot;
    for (size_t size;; word += size + 1) {
        int64_t growth;
        size = strcspn(word, ",");
        if (word[0] == '+' && parse_number(word + 1, size - 1, true, &growth)) {
            if (when.growth == 0 || growth < when.growth)
                when.growth = growth;
        } else if (size == 4 && memcmp(word, "exit", 4) == 0)
            when.has_exit = true;
        else if (word[size - 1] == '%' || word[0] == 's')
            when.has_unbuilt = true;
        if (word[size] == '\0')
            return when;
    }
}

/* ---- reading the environment */

/* Value of a variable in an environment, NULL if it is not set. */
const char *pmt_config_find(char **environment, const char *name)
{
    size_t size = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=')
            return *environment + size + 1;
    return NULL;
}

/* Defaults, then every PMT_* of `environment`. Values point into it. `problem` gets a line for each bad value and each
 * unknown name. PMT_VERBOSE is read first, since it decides what is said about the others. */
void pmt_config_load(char **environment, void (*problem)(const char *line))
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        set_value(&rows[i], rows[i].initial);
    const char *verbose = pmt_config_find(environment, "PMT_VERBOSE");
    if (verbose && verbose[0] >= '0' && verbose[0] <= '3' && verbose[1] == '\0')
        pmt_config.verbose = verbose[0] - '0';
    for (; environment && *environment; environment++)
        if (strncmp(*environment, "PMT_", 4) == 0)
            load_variable(*environment, problem);
}
