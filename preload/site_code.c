/* site_code.c: which function a code object is, for those that are alive.
 *
 *    words: address / 8 in 44 bits | function in 20 bits        0: free, GONE: somebody was here
 *
 * Open addressing, at most half full. A search takes no lock: a word is whole, it stays where it is as long as its code
 * object lives, and nobody asks for one that does not. A word that is taken out becomes GONE, so that searches go on
 * across it, or 0 if nothing comes after it. When too many have gathered, the living are copied to another array; the
 * old one is emptied and kept for the next time, and `moves` tells searches that found nothing in it to look again. So
 * memory is that of the most code objects that were alive at once. Protected by pmt_site_lock; the words, `words` and
 * `moves` are atomic. */
#include "site.h"

#include "sys.h"
#include "table.h"

#include "poison.h"

#define FUNCTION_BITS 20
#define FUNCTION_MASK (((uint64_t)1 << FUNCTION_BITS) - 1)
#define GONE (~(uint64_t)0) /* its address would be in the last page below the kernel, which is never mapped */
#define FIRST_BITS 9        /* one page */
#define CODES_MAX ((size_t)1 << 20)

_Static_assert(PMT_FUNCTIONS_MAX <= FUNCTION_MASK, "a function fits");

static uintptr_t words; /* as an index in table.h; never goes back to 0 */
static uintptr_t idle;  /* an array of that size that is not used now; 0: none */
static uint64_t moves;
static size_t alive, gone; /* words of these kinds; at every moment at least as many as there are */

static uint64_t load_word(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store_word(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static size_t home_of(uintptr_t packed, uint64_t address)
{
    return pmt_table_home(packed, (address >> 4) * 0x9e3779b97f4a7c15u);
}

/* The word with this address, and where it is; 0: none. */
PMT_HOT uint64_t find_word(uintptr_t packed, uint64_t address, size_t *at)
{
    const uint64_t *array = pmt_table_array(packed);
    size_t mask = pmt_table_room(packed) - 1;
    if (PMT_UNLIKELY(!packed))
        return 0;
    for (*at = home_of(packed, address);; *at = (*at + 1) & mask) {
        uint64_t word = load_word(&array[*at]);
        if (PMT_UNLIKELY(!word) || PMT_LIKELY(word >> FUNCTION_BITS == address >> 3))
            return word;
    }
}

/* Nothing was found. If words were moved meanwhile, another search says whether that is so. */
static PMT_SLOW uint32_t find_again(uint64_t address, uint64_t moves_before)
{
    size_t at;
    if (moves_before == __atomic_load_n(&moves, __ATOMIC_ACQUIRE) || !pmt_lock_take(&pmt_site_lock))
        return PMT_NO_FUNCTION;
    uint64_t word = find_word(words, address, &at);
    pmt_lock_drop(&pmt_site_lock);
    return word ? (uint32_t)(word & FUNCTION_MASK) : PMT_NO_FUNCTION;
}

/* Function of a code object that is alive, PMT_NO_FUNCTION if it was not entered. */
uint32_t pmt_site_code_function(const void *code)
{
    size_t at;
    uint64_t moves_before = __atomic_load_n(&moves, __ATOMIC_ACQUIRE);
    uint64_t word = find_word(__atomic_load_n(&words, __ATOMIC_ACQUIRE), (uintptr_t)code, &at);
    return PMT_LIKELY(word != 0) ? (uint32_t)(word & FUNCTION_MASK) : find_again((uintptr_t)code, moves_before);
}

/* ---- changes */

static void put_word(uintptr_t packed, uint64_t word)
{
    uint64_t *array = pmt_table_array(packed);
    size_t mask = pmt_table_room(packed) - 1, at = home_of(packed, word >> FUNCTION_BITS << 3);
    while (load_word(&array[at]) && load_word(&array[at]) != GONE)
        at = (at + 1) & mask;
    bool was_gone = load_word(&array[at]) == GONE;
    alive++;
    store_word(&array[at], word);
    gone -= was_gone;
}

/* An empty array of 1 << `bits` words: the idle one, or a new one. */
static uintptr_t take_array_locked(unsigned bits)
{
    uint64_t *array = pmt_table_array(idle);
    size_t room = (size_t)1 << bits;
    bool is_idle = pmt_table_room(idle) == room;
    idle = 0;
    if (!is_idle) {
        array = pmt_table_pages_locked(room * sizeof *array);
        return array ? pmt_table_pack(array, bits) : 0;
    }
    for (size_t i = 0; i < room; i++) /* the kernel may have refused to (mlockall) */
        store_word(&array[i], 0);
    return pmt_table_pack(array, bits);
}

/* Copies the living to an array that is at most a quarter full with them. */
static bool move_locked(void)
{
    uintptr_t old = words;
    size_t old_room = pmt_table_room(old);
    uint64_t *array = pmt_table_array(old);
    unsigned bits = old ? (unsigned)(old & PMT_TABLE_BITS_MASK) : FIRST_BITS;
    uintptr_t fresh = take_array_locked(alive * 4 > old_room ? bits + 1 : bits);
    if (!fresh)
        return false;
    alive = gone = 0;
    for (size_t i = 0; i < old_room; i++)
        if (array[i] && array[i] != GONE)
            put_word(fresh, array[i]);
    __atomic_store_n(&words, fresh, __ATOMIC_RELEASE);
    __atomic_fetch_add(&moves, 1, __ATOMIC_SEQ_CST);
    pmt_table_retire_locked(array, old_room * sizeof *array);
    if (pmt_table_room(fresh) == old_room)
        idle = old;
    return true;
}

static bool enter_locked(uint64_t address, uint64_t word)
{
    size_t at;
    if (find_word(words, address, &at)) {
        store_word((uint64_t *)pmt_table_array(words) + at, word);
        return true;
    }
    if (alive >= CODES_MAX || ((alive + gone + 1) * 2 > pmt_table_room(words) && !move_locked()))
        return false;
    put_word(words, word);
    return true;
}

/* False: it cannot be entered; it will be met as not entered again. */
bool pmt_site_code_enter(const void *code, uint32_t function)
{
    uint64_t address = (uintptr_t)code, word = address >> 3 << FUNCTION_BITS | function;
    if (!code || function > FUNCTION_MASK || word >> FUNCTION_BITS << 3 != address || word == GONE)
        return false;
    if (!pmt_lock_take(&pmt_site_lock))
        return false;
    bool is_entered = enter_locked(address, word);
    pmt_lock_drop(&pmt_site_lock);
    return is_entered;
}

static void forget_locked(uint64_t address)
{
    size_t at, mask = pmt_table_room(words) - 1;
    uint64_t *array = pmt_table_array(words);
    if (!find_word(words, address, &at))
        return;
    gone++;
    store_word(&array[at], GONE);
    alive--;
    for (; !load_word(&array[(at + 1) & mask]) && load_word(&array[at]) == GONE; at = (at - 1) & mask) {
        store_word(&array[at], 0);
        gone--;
    }
}

/* The code object dies. (A thread that is entering something does not come here: that would be a code object that dies
 * in a signal handler.) */
void pmt_site_code_forget(const void *code)
{
    if (pmt_site_code_function(code) == PMT_NO_FUNCTION || !pmt_lock_take(&pmt_site_lock))
        return;
    forget_locked((uintptr_t)code);
    pmt_lock_drop(&pmt_site_lock);
}

/* ---- for tests */

bool pmt_site_code_is_valid_locked(uint32_t functions)
{
    size_t room = pmt_table_room(words), alive_found = 0, gone_found = 0, at;
    const uint64_t *array = pmt_table_array(words);
    for (size_t i = 0; i < room; i++) {
        if (array[i] == GONE)
            gone_found++;
        else if (array[i]) {
            alive_found++;
            if (find_word(words, array[i] >> FUNCTION_BITS << 3, &at) != array[i] || at != i ||
                (array[i] & FUNCTION_MASK) >= functions)
                return false;
        }
    }
    return alive_found == alive && gone_found == gone && (alive + gone) * 2 <= room;
}
