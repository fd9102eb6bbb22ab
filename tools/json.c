/* json.c: what the JSON of several commands has in common: places, processes, warnings. Each function prints keys with
 * their values, and a comma in front: none of them starts an object. */
#include "profile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void json_int(const char *name, int64_t value)
{
    printf(", \"%s\": %" PRId64, name, value);
}

/* Nanoseconds as seconds, to the nanosecond. */
void json_seconds(const char *name, int64_t ns)
{
    uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    printf(", \"%s\": %s%" PRIu64 ".%09" PRIu64, name, ns < 0 ? "-" : "", size / 1000000000, size % 1000000000);
}

static void put_text(FILE *out, struct text text)
{
    if (text.size)
        json_string(out, text);
    else
        fputs("null", out);
}

/* ---- places */

/* A frame of which only some parts are asked for; the others are null. */
static void put_frame(FILE *out, const struct profile *profile, uint32_t frame, bool has_function, bool has_line)
{
    const uint32_t *parts = profile->frames.keys[frame].part;
    fputs("{\"kind\": \"python\", \"file\": ", out);
    put_text(out, profile->texts.texts[parts[FRAME_FILE]]);
    if (has_line && parts[FRAME_LINE])
        fprintf(out, ", \"line\": %" PRId32, (int32_t)parts[FRAME_LINE]);
    else
        fputs(", \"line\": null", out);
    fputs(", \"function\": ", out);
    put_text(out, has_function ? profile->texts.texts[parts[FRAME_FUNCTION]] : (struct text){"", 0});
    putc('}', out);
}

/* Prints every frame once, since stacks share them. */
void json_frames_start(struct json_frames *json, const struct profile *profile)
{
    size_t capacity = 0;
    json->frames = grow(NULL, &capacity, profile->frames.count + 1, sizeof *json->frames);
    for (uint32_t i = 0; i < profile->frames.count; i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        if (out)
            put_frame(out, profile, i, true, true);
        if (!out || fclose(out) != 0) {
            complain("out of memory");
            exit(EXIT_BAD);
        }
        json->frames[i] = (struct text){text, size};
    }
}

void json_frames_free(struct json_frames *json, const struct profile *profile)
{
    for (size_t i = 0; i < profile->frames.count; i++)
        free((void *)(uintptr_t)json->frames[i].at);
    free(json->frames);
}

/* "stack": [...], and what else tells sites apart; without a comma in front. */
void json_place(const struct json_frames *json, const struct profile *profile, const struct view *view,
                const struct row *row)
{
    const uint32_t *parts = profile->sites.keys[row->site].part;
    uint32_t stack = parts[SITE_STACK];
    fputs("\"stack\": [", stdout);
    for (bool is_first = true; stack >= STACK_FIRST && view->by != BY_LABEL; is_first = false) {
        uint32_t frame = profile_frame(profile, stack);
        stack = profile_parent(profile, stack);
        fputs(is_first ? "" : ", ", stdout);
        if (view->by == BY_STACK || view->by == BY_LINE)
            fwrite(json->frames[frame].at, 1, json->frames[frame].size, stdout);
        else
            put_frame(stdout, profile, frame, view->by == BY_FUNCTION, false);
        if (view->by != BY_STACK)
            break;
    }
    putchar(']');
    if (view->by == BY_STACK && stack == STACK_CUT)
        fputs(", \"is_cut\": true", stdout);
    if (view->by != BY_LABEL && stack == STACK_OTHER)
        fputs(", \"is_other\": true", stdout);
    else if (view->by == BY_STACK || (view->by != BY_LABEL && parts[SITE_STACK] == STACK_NONE))
        printf(", \"owner\": \"%s\"", parts[SITE_OWNER] == OWNER_PYTHON ? "python" : "native");
    if (view->by == BY_LABEL || (view->by == BY_STACK && parts[SITE_LABEL])) {
        fputs(", \"label\": ", stdout);
        put_text(stdout, parts[SITE_LABEL] ? profile->texts.texts[parts[SITE_LABEL] - 1] : (struct text){"", 0});
    }
}

/* ---- processes */

/* "pid": ... to "ended": ..., without a comma in front. */
void json_process(const struct capture *capture)
{
    static const char *const ends[] = {
        [END_EXIT] = "exit", [END_EXEC] = "exec", [END_KILLED] = "killed", [END_RUNNING] = "running"};
    printf("\"pid\": %" PRIu32 ", \"ppid\": %" PRIu32 ", \"argv\": [", capture->header.pid, capture->header.parent_pid);
    bool is_first = true;
    for (size_t i = 0; i < capture->meta_count; i += 2) {
        if (!text_equal(capture->meta[i], text_of("argv")))
            continue;
        fputs(is_first ? "" : ", ", stdout);
        json_string(stdout, capture->meta[i + 1]);
        is_first = false;
    }
    fputs("], \"python\": ", stdout);
    put_text(stdout, capture_meta(capture, "python"));
    json_seconds("start", capture->header.start_unix_ns);
    json_seconds("duration", capture->state.time_ns);
    if (capture->ended == END_EXIT && capture->state.exit_status >= 0)
        json_int("exit", capture->state.exit_status);
    else
        fputs(", \"exit\": null", stdout);
    printf(", \"ended\": \"%s\"", ends[capture->ended]);
}

void json_warnings(const struct capture *captures, size_t count)
{
    bool is_first = true;
    fputs(", \"warnings\": [", stdout);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < captures[i].warning_count; j++) {
            fputs(is_first ? "" : ", ", stdout);
            json_string(stdout, text_of(captures[i].warnings[j]));
            is_first = false;
        }
    }
    putchar(']');
}
