/* progress.c: a line on stderr, if that is a terminal, that says how far the work is. */
#include "tool.h"

#include <time.h>
#include <unistd.h>

struct progress progress_start(void)
{
    return (struct progress){.start = time(NULL), .is_wanted = isatty(STDERR_FILENO)};
}

/* "pmt: reading a.log  42%", in place of what was shown before. */
void progress_show(struct progress *progress, const char *verb, const char *path, const char *done)
{
    if (!progress->is_wanted || time(NULL) - progress->start < 2) /* whole seconds: more than one has passed */
        return;
    fprintf(stderr, "\rpmt: %s ", verb);
    text_print(stderr, text_of(path));
    fprintf(stderr, " %s", done);
    progress->is_shown = true;
}

void progress_end(struct progress *progress)
{
    if (progress->is_shown)
        fputs("\r\033[K", stderr);
    progress->is_shown = false;
}
