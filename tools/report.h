/* report.h: `pmt report`: captures of one or several processes, and what is asked of them.
 *
 *   cmd_report.c  options, files -> report_words.c  for people
 *                                -> report_json.c   for machines */
#ifndef PMT_REPORT_H
#define PMT_REPORT_H

#include "profile.h"

struct report {
    struct capture *captures; /* in the order of their start */
    size_t count;
    size_t root; /* the process that is no other's child */
    struct profile profile;
    struct view view;
    const struct table *sort; /* NULL: not asked for */
};
void report_words(struct report *report);
void report_json(struct report *report);

#endif
