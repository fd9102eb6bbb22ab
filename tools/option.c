/* option.c: checks values of PMT_* variables by the rows of options.def, as the library does when it starts (which does
 * it without libc's help and in another program; the rules are those written at the head of options.def). */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

struct row {
    const char *kind, *variable, *initial, *accepted;
    bool is_built;
};

static const struct row rows[] = {
#define OPTION(field, kind, variable, initial, accepted, flags, metavar, built, help)                                  \
    {#kind, variable, initial, accepted, built},
#define SHORTHAND(flag, expansion, help)
#define INTERNAL(variable, help) {"INTERNAL", variable, "", "", true},
#include "options.def"
#undef OPTION
#undef SHORTHAND
#undef INTERNAL
};

static bool is_kind(const struct row *row, const char *kind)
{
    return strcmp(row->kind, kind) == 0;
}

/* A whole number that fills `text`, with K, M or G behind it if `has_suffix`. */
static bool read_number(struct text text, bool has_suffix, int64_t *number)
{
    size_t digits = 0;
    *number = 0;
    for (; digits < text.size && text.at[digits] >= '0' && text.at[digits] <= '9'; digits++) {
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, text.at[digits] - '0', number))
            return false;
    }
    if (digits == 0 || digits == text.size)
        return digits > 0;
    static const char suffixes[] = "KkMmGg";
    const char *suffix = strchr(suffixes, text.at[digits]);
    if (!has_suffix || !suffix || text.at[digits] == '\0' || digits + 1 != text.size)
        return false;
    return !__builtin_mul_overflow(*number, (int64_t)1 << 10 * ((suffix - suffixes) / 2 + 1), number);
}

/* `accepted` is "low..high". */
static bool is_in_range(const char *accepted, int64_t number)
{
    const char *dots = strstr(accepted, "..");
    int64_t low = 0, high = 0;
    read_number((struct text){accepted, (size_t)(dots - accepted)}, true, &low);
    read_number(text_of(dots + 2), true, &high);
    return number >= low && number <= high;
}

static bool is_word(const char *accepted, struct text word)
{
    for (;;) {
        size_t size = strcspn(accepted, "|");
        if (text_equal((struct text){accepted, size}, word))
            return true;
        if (accepted[size] == '\0')
            return false;
        accepted += size + 1;
    }
}

static bool is_when_word(const char *accepted, struct text word)
{
    int64_t number;
    if (word.size > 1 && word.at[0] == '+')
        return read_number((struct text){word.at + 1, word.size - 1}, true, &number) && number > 0;
    if (word.size > 1 && word.at[word.size - 1] == '%')
        return read_number((struct text){word.at, word.size - 1}, false, &number) && number >= 1 && number <= 100;
    return is_word(accepted, word);
}

static bool is_when(const char *accepted, const char *value)
{
    for (;;) {
        size_t size = strcspn(value, ",");
        if (!is_when_word(accepted, (struct text){value, size}))
            return false;
        if (value[size] == '\0')
            return true;
        value += size + 1;
    }
}

static bool is_accepted(const struct row *row, const char *value)
{
    int64_t number;
    bool is_size = is_kind(row, "SIZE");
    if (is_kind(row, "TEXT"))
        return *value || !*row->initial;
    if (is_kind(row, "CHOICE"))
        return is_word(row->accepted, text_of(value));
    if (is_kind(row, "FLAG"))
        return strcmp(value, "0") == 0 || strcmp(value, "1") == 0;
    if (is_kind(row, "WHEN"))
        return is_when(row->accepted, value);
    return read_number(text_of(value), is_size, &number) && is_in_range(row->accepted, number);
}

/* What the library will say of NAME=value; *accepted is what it would accept. */
enum option_state option_check(const char *name, size_t name_size, const char *value, const char **accepted)
{
    struct text wanted = {name, name_size};
    *accepted = "";
    if (name_size >= 9 && memcmp(name, "PMT_TEST_", 9) == 0)
        return OPTION_INTERNAL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        if (!text_equal(wanted, text_of(row->variable)))
            continue;
        if (is_kind(row, "INTERNAL"))
            return OPTION_INTERNAL;
        *accepted = row->accepted;
        return !is_accepted(row, value) ? OPTION_BAD : row->is_built ? OPTION_GOOD : OPTION_WITHOUT_EFFECT;
    }
    return OPTION_UNKNOWN;
}

/* The value that the library will work with: the variable's if it is accepted, else the default. */
const char *option_value(const char *name)
{
    const char *value = getenv(name);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].variable, name) == 0)
            return value && is_accepted(&rows[i], value) ? value : rows[i].initial;
    }
    return "";
}
