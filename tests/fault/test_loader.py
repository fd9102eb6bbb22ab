"""FAULTS.md 19 and 22 to 25: the loader, other allocators, calls before our start and after our end."""
import glob
import os
import shutil
import stat
import struct
import subprocess
import sys

from faulttest import (both, calls, check_complete, check_lines, need_root, only_log, pmttest, python_argv, target)
from pmttest import LIB, check, clean_env, each, equal, main, parse_summary, run, scratch, skip, some_pythons, test

PYTHONS = some_pythons()
PMT_EXEC = os.path.join(pmttest.BUILD, "pmt-exec")


# ---- 19: dlopen and dlclose


@test
def dlopen_while_others_allocate():
    both([target("dlopens"), target("lib_plugin"), "6"])


@each(PYTHONS)
def dlopen_in_python_threads(python):
    result = both(python_argv(python, "threadlibs.py", target("lib_plugin"), 2))
    check(calls(only_log(result), "the_end", "RETURN") == 1, "the log lacks the end of the program")


# ---- 22: other allocators

ALLOCATORS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2*"}
LACKS = {"jemalloc": {"NO_PVALLOC": "1"}}  # it has none, and does not take back libc's
WORK = {"C": lambda: [target("family")], "corner cases": lambda: [target("corner")], "late": lambda: [target("late")],
        "forks": lambda: [target("forkthreads"), "10"], "Python": lambda: python_argv(PYTHONS[0], "events.py", 1000),
        "Python's newest": lambda: python_argv(PYTHONS[-1], "events.py", 1000)}


def find_allocator(name):
    found = [path for where in ("/usr/lib/*-linux-gnu", "/usr/lib", "/usr/lib64", "/usr/local/lib")
             for path in glob.glob(os.path.join(where, ALLOCATORS[name]))]
    return found[0] if found else skip("%s is not installed" % name)


@each([(name, order, work) for name in ALLOCATORS for order in ("before", "after") for work in WORK])
def other_allocator(case):
    """A program under another allocator, which is preloaded before or after pmt."""
    name, order, work = case
    result = both(WORK[work](), **{order: [find_allocator(name)]}, timeout=20, env=LACKS.get(name),
                  problems=[FOREIGN] if order == "before" else [])
    check(result.plain.status in (0, 3), "the program does not run well under this allocator alone", result.plain)
    for log in result.logs.values():
        check_complete(log, 1000)


FOREIGN = r"malloc is .*: its blocks are not counted"


@each(sorted(ALLOCATORS))
def other_allocator_is_counted(name):
    """Preloaded after pmt, the other allocator's blocks are counted: what the program holds is what differs."""
    library = [find_allocator(name)]
    held, freed = (run([target("cross"), how], preload=[LIB] + library, env={"WITNESS_DIR": scratch()}, summary="on",
                       sites="off")
                   for how in ("hold", "release"))
    words = held.out.split()
    held, freed = parse_summary(held.pmt_lines), parse_summary(freed.pmt_lines)
    equal((held.blocks - freed.blocks, held.native - freed.native), (int(words[1]), int(words[3])), "blocks and bytes")


# ---- 23: programs that cannot be preloaded, or not fully


def run_under_pmt_exec(argv, reasons, status, out, **more):
    """pmt-exec runs the program all the same, as it is, and says why it will not be seen."""
    check(os.path.exists(PMT_EXEC), "no %s: build first" % PMT_EXEC)
    result = run([more.pop("pmt_exec", PMT_EXEC)] + argv, preload=[], env={"WITNESS_DIR": scratch()}, summary="off",
                 **more)
    equal((result.status, result.out), (status, out), "status and output (err: %r)" % result.err)
    equal(result.err, "", "stderr")
    check_lines(result.pmt_lines, reasons)


def copy_program(source, mode=0o755, owner=None):
    directory = scratch()
    os.chmod(directory, 0o755)
    path = os.path.join(directory, os.path.basename(source))
    shutil.copyfile(source, path)
    if owner is not None:
        os.chown(path, owner, owner)
    os.chmod(path, mode)
    return path


# A 32-bit program by hand: exit(7), and no more.
CODE_32 = bytes([0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80])


def make_program_32():
    base = 0x8048000
    header = b"\x7fELF\1\1\1" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, 0, base, base, 84 + len(CODE_32), 84 + len(CODE_32), 5, 4096)
    path = os.path.join(scratch(), "program32")
    with open(path, "wb") as file:
        file.write(header + segment + CODE_32)
    os.chmod(path, 0o755)
    return path


@test
def executable_with_own_malloc():
    both([target("own_malloc")], problems=[FOREIGN])
    run_under_pmt_exec([target("own_malloc")], ["malloc"], 5, "own malloc works\n")


@test
def static_executable():
    both([target("static_hello")])
    run_under_pmt_exec([target("static_hello")], [r"static_hello.*static"], 7, "hello, secure 0\n")


@test
def setuid_executable():
    need_root()
    path = copy_program(target("hello"), 0o4755, 65534)
    if "secure 1" not in run([path], pmt=False, env={"WITNESS_DIR": scratch()}).out:
        skip("this file system does not honour setuid")
    # the loader is silent about a library with a path that it ignores in secure mode
    result = run([path], env={"WITNESS_DIR": scratch()})
    equal((result.status, result.out, result.logs), (7, "hello, secure 1\n", []), "the program's run")
    run_under_pmt_exec([path], [r"hello.*set-?u"], 7, "hello, secure 1\n")


@test
def foreign_elf_class():
    path = make_program_32()
    try:
        plain = subprocess.run([path], env=clean_env(), check=False).returncode
    except OSError:
        skip("this kernel runs no 32-bit programs")
    equal(plain, 7, "the program's status without pmt")
    both([path])
    run_under_pmt_exec([path], [r"program32.*(32|class|ELF)"], 7, "")


@test
def library_is_missing():
    directory = scratch()
    copy = os.path.join(directory, "pmt-exec")
    shutil.copyfile(PMT_EXEC, copy)
    os.chmod(copy, 0o755)
    result = run([copy, "true"], preload=[])
    equal(result.status, 125, "status of pmt-exec without its library")
    check_lines(result.pmt_lines, ["libpmt.so"])
    # by LD_PRELOAD alone, the loader says so itself, and the program runs
    result = run(["/bin/echo", "ran"], preload=[os.path.join(directory, "libpmt.so")])
    equal((result.status, result.out), (0, "ran\n"), "the program's run")


@each(["a space", "a:colon"])
def library_path(name):
    """A path that LD_PRELOAD cannot carry."""
    directory = os.path.join(scratch(), name)
    os.mkdir(directory)
    for file in ("pmt-exec", "pmt", "libpmt.so"):
        shutil.copy2(os.path.join(pmttest.BUILD, file), directory)
    run_under_pmt_exec(["/bin/echo", "ran"], ["space|colon|blank"], 0, "ran\n",
                       pmt_exec=os.path.join(directory, "pmt-exec"))


@each(PYTHONS)
def preload_proved_by_pmt_exec(python):
    """The good case, that the others are measured by: no line, a log."""
    result = run([PMT_EXEC] + python_argv(python, "events.py", 100), preload=[], env={"WITNESS_DIR": scratch()},
                 cwd=scratch(), summary="off", threshold=0)
    equal((result.status, result.pmt_lines, len(result.logs)), (0, [], 1), "status, lines, number of logs")
    check_complete(pmttest.check_log(result.logs[0], 0), 100)


@test
def library_is_not_executable_stack():
    """The library asks for nothing unusual: it is loaded where stacks may not be executable."""
    mode = os.stat(LIB).st_mode
    check(stat.S_ISREG(mode), "%s is no file" % LIB)
    with open(LIB, "rb") as file:
        data = file.read()
    (offset,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, flags = struct.unpack_from("<II", data, offset + index * size)
        if kind == 0x6474e551:
            equal(flags & 1, 0, "the executable bit of PT_GNU_STACK")
            return
    check(False, "the library has no PT_GNU_STACK")


# ---- 24: before our constructor


@each([(order, work) for order in ("before", "after") for work in ("C", "late", "Python", "Python's newest")])
def constructor_of_another_preload(case):
    """Allocates before we are initialised, and frees when we have ended."""
    order, work = case
    both(WORK[work](), **{order: [target("lib_early")]})


@each([(order, work) for order in ("before", "after") for work in ("C", "Python")])
def ifunc_resolver_in_a_library(case):
    """Its resolver calls malloc while the loader relocates: with `after`, before it has relocated libpmt.so."""
    order, work = case
    result = both(WORK[work](), **{order: [target("lib_ifunc")]})
    check("lib_ifunc: well" in result.plain.out, "the resolver did not run", result.plain.out)


@test
def ifunc_resolver_in_the_executable():
    both([target("ifunc")])


@each(["before", "after"])
def bound_at_load(order):
    """LD_BIND_NOW: the loader relocates everything at once."""
    both([target("ifunc")], **{order: [target("lib_ifunc")]}, env={"LD_BIND_NOW": "1"})


# ---- 25: after our destructor


@test
def calls_at_the_end():
    both([target("late")])
    both([target("late")], before=[target("lib_early")], summary="on")
    both([target("late")], after=[target("lib_early")], summary="on")


if __name__ == "__main__":
    sys.exit(main())
