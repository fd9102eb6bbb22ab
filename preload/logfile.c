/* logfile.c: the file of the event log: rows that are in it whole or not at all.
 *
 *    pmt_logfile_begin -> text, of any size -> 16 KiB at a time -> pwrite behind the last whole row -> pmt_logfile_end
 *                                                                      a failure cuts the file back to there
 *
 * State is protected by pmt_log_lock. */
#include "core.h"

#include "sys.h"

#include "poison.h"

static struct {
    struct pmt_output output;
    int64_t size; /* bytes of whole rows */
} file = {.output = {.kept = PMT_KEPT_NONE}};

static char row_buffer[16384];
static int64_t row_start; /* where in the file the buffer's first byte goes */
static int64_t row_limit; /* size that the file may not pass */
static int row_error;

static bool flush_rows(struct pmt_text *text)
{
    size_t size = (size_t)(text->at - text->start);
    if (row_error == 0 && row_start + (int64_t)size > row_limit)
        row_error = -EOVERFLOW;
    if (row_error == 0)
        row_error = pmt_output_write(&file.output, text->start, size, row_start);
    row_start += (int64_t)size;
    text->at = text->start;
    return row_error == 0;
}

/* Ends what pmt_logfile_begin() began. Either all of it is in the file, or none. */
int pmt_logfile_end(struct pmt_text *text)
{
    if (!text->is_cut)
        flush_rows(text);
    if (row_error == 0)
        file.size = row_start;
    else if (row_start > file.size && pmt_keep_is_ours(&file.output.kept))
        pmt_sys(SYS_ftruncate, file.output.kept.fd, file.size, 0, 0, 0, 0);
    pmt_keep_done(&file.output.kept);
    return row_error;
}

void pmt_logfile_begin(struct pmt_text *text, int64_t size_limit)
{
    pmt_text_init(text, row_buffer, sizeof row_buffer);
    text->flush = flush_rows;
    row_start = file.size;
    row_limit = size_limit;
    row_error = pmt_output_ensure(&file.output);
}

int pmt_logfile_create(void)
{
    return pmt_output_create(&file.output, PMT_OUTPUT_LOG);
}

/* A file that could not even take its header. */
void pmt_logfile_remove(void)
{
    pmt_output_remove(&file.output, PMT_OUTPUT_LOG);
}

/* In a child of fork: the file is the parent's. */
void pmt_logfile_forget(void)
{
    pmt_output_forget(&file.output);
    file.size = 0;
}

const char *pmt_logfile_path(void)
{
    return file.output.path;
}

/* Bytes of whole rows. */
int64_t pmt_logfile_size(void)
{
    return file.size;
}

/* The file is about to be out of reach. */
void pmt_logfile_pin(void)
{
    if (file.size > 0 && pmt_output_ensure(&file.output) == 0)
        pmt_keep_pin(&file.output.kept);
}
