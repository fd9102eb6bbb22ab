/* profile.c: adds captures up by what their sites are: call stack, label and owner. */
#include "profile.h"

#include <stdlib.h>
#include <string.h>

void profile_start(struct profile *profile)
{
    *profile = (struct profile){.figures = NULL};
    intern_text(&profile->texts, (struct text){"", 0});
    for (uint32_t stack = 0; stack < STACK_FIRST; stack++)
        intern_key(&profile->stacks, (struct key){{0, NO_FRAME, stack, 0}});
}

void profile_free(struct profile *profile)
{
    text_table_free(&profile->texts);
    key_table_free(&profile->frames);
    key_table_free(&profile->stacks);
    key_table_free(&profile->sites);
    free(profile->figures);
    free(profile->short_paths);
}

/* An array of IDs of the profile, one for each of the capture. */
static uint32_t *new_map(size_t count)
{
    size_t capacity = 0;
    return grow(NULL, &capacity, count + 1, sizeof(uint32_t));
}

/* Of each node its stack. */
static uint32_t *map_nodes(struct profile *profile, const struct capture *capture)
{
    uint32_t *stacks = new_map(capture->node_count), *files = new_map(capture->function_count),
             *names = new_map(capture->function_count);
    for (size_t i = 0; i < capture->function_count; i++) {
        files[i] = intern_text(&profile->texts, capture->functions[i].file);
        names[i] = intern_text(&profile->texts, capture->functions[i].name);
    }
    for (uint32_t i = 0; i < capture->node_count; i++) {
        const struct pmt_record_node *node = &capture->nodes[i];
        struct key frame = {{0, 0, 0, 0}};
        if (node->function != PMT_NO_FUNCTION)
            frame = (struct key){{files[node->function], names[node->function],
                                  (uint32_t)capture->functions[node->function].first_line, (uint32_t)node->line}};
        if (i < PMT_NODE_FIRST)
            stacks[i] = i == PMT_NODE_CUT ? STACK_CUT : STACK_NONE;
        else
            stacks[i] = intern_key(&profile->stacks,
                                   (struct key){{stacks[node->parent], intern_key(&profile->frames, frame), 0, 0}});
    }
    free(files);
    free(names);
    return stacks;
}

static uint32_t find_label(struct profile *profile, const struct capture *capture, uint32_t label)
{
    return label == PMT_NO_STRING ? 0 : intern_text(&profile->texts, capture_string(capture, label)) + 1;
}

/* Of each site that of the profile. */
static uint32_t *map_sites(struct profile *profile, const struct capture *capture)
{
    uint32_t *stacks = map_nodes(profile, capture), *sites = new_map(capture->site_count);
    for (uint32_t i = 0; i < capture->site_count; i++) {
        const struct pmt_record_site *site = &capture->sites[i];
        struct key key = {{i == PMT_SITE_OTHER ? STACK_OTHER : stacks[site->node],
                           find_label(profile, capture, site->label), site->owner, 0}};
        size_t known = profile->sites.count;
        sites[i] = intern_key(&profile->sites, key);
        if (sites[i] < known)
            continue;
        profile->figures =
            grow(profile->figures, &profile->figure_capacity, profile->sites.count, sizeof *profile->figures);
        memset(&profile->figures[sites[i]], 0, sizeof *profile->figures);
    }
    free(stacks);
    return sites;
}

/* One capture's figures can be added in any order (sums.c); those of very many might not. */
static void add_figure(int64_t *sum, int64_t figure)
{
    if (!__builtin_add_overflow(*sum, figure, sum))
        return;
    complain("the figures of these captures add up to more than 64 bits");
    exit(EXIT_BAD);
}

static void add(struct figures *figures, const struct figures *more)
{
    for (int i = 0; i < FIGURES; i++)
        add_figure(&figures->of[i], more->of[i]);
}

static void shrink(struct figures *figures, int64_t bytes, int64_t blocks)
{
    add_figure(&figures->of[GROWTH_BYTES], -bytes);
    add_figure(&figures->of[GROWTH_BLOCKS], -blocks);
}

static int64_t both(const int64_t owners[OWNERS])
{
    return owners[OWNER_NATIVE] + owners[OWNER_PYTHON];
}

/* What the capture says of the whole process. */
struct figures profile_totals(const struct capture *capture)
{
    const struct pmt_capture_state *state = &capture->state;
    struct figures figures = {{[LIVE_BYTES] = both(capture->live_bytes),
                               [LIVE_BLOCKS] = both(capture->live_blocks),
                               [PEAK_BYTES] = state->peak_bytes,
                               [GROWTH_BYTES] = both(capture->live_bytes),
                               [GROWTH_BLOCKS] = both(capture->live_blocks)}};
    for (int owner = 0; owner < OWNERS; owner++) {
        figures.of[TOTAL_BYTES] += state->owners[owner].total_bytes;
        figures.of[TOTAL_BLOCKS] += state->owners[owner].total_blocks;
        figures.of[TEMPORARY_BLOCKS] += state->owners[owner].temporary_blocks;
    }
    return figures;
}

static struct figures figures_of(const struct pmt_record_site *site)
{
    return (struct figures){{[LIVE_BYTES] = site->live_bytes,
                             [LIVE_BLOCKS] = site->live_blocks,
                             [PEAK_BYTES] = site->peak_bytes,
                             [TOTAL_BYTES] = (int64_t)site->total_bytes,
                             [TOTAL_BLOCKS] = (int64_t)site->total_blocks,
                             [TEMPORARY_BLOCKS] = (int64_t)site->temporary_blocks,
                             [GROWTH_BYTES] = site->live_bytes,
                             [GROWTH_BLOCKS] = site->live_blocks}};
}

/* Adds all figures of a capture. With `base`, a snapshot of it, its growth is what is live beyond that. */
void profile_add(struct profile *profile, const struct capture *capture, const struct capture_snapshot *base)
{
    uint32_t *sites = map_sites(profile, capture);
    struct figures totals = profile_totals(capture);
    add(&profile->totals, &totals);
    for (uint32_t i = 0; i < capture->site_count; i++) {
        struct figures figures = figures_of(&capture->sites[i]);
        add(&profile->figures[sites[i]], &figures);
    }
    for (uint64_t i = 0; base && i < base->held_count; i++)
        shrink(&profile->figures[sites[base->held[i].site]], base->held[i].live_bytes, base->held[i].live_blocks);
    if (base)
        shrink(&profile->totals, both(base->live_bytes), both(base->live_blocks));
    if (profile->cwd.size == 0)
        profile->cwd = capture_meta(capture, "cwd");
    free(sites);
}

/* Takes what is live in a capture off the growth. */
void profile_subtract(struct profile *profile, const struct capture *base)
{
    uint32_t *sites = map_sites(profile, base);
    for (uint32_t i = 0; i < base->site_count; i++)
        shrink(&profile->figures[sites[i]], base->sites[i].live_bytes, base->sites[i].live_blocks);
    shrink(&profile->totals, both(base->live_bytes), both(base->live_blocks));
    free(sites);
}
