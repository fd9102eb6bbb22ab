/* fmt.c against printf, gmtime and the escaping rules of the event log. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static char buffer[512], expected[512];
static struct pmt_text text;

static void start(void)
{
    pmt_text_init(&text, buffer, sizeof buffer);
}

static void check(const char *want)
{
    assert_string_equal(pmt_text_end(&text), want);
    start();
}

static const int64_t numbers[] = {0, 1, -1, 9, 10, 999, 1000, -1000, 123456, 1234567, INT64_MAX, INT64_MIN};

static void numbers_are_as_printf_prints_them(void **state)
{
    (void)state;
    start();
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        pmt_text_signed(&text, numbers[i]);
        snprintf(expected, sizeof expected, "%jd", (intmax_t)numbers[i]);
        check(expected);
        pmt_text_unsigned(&text, (uint64_t)numbers[i]);
        snprintf(expected, sizeof expected, "%ju", (uintmax_t)numbers[i]);
        check(expected);
        pmt_text_signed_right(&text, numbers[i], 12);
        snprintf(expected, sizeof expected, "%12jd", (intmax_t)numbers[i]);
        check(expected);
    }
}

static void thousands_are_grouped(void **state)
{
    static const char *const rows[] = {"0",
                                       "1",
                                       "-1",
                                       "9",
                                       "10",
                                       "999",
                                       "1,000",
                                       "-1,000",
                                       "123,456",
                                       "1,234,567",
                                       "9,223,372,036,854,775,807",
                                       "-9,223,372,036,854,775,808"};
    (void)state;
    start();
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        pmt_text_grouped(&text, numbers[i]);
        check(rows[i]);
    }
    pmt_text_grouped(&text, -123456);
    check("-123,456");
}

static void mebibytes_are_rounded_to_tenths(void **state)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } rows[] = {{0, "0.0 MiB"},           {52428, "0.0 MiB"},       {52429, "0.1 MiB"},   {1 << 20, "1.0 MiB"},
                {-(1 << 20), "-1.0 MiB"}, {220725248, "210.5 MiB"}, {-52429, "-0.1 MiB"}, {1LL << 40, "1048576.0 MiB"}};
    (void)state;
    start();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        pmt_text_mib(&text, rows[i].bytes);
        check(rows[i].text);
    }
}

static void seconds_are_cut_to_their_decimals(void **state)
{
    (void)state;
    start();
    pmt_text_seconds(&text, 1999999999, 1);
    check("1.9");
    pmt_text_seconds(&text, 1234567890, 6);
    check("1.234567");
    pmt_text_seconds(&text, 999, 6);
    check("0.000000");
    pmt_text_seconds(&text, 86400000001000, 6);
    check("86400.000001");
}

static void fields_are_padded_as_by_printf(void **state)
{
    static const char *const words[] = {"", "a", "exactly_eight", "longer than the field"};
    (void)state;
    start();
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        pmt_text_string(&text, ">>");
        size_t field = text.total;
        pmt_text_string(&text, words[i]);
        pmt_text_pad(&text, field, 13);
        pmt_text_string(&text, "|");
        snprintf(expected, sizeof expected, ">>%-13s|", words[i]);
        check(expected);
    }
}

static void format_knows_its_conversions(void **state)
{
    (void)state;
    start();
    pmt_text_format(&text, "%s %d %ld %u %zu %c %%", "a", -5, -6L, 7U, (size_t)8, 'x');
    check("a -5 -6 7 8 x %");
}

static void names_are_escaped(void **state)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        {"app.py", "app.py"},
        {"a b", "a b"},
        {"функция", "функция"},
        {"𝔘.py", "𝔘.py"},
        {"a#b", "a\\x23b"},
        {"a\\b", "a\\x5cb"},
        {"a\nb\tc\x1f", "a\\x0ab\\x09c\\x1f"},
        {"a\x7f", "a\x7f"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
        {"\xe2\x82", "\\xe2\\x82"},                   /* cut */
        {"\xe2\x82z", "\\xe2\\x82z"},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    };
    (void)state;
    start();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        pmt_text_name(&text, rows[i].bytes, strlen(rows[i].bytes));
        check(rows[i].text);
    }
    pmt_text_name(&text, "a\0b", 3);
    check("a\\x00b");
}

/* Whatever the bytes are, undoing the escapes gives them back, and the text has neither '#' nor control characters. */
static void random_names_come_back(void **state)
{
    uint64_t seed = 88172645463325252;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char bytes[24], back[100];
        size_t size = next_random(&seed) % sizeof bytes, count = 0;
        for (size_t i = 0; i < size; i++) {
            uint64_t random = next_random(&seed);
            bytes[i] = random & 1 ? (char)(random >> 8) : "\xe2\x82\xac#\\\n"[(random >> 8) % 6];
        }
        start();
        pmt_text_name(&text, bytes, size);
        for (const char *at = pmt_text_end(&text); *at; at++) {
            unsigned byte = (unsigned char)*at;
            assert_true(byte >= 0x20 && byte != '#');
            if (byte == '\\') {
                assert_int_equal(sscanf(at, "\\x%2x", &byte), 1);
                at += 3;
            }
            back[count++] = (char)byte;
        }
        assert_int_equal(count, size);
        assert_memory_equal(back, bytes, size);
    }
}

static void code_points_are_as_their_bytes(void **state)
{
    static const struct {
        uint32_t codepoint;
        const char *text;
    } rows[] = {{'a', "a"},
                {'#', "\\x23"},
                {0x7f, "\x7f"},
                {0xe9, "é"},
                {0x44f, "я"},
                {0x20ac, "€"},
                {0x1d518, "𝔘"},
                {0x10ffff, "\U0010ffff"},
                {0xdcff, "\\xff"},
                {0xdc80, "\\x80"},
                {0xd800, "\\xed\\xa0\\x80"},
                {0, "\\x00"}};
    (void)state;
    start();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        pmt_text_codepoint(&text, rows[i].codepoint);
        check(rows[i].text);
    }
}

static char sink[4096];
static size_t sink_size;

static bool flush_to_sink(struct pmt_text *flushed)
{
    size_t size = (size_t)(flushed->at - flushed->start);
    memcpy(sink + sink_size, flushed->start, size);
    sink_size += size;
    flushed->at = flushed->start;
    return true;
}

static void a_full_buffer_is_flushed_in_order(void **state)
{
    char small[7];
    (void)state;
    sink_size = 0;
    pmt_text_init(&text, small, sizeof small);
    text.flush = flush_to_sink;
    for (int i = 0; i < 300; i++)
        pmt_text_format(&text, "%d,", i);
    flush_to_sink(&text);
    assert_false(text.is_cut);
    assert_int_equal(sink_size, text.total);
    size_t at = 0;
    for (int i = 0; i < 300; i++) {
        int size = snprintf(expected, sizeof expected, "%d,", i);
        assert_memory_equal(sink + at, expected, (size_t)size);
        at += (size_t)size;
    }
    assert_int_equal(at, sink_size);
}

static void without_flush_the_text_is_cut_and_says_so(void **state)
{
    char small[5];
    (void)state;
    pmt_text_init(&text, small, sizeof small);
    pmt_text_string(&text, "abc");
    assert_false(text.is_cut);
    pmt_text_string(&text, "defgh");
    assert_true(text.is_cut);
    assert_string_equal(pmt_text_end(&text), "abcd");
}

static void stamps_are_utc_dates(void **state)
{
    static const int64_t times[] = {0,          951782399,  951782400,  1709164800,
                                    1735689599, 1735689600, 4102444799, 1763633730};
    uint64_t seed = 1;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(times) + 5000; i++) {
        int64_t at = i < COUNT_OF(times) ? times[i] : (int64_t)(next_random(&seed) % 5000000000ULL);
        time_t seconds = (time_t)at;
        struct tm date;
        char stamp[14];
        gmtime_r(&seconds, &date);
        strftime(expected, sizeof expected, "%Y%m%d_%H%M%S", &date);
        pmt_utc_stamp(stamp, at);
        assert_string_equal(stamp, expected + 2);
    }
}

static void errors_have_names_in_both_signs(void **state)
{
    (void)state;
    assert_string_equal(pmt_error_name(ENOSPC), "no space left on device");
    assert_string_equal(pmt_error_name(-ENOSPC), "no space left on device");
    assert_non_null(pmt_error_name(-4000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_as_printf_prints_them),
        cmocka_unit_test(thousands_are_grouped),
        cmocka_unit_test(mebibytes_are_rounded_to_tenths),
        cmocka_unit_test(seconds_are_cut_to_their_decimals),
        cmocka_unit_test(fields_are_padded_as_by_printf),
        cmocka_unit_test(format_knows_its_conversions),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(random_names_come_back),
        cmocka_unit_test(code_points_are_as_their_bytes),
        cmocka_unit_test(a_full_buffer_is_flushed_in_order),
        cmocka_unit_test(without_flush_the_text_is_cut_and_says_so),
        cmocka_unit_test(stamps_are_utc_dates),
        cmocka_unit_test(errors_have_names_in_both_signs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
