/* genopts: prints what is derived from options.def, while pmt is being built:
 *
 *   genopts sh         functions of pmt-exec: lookup_option, print_help, print_help_all, print_version
 *   genopts help       the options that have an effect, for a screen
 *   genopts help-all   every option and variable, with default and accepted values
 *   genopts man        the OPTIONS section of pmt.1
 *   genopts readme     the table of README.md
 *   genopts vars       names of all variables, one a line
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { SCREEN = 79, HELP_INDENT = 24, LINE_MAX_BYTES = 512 };

struct row {
    const char *kind; /* as in options.def; "SHORTHAND" and "INTERNAL" for those rows */
    const char *variable;
    const char *initial;
    const char *accepted; /* a shorthand: what it stands for */
    const char *flags;
    const char *metavar;
    bool is_built;
    const char *help;
};

static const struct row rows[] = {
#define OPTION(field, kind, variable, initial, accepted, flags, metavar, built, help)                                  \
    {#kind, variable, initial, accepted, flags, metavar, built, help},
#define SHORTHAND(flag, expansion, help) {"SHORTHAND", "", "", expansion, flag, "", true, help},
#define INTERNAL(variable, help) {"INTERNAL", variable, "", "", "", "", true, help},
#include "options.def"
#undef OPTION
#undef SHORTHAND
#undef INTERNAL
};

static const struct row *const rows_end = rows + sizeof rows / sizeof *rows;

static bool is_kind(const struct row *row, const char *kind)
{
    return strcmp(row->kind, kind) == 0;
}

/* One flag of a row: its name, and the value it stands for, or NULL where a value has to follow. */
struct flag {
    char name[32];
    char value[32];
    bool takes_value;
};

/* Cuts the next flag off a list such as "-q=0,-v=2"; false at its end. */
static bool next_flag(const struct row *row, const char **list, struct flag *flag)
{
    if (**list == '\0')
        return false;
    size_t length = strcspn(*list, ",");
    size_t name = strcspn(*list, "=,");
    flag->takes_value = name == length && !is_kind(row, "SHORTHAND");
    snprintf(flag->name, sizeof flag->name, "%.*s", (int)name, *list);
    snprintf(flag->value, sizeof flag->value, "%.*s", name < length ? (int)(length - name - 1) : 0, *list + name + 1);
    *list += length + ((*list)[length] == ',');
    return true;
}

/* "-o, --output DIR", each flag wrapped in `before` and `after`. */
static void join_flags(const struct row *row, const char *before, const char *after, char *out, size_t size)
{
    const char *list = row->flags;
    const char *comma = "";
    size_t used = 0;
    struct flag flag = {0};
    out[0] = '\0';
    while (used < size && next_flag(row, &list, &flag)) {
        const char *metavar = *list == '\0' && flag.takes_value ? row->metavar : "";
        used += (size_t)snprintf(out + used, size - used, "%s%s%s%s%s%s", comma, before, flag.name, *metavar ? " " : "",
                                 metavar, after);
        comma = ", ";
    }
}

/* Prints words of `text` in lines that end before SCREEN; `column` is where the cursor stands. */
static void print_wrapped(const char *text, int column)
{
    bool is_first = true;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (!is_first && column + 1 + length > SCREEN) {
            printf("\n%*s", HELP_INDENT, "");
            column = HELP_INDENT;
        } else if (!is_first) {
            putchar(' ');
            column++;
        }
        printf("%.*s", length, text);
        column += length;
        text += length + (text[length] == ' ');
        is_first = false;
    }
    putchar('\n');
}

static void print_entry(const char *left, const char *text)
{
    int column = printf("  %-*s", HELP_INDENT - 3, left);
    if (column >= HELP_INDENT) {
        printf("\n%*s", HELP_INDENT, "");
        column = HELP_INDENT;
    } else {
        column += printf(" ");
    }
    print_wrapped(text, column);
}

/* Help is written for Markdown; a screen needs no backquotes. */
static const char *plain(const char *text)
{
    static char out[LINE_MAX_BYTES];
    size_t n = 0;
    for (; *text && n + 1 < sizeof out; text++) {
        if (*text != '`')
            out[n++] = *text;
    }
    out[n] = '\0';
    return out;
}

static void print_own_options(void)
{
    print_entry("--help, --help-all", "this page; every option, variable and default");
    print_entry("--version", "print the version");
    print_entry("--print-env", "print the variables, ready for a Dockerfile");
}

/* What an option is for, on one line: its help up to where the details begin; the words that it takes, if it takes
 * some.
 */
static const char *brief(const struct row *row)
{
    static char out[LINE_MAX_BYTES];
    size_t length = 0, n = 0;
    const char *help = row->help;
    bool is_choice = is_kind(row, "CHOICE");
    while (help[length] && !strchr(is_choice ? "`:," : ";:", help[length]) && strncmp(help + length, " (", 2) != 0)
        length++;
    for (size_t i = 0; i < length && n + 1 < sizeof out; i++)
        if (help[i] != '`')
            out[n++] = help[i];
    if (is_choice && n > 0)
        n += (size_t)snprintf(out + n, sizeof out - n, ": ");
    for (const char *at = is_choice ? row->accepted : ""; *at && n + 3 < sizeof out; at++)
        n += (size_t)snprintf(out + n, sizeof out - n, *at == '|' ? ", " : "%c", *at);
    out[n] = '\0';
    return out;
}

static void print_help(void)
{
    puts("Usage: pmt-exec [options] [--] command [arg...]\n"
         "Runs a command under the memory profiler pmt. Sizes take K, M, G (1024).\n");
    for (const struct row *row = rows; row < rows_end; row++) {
        char left[LINE_MAX_BYTES];
        join_flags(row, "", "", left, sizeof left);
        if (*left && row->is_built)
            print_entry(left, brief(row));
    }
    print_own_options();
    puts("Exit status: the command's; 125 bad option or no libpmt.so, 126 not executable,\n127 not found.");
}

static void print_help_all_row(const struct row *row)
{
    char left[LINE_MAX_BYTES];
    char text[2 * LINE_MAX_BYTES];
    join_flags(row, "", "", left, sizeof left);
    bool is_option = !is_kind(row, "SHORTHAND") && !is_kind(row, "INTERNAL");
    int n = snprintf(text, sizeof text, "%s%s%s%s", *left ? row->variable : "", *left && *row->variable ? ": " : "",
                     plain(row->help), row->is_built ? "" : " (no effect yet)");
    if (is_option)
        snprintf(text + n, sizeof text - (size_t)n, " [accepted: %s; default: %s]", row->accepted,
                 *row->initial ? row->initial : "none");
    print_entry(*left ? left : row->variable, text);
}

static void print_help_all(void)
{
    puts("Usage: pmt-exec [options] [--] command [arg...]\n"
         "Runs a command under the memory profiler pmt: sets LD_PRELOAD and the variables\n"
         "below, then execs it. An option wins over its variable. Sizes take K, M, G (1024).\n");
    for (const struct row *row = rows; row < rows_end; row++) {
        print_help_all_row(row);
    }
    print_own_options();
}

/* A here-document with a quoted end word takes any text as it is. */
static void print_sh_function(const char *name, void (*print)(void))
{
    printf("%s() {\n    cat <<'END_OF_HELP'\n", name);
    print();
    puts("END_OF_HELP\n}\n");
}

static void print_version(void)
{
    puts("pmt-exec " PMT_VERSION);
}

/* Table values go between single quotes; a quote in options.def would end them, so it is not allowed there. */
static void print_sh_row(const struct row *row)
{
    const char *list = row->flags;
    struct flag flag = {0};
    while (next_flag(row, &list, &flag)) {
        const char *fixed = flag.takes_value ? "-" : flag.value;
        printf("    %s) set_row %s '%s' '%s' '%s' ;;\n", flag.name, row->kind, row->variable, fixed, row->accepted);
    }
}

static void print_sh(void)
{
    puts("# From options.def: the row of a flag as kind, variable, fixed value (- if one has to follow), accepted.\n"
         "lookup_option() {\n    case $1 in");
    for (const struct row *row = rows; row < rows_end; row++) {
        print_sh_row(row);
    }
    puts("    *) return 1 ;;\n    esac\n}\n");
    print_sh_function("print_help", print_help);
    print_sh_function("print_help_all", print_help_all);
    print_sh_function("print_version", print_version);
}

/* Text for roff: backquoted words in bold, a minus is no hyphen, a leading dot or quote is no request. */
static void print_roff(const char *text)
{
    bool is_bold = false;
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++) {
        switch (*text) {
        case '`':
            is_bold = !is_bold;
            fputs(is_bold ? "\\fB" : "\\fR", stdout);
            break;
        case '-': fputs("\\-", stdout); break;
        case '\\': fputs("\\e", stdout); break;
        default: putchar(*text); break;
        }
    }
}

static void print_man_row(const struct row *row)
{
    char left[LINE_MAX_BYTES];
    join_flags(row, "`", "`", left, sizeof left);
    puts(".TP");
    print_roff(left);
    if (*row->variable)
        printf("%s\\fB%s\\fR", *left ? ", " : "", row->variable);
    putchar('\n');
    print_roff(row->help);
    puts(".");
    if (is_kind(row, "SHORTHAND") || is_kind(row, "INTERNAL"))
        return;
    fputs("Accepted: ", stdout);
    print_roff(row->accepted);
    fputs("; default: ", stdout);
    print_roff(*row->initial ? row->initial : "none");
    puts(row->is_built ? "" : " (no effect yet)");
}

static void print_man(void)
{
    for (const struct row *row = rows; row < rows_end; row++) {
        print_man_row(row);
    }
}

/* A cell of a Markdown table: a bar inside would end it. */
static void print_cell(const char *text)
{
    for (; *text; text++)
        printf(*text == '|' ? "\\|" : "%c", *text);
}

static void print_readme(void)
{
    puts("| option | variable | default | meaning |\n|---|---|---|---|");
    for (const struct row *row = rows; row < rows_end; row++) {
        if (is_kind(row, "INTERNAL"))
            continue;
        char left[LINE_MAX_BYTES];
        join_flags(row, "`", "`", left, sizeof left);
        printf("| %s | ", left);
        printf(*row->variable ? "`%s` | " : "| ", row->variable);
        printf(*row->initial ? "`%s` | " : "| ", row->initial);
        print_cell(row->help);
        puts(row->is_built ? " |" : " (no effect yet) |");
    }
}

static void print_vars(void)
{
    for (const struct row *row = rows; row < rows_end; row++) {
        if (*row->variable)
            puts(row->variable);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } modes[] = {
        {"sh", print_sh},   {"help", print_help},     {"help-all", print_help_all},
        {"man", print_man}, {"readme", print_readme}, {"vars", print_vars},
    };
    for (size_t i = 0; argc == 2 && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].print();
            return fflush(stdout) == 0 ? 0 : 1;
        }
    }
    fputs("usage: genopts sh|help|help-all|man|readme|vars\n", stderr);
    return 1;
}
