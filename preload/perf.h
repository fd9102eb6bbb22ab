/* perf.h: the perf events that tell whether RSS may have moved, as gate.c opens them and `pmt doctor` tries them. */
#ifndef PMT_PERF_H
#define PMT_PERF_H

#include <linux/perf_event.h>
#include <stdint.h>

#define PMT_PERF_PROCESSORS_MAX 8 /* up to so many there is a pair of rings for each, beyond that for each thread */
#define PMT_PERF_CLOCK_NS 1000000
#define PMT_PERF_PER_PROCESSOR "a pair of rings per processor"
#define PMT_PERF_PER_THREAD "a pair of rings per thread"
#define PMT_PERF_FORBIDDEN "no perf events: the clock and our own hooks only"

/* Of the calling thread (cpu -1), or of all threads on a processor. What an ordinary user may do at
 * perf_event_paranoid 2: hence without the kernel's own. */
static inline struct perf_event_attr pmt_perf_attributes(uint64_t what, int cpu)
{
    return (struct perf_event_attr){
        .size = sizeof(struct perf_event_attr),
        .type = PERF_TYPE_SOFTWARE,
        .config = what,
        .sample_period = what == PERF_COUNT_SW_TASK_CLOCK ? PMT_PERF_CLOCK_NS : 1,
        .exclude_kernel = 1,
        .inherit = cpu >= 0,
        .inherit_thread = cpu >= 0,
    };
}

#endif
