/* told.c: the calls of C functions that a profile function of the program's was told of, and that are not over.
 *
 * CPython decides at the C_CALL whether it will tell of the end as well, by whether the thread has a profile function
 * then. With ours it always has one; so what the program is told at the end is decided here. A frame has at most one
 * call of a C function under way, and frames are unique: so the frames are a set, in the order in which they came, for
 * all threads together. Protected by the GIL. */
#include "pyhooks.h"

#include <string.h>

#include "sys.h"

#include "poison.h"

#define FIRST_ROOM 64

size_t pmt_told_count;

static const PyFrameObject *first_frames[FIRST_ROOM], **frames = first_frames;
static size_t room = FIRST_ROOM;
static bool is_incomplete; /* for want of memory: who asks is told yes */

static bool make_room(void)
{
    const PyFrameObject **more = pmt_sys_pages(2 * room * sizeof *more);
    if (!more)
        return false;
    memcpy(more, frames, room * sizeof *more);
    if (frames != first_frames)
        pmt_sys(SYS_munmap, (long)frames, (long)(room * sizeof *frames), 0, 0, 0, 0);
    frames = more;
    room *= 2;
    return true;
}

/* The program has been told of a C_CALL in `frame`. */
void pmt_told_add(const PyFrameObject *frame)
{
    if (pmt_told_count == room && !make_room())
        is_incomplete = true;
    else
        frames[pmt_told_count++] = frame;
}

/* The call is over. Whether the program has been told of it. */
bool pmt_told_take(const PyFrameObject *frame)
{
    for (size_t i = pmt_told_count; i-- > 0;) /* nearly always the last one, or among the last */
        if (frames[i] == frame) {
            pmt_told_count--;
            memmove(frames + i, frames + i + 1, (pmt_told_count - i) * sizeof *frames);
            return true;
        }
    return is_incomplete;
}
