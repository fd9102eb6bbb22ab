/* notice.c: libc functions that are noticed, then jumped to.
 *
 *    caller --call--> pmt_dlopen --call--> pmt_notice_dlopen
 *                          +------jump--> next dlopen, which sees the caller's return address and arguments
 *
 * A jump, not a call: dlopen searches the RUNPATH of the object that its return address lies in, and execl's arguments
 * cannot be passed on from C. The stubs are below, one per NOTICE row of hook.def. */
#define _GNU_SOURCE
#include "core.h"
#include "real.h"

#include <link.h>

#include "sys.h"

/* Registers of the six integer arguments and %rax (vector count of variadic calls) survive the notice; seven pushes and
 * the return address keep the stack aligned to 16. */
#define PUSH(register) "push %" #register "\n.cfi_adjust_cfa_offset 8\n"
#define POP(register) "pop %" #register "\n.cfi_adjust_cfa_offset -8\n"
#define STUB(name)                                                                                                     \
    __asm__(".text\n.p2align 4\n.globl pmt_" #name "\n.type pmt_" #name ", @function\n"                                \
            "pmt_" #name ":\n.cfi_startproc\nendbr64\n" PUSH(rax) PUSH(rdi) PUSH(rsi) PUSH(rdx) PUSH(rcx) PUSH(r8)     \
                PUSH(r9) "call pmt_notice_" #name "\n" POP(r9) POP(r8) POP(rcx) POP(rdx) POP(rsi) POP(rdi)             \
                    POP(rax) "jmp *pmt_next_" #name "(%rip)\n.cfi_endproc\n.size pmt_" #name ", . - pmt_" #name "\n");

#define HOOK(...)
#define NOTICE(name) STUB(name)
#include "hook.def"
#undef HOOK
#undef NOTICE

/* ---- dlopen: may bring a libpython. It can be looked for only after the call, and the jump does not come back here;
 * so the look happens in the calling thread's next allocations, the first ones of which are dlopen's own. */

/* Allocations watched at most: dlopen of an object that is loaded already adds nothing to see. */
#define LOOKS_AFTER_DLOPEN 4096

static __thread int looks_left;
static __thread uint64_t loads_before;

static PMT_SLOW void look_for_python(void)
{
    bool is_mapped = pmt_elf_load_count() != loads_before && _r_debug.r_state == RT_CONSISTENT;
    if (is_mapped && pmt_python_look() != PMT_FOUND_UNREADY)
        return;
    if (looks_left > 0) {
        looks_left--;
        pmt_count_when_next_called(look_for_python);
    }
}

void pmt_notice_dlopen(const char *name, int flags);
void pmt_notice_dlopen(const char *name, int flags)
{
    (void)flags;
    if (!pmt_real_resolve() || !name || pmt_state != PMT_ON)
        return;
    if (pmt_python_is_found) {
        pmt_python_loading();
        return;
    }
    loads_before = pmt_elf_load_count();
    looks_left = LOOKS_AFTER_DLOPEN;
    pmt_count_when_next_called(look_for_python);
}

void pmt_notice_dlclose(void);
void pmt_notice_dlclose(void)
{
    if (pmt_real_resolve() && (pmt_python_is_starting || pmt_python_has_stacks))
        pmt_python_unloaded();
}

void pmt_notice_pthread_create(void);
void pmt_notice_pthread_create(void)
{
    if (!pmt_real_resolve() || pmt_state != PMT_ON)
        return;
    pmt_peak_expect_threads();
    pmt_python_thread_created();
}

/* CPython puts the thread's state there. */
void pmt_notice_pthread_setspecific(unsigned key, void *value);
void pmt_notice_pthread_setspecific(unsigned key, void *value)
{
    if (pmt_real_resolve() && pmt_state == PMT_ON)
        pmt_python_thread_stores(key, value);
}

/* ---- ends without handlers */

static void notice_end(int status)
{
    pmt_real_resolve();
    pmt_life_end(status);
}

void pmt_notice__exit(int status);
void pmt_notice__exit(int status)
{
    notice_end(status);
}

void pmt_notice__Exit(int status);
void pmt_notice__Exit(int status)
{
    notice_end(status);
}

/* Handlers are still to run; the end comes in pmt_life's own at_quick_exit handler. */
void pmt_notice_quick_exit(int status);
void pmt_notice_quick_exit(int status)
{
    pmt_real_resolve();
    pmt_life_quick_exit_status = status;
}

#define NOTICE_BY(name, action)                                                                                        \
    void pmt_notice_##name(void);                                                                                      \
    void pmt_notice_##name(void)                                                                                       \
    {                                                                                                                  \
        pmt_real_resolve();                                                                                            \
        action();                                                                                                      \
    }

/* ---- exec */
NOTICE_BY(execve, pmt_life_exec)
NOTICE_BY(execv, pmt_life_exec)
NOTICE_BY(execvp, pmt_life_exec)
NOTICE_BY(execvpe, pmt_life_exec)
NOTICE_BY(fexecve, pmt_life_exec)
NOTICE_BY(execveat, pmt_life_exec)
NOTICE_BY(execl, pmt_life_exec)
NOTICE_BY(execlp, pmt_life_exec)
NOTICE_BY(execle, pmt_life_exec)

/* Our paths are about to mean something else, or to be forbidden: what is open stays open. */
static void notice_reach(void)
{
    if (pmt_state != PMT_ON || pmt_sys_getpid() != pmt_pid)
        return;
    pmt_capture_pin();
    pmt_log_pin();
}
NOTICE_BY(chroot, notice_reach)
NOTICE_BY(setuid, notice_reach)
NOTICE_BY(seteuid, notice_reach)
NOTICE_BY(setreuid, notice_reach)
NOTICE_BY(setresuid, notice_reach)

/* ---- jumps: a call of ours that a signal handler leaves by one is never finished */
NOTICE_BY(longjmp, pmt_life_abandon)
NOTICE_BY(_longjmp, pmt_life_abandon)
NOTICE_BY(siglongjmp, pmt_life_abandon)
NOTICE_BY(__longjmp_chk, pmt_life_abandon)

/* ---- calls that move RSS without a page fault of the process: the kernel writes to its memory, or gives some back */
NOTICE_BY(malloc_trim, pmt_gate_touch)
NOTICE_BY(read, pmt_gate_touch)
NOTICE_BY(pread, pmt_gate_touch)
NOTICE_BY(pread64, pmt_gate_touch)
NOTICE_BY(readv, pmt_gate_touch)
NOTICE_BY(preadv, pmt_gate_touch)
NOTICE_BY(preadv64, pmt_gate_touch)
NOTICE_BY(recv, pmt_gate_touch)
NOTICE_BY(recvfrom, pmt_gate_touch)
NOTICE_BY(recvmsg, pmt_gate_touch)
NOTICE_BY(__read_chk, pmt_gate_touch)
NOTICE_BY(__pread_chk, pmt_gate_touch)
NOTICE_BY(__pread64_chk, pmt_gate_touch)
NOTICE_BY(__recv_chk, pmt_gate_touch)
NOTICE_BY(__recvfrom_chk, pmt_gate_touch)
