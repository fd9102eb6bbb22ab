/* fuzz_capture.c: `pmt report` and `pmt diff` on any bytes. As a libFuzzer target it is built like fuzz_log.c; else it
 * replays a corpus (replay.h).
 *
 * A capture is mostly zeros, so an input is what is not: uint32_t offset, uint32_t size, bytes; again and again (see
 * make_corpus.py). Each is read as it is, and with the checksums of its states made right. */
#include "profile.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay.h"

enum { IMAGE_LIMIT = 256 << 10 };

static uint8_t image[IMAGE_LIMIT];

/* Size of the file that the input stands for. */
static size_t expand(const uint8_t *data, size_t size)
{
    size_t end = 0;
    memset(image, 0, sizeof image);
    while (size > 0) {
        uint32_t head[2] = {0, 0};
        memcpy(head, data, size < sizeof head ? size : sizeof head);
        size_t used = size < sizeof head ? size : sizeof head;
        data += used, size -= used;
        size_t offset = head[0] % IMAGE_LIMIT;
        size_t count = head[1] < size ? head[1] : size;
        size_t taken = count < IMAGE_LIMIT - offset ? count : IMAGE_LIMIT - offset;
        memcpy(image + offset, data, taken);
        end = offset + taken > end ? offset + taken : end;
        data += count, size -= count;
    }
    return end;
}

static void repair(void)
{
    for (int slot = 1; slot <= 2; slot++) {
        struct pmt_capture_state state;
        uint64_t hash = 0xcbf29ce484222325u;
        memcpy(&state, image + slot * PMT_CAPTURE_STATE_AT, sizeof state);
        for (size_t i = 0; i < offsetof(struct pmt_capture_state, checksum); i++)
            hash = (hash ^ ((const uint8_t *)&state)[i]) * 0x100000001b3u;
        state.checksum = hash;
        memcpy(image + slot * PMT_CAPTURE_STATE_AT, &state, sizeof state);
    }
}

/* What read.h promises of a capture that can be read. */
static void check_records(const struct capture *capture)
{
    int64_t sum = 0, peak = 0;
    for (uint32_t i = 0; i < capture->site_count; i++) {
        sum += capture->sites[i].live_bytes;
        peak += capture->sites[i].peak_bytes;
        if (capture->sites[i].node >= capture->node_count || capture->sites[i].owner >= OWNERS)
            give_up("a site's stack is known");
    }
    for (uint32_t i = PMT_NODE_FIRST; i < capture->node_count; i++) {
        if (capture->nodes[i].parent >= i)
            give_up("parents have smaller IDs");
    }
    int64_t live = capture->live_bytes[0] + capture->live_bytes[1], excess = peak - capture->state.peak_bytes;
    bool is_closed = sum == live && (excess < 0 ? -excess : excess) <= capture->state.peak_error_bytes;
    if (capture_has_sites(capture) && !is_closed && capture->warning_count == 0)
        give_up("sums close, or a warning says that they do not");
}

static void check_capture(const char *path)
{
    struct capture capture;
    if (capture_open(&capture, path) == 0)
        check_records(&capture);
    else if (capture.error[0] == '\0' || strlen(capture.error) >= sizeof capture.error - 1)
        give_up("who refuses says why");
    capture_close(&capture);
}

/* A capture that is accepted ends in one whole JSON object; of one that is refused nothing is printed. */
static void run(int (*command)(int argc, char **argv), const char *options, const char *path)
{
    char words[8][64], *argv[9], *output = NULL;
    int count = 0;
    size_t size = 0;
    snprintf(words[count++], sizeof *words, "pmt: fuzz");
    for (const char *at = options; *at; at += strspn(at, " ")) {
        snprintf(words[count++], sizeof *words, "%.*s", (int)strcspn(at, " "), at);
        at += strcspn(at, " ");
    }
    snprintf(words[count++], sizeof *words, "%s", path);
    for (int i = 0; i < count; i++)
        argv[i] = words[i];
    argv[count] = NULL;
    FILE *terminal = stdout;
    stdout = open_memstream(&output, &size);
    optind = 0; /* makes glibc's getopt start afresh */
    int status = command(count, argv);
    fclose(stdout);
    stdout = terminal;
    bool is_object = size > 2 && output[0] == '{' && memcmp(output + size - 2, "}\n", 2) == 0;
    if (status != EXIT_GOOD ? size != 0 : strstr(options, "--json") && !is_object)
        give_up("what was printed does not go with the status");
    free(output);
}

static void read_image(const uint8_t *bytes, size_t size)
{
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        give_up("no memory file");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check_capture(path);
    unsigned turn = 0; /* one command for each input, but another for every few */
    for (size_t i = 0; i < size; i += 8)
        turn += bytes[i];
    if (turn % 3 == 0)
        run(cmd_report, "--json", path);
    else if (turn % 3 == 1)
        run(cmd_report, "--by function --ignore json --stacks", path);
    else
        run(cmd_diff, "--json --from growth-1 --to exit", path);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    if (!nowhere)
        nowhere = stderr = fopen("/dev/null", "w"); /* complaints; sanitizers write to descriptor 2 */
    size_t file_size = expand(data, size);
    read_image(image, file_size);
    repair();
    read_image(image, file_size);
    return 0;
}
