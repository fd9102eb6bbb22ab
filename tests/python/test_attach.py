"""Attached in time, whatever starts the interpreter: interpreters x ways of starting x allocators, and programs that
embed Python. The log must hold the user's code from its first line on, and the program must not notice.

Prints a table; `yes` is a cell in which all held. What failed is listed below the table.
"""
import collections
import os
import re
import shutil
import subprocess
import sys
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from logcheck import PAGE, check_same, check_whole, comparable, derive
from pmttest import PYTHONS, check, each, equal, main, run, skip

HERE = os.path.dirname(os.path.abspath(__file__))
EMBED = os.path.join(HERE, "..", "embed", "embed.c")
with open(os.path.join(HERE, "scripts", "first.py"), encoding="ascii") as source:
    CODE = source.read()
# the events of that program, from its first line to its end
EVENTS = [("CALL", 1, "<module>"), ("C_CALL", 1, "len"), ("C_RETURN", 1, "len"), ("CALL", 4, "called"),
          ("C_CALL", 5, "upper"), ("C_RETURN", 5, "upper"), ("RETURN", 5, "called"), ("C_CALL", 8, "print"),
          ("C_RETURN", 8, "print"), ("RETURN", 8, "<module>")]
# and of what is typed at the prompt
TYPED = "len('typed')\n"
TYPED_EVENTS = [("CALL", 1, "<module>"), ("C_CALL", 1, "len"), ("C_RETURN", 1, "len"), ("RETURN", 1, "<module>")]
ALLOCATORS = (None, "debug", "malloc")


# --- ways of starting the interpreter ---------------------------------------------------------------------------------

# arguments of the interpreter, name of the program's file in the log, standard input, variables, events of that file
Start = collections.namedtuple("Start", "args file stdin env events", defaults=(None, {}, EVENTS))


def starts(folder):
    """Every way of running the same program, which is written into `folder` in all its forms."""
    path = {name: os.path.join(folder, name) for name in ("first.py", "package", "first.zip", "first_module.py")}
    os.mkdir(path["package"])
    for name in (path["first.py"], path["first_module.py"], os.path.join(path["package"], "__main__.py")):
        with open(name, "w", encoding="ascii") as file:
            file.write(CODE)
    with zipfile.ZipFile(path["first.zip"], "w") as archive:
        archive.writestr("__main__.py", CODE)
    return {
        "script": Start([path["first.py"]], path["first.py"]),
        "-c": Start(["-c", CODE], "<string>"),
        "-m": Start(["-m", "first_module"], path["first_module.py"], env={"PYTHONPATH": folder}),
        "directory": Start([path["package"]], os.path.join(path["package"], "__main__.py")),
        "zip": Start([path["first.zip"]], os.path.join(path["first.zip"], "__main__.py")),
        "stdin": Start([], "<stdin>", stdin=CODE),
        "-i": Start(["-i", path["first.py"]], path["first.py"], stdin=TYPED),
        "-i alone": Start(["-i"], "<stdin>", stdin=TYPED, events=TYPED_EVENTS),
        "-X dev": Start(["-X", "dev", path["first.py"]], path["first.py"]),
        "-I -S -E": Start(["-I", "-S", "-E", path["first.py"]], path["first.py"]),
    }


def program_events(rows, file):
    """The events of one file; a module is called at line 1, from 3.11 on at line 0, which is taken for 1 here. What is
    typed at the prompt has the file <stdin>, in 3.13 <stdin>-0, <stdin>-1 and so on, later <stdin-0>."""
    name = re.compile(re.escape(file.rstrip(">")) + r"(>?-\d+)?>?$")
    mine = [row for row in rows if name.match(row.file) and row.tid is None]
    check(mine, "no row of %s among %d rows" % (file, len(rows)))
    return [(row.what, row.line or 1, row.function) for row in mine]


def check_start(python, start, folder, allocator):
    env = dict({"PYTHONPATH": None, "PYTHONMALLOC": allocator, "PYTHONDONTWRITEBYTECODE": "1"}, **start.env)
    argv = [python.path] + start.args
    plain = run(argv, pmt=False, env=env, stdin=start.stdin, cwd=folder)
    result = run(argv, env=env, stdin=start.stdin, cwd=folder, threshold=0)
    equal((result.status, result.out, result.err), (plain.status, plain.out, plain.err), "what the program did")
    equal(result.pmt_lines, [], "lines of pmt")
    equal(len(result.logs), 1, "the number of logs")
    equal(program_events(check_whole(result.logs[0], threshold=0), start.file), start.events, "the events")


@each(PYTHONS)
def started(python):
    """One row of the table: every way of starting, with every allocator."""
    folder = pmttest.scratch()
    fill_row(python, {
        (name, allocator): lambda start=start, allocator=allocator: check_start(python, start, folder, allocator)
        for name, start in starts(folder).items() for allocator in ALLOCATORS})


def fill_row(python, cells):
    """Runs the cells of a row; prints it; fails with what failed. A cell's key is (column, variant)."""
    verdicts, problems = collections.defaultdict(list), []
    for (column, variant), cell in cells.items():
        try:
            cell()
            verdicts[column].append("yes")
        except AssertionError as problem:
            verdicts[column].append("NO")
            problems += ["%s, %s: %s" % (column, variant or "default", str(problem).replace("\n", "\n    "))]
    print("  %-14s %s" % (python, "  ".join("%s: %s" % (name, " ".join(row)) for name, row in verdicts.items())))
    check(not problems, "%d of %d cells failed" % (len(problems), len(cells)), *problems)


@each(PYTHONS)
def unnoticed(python):
    """The program finds its interpreter as it is without pmt: modules, hooks, descriptors and the rest."""
    for flags in (["-B"], ["-B", "-S"]):
        argv = [python.path, *flags, os.path.join(HERE, "scripts", "state.py")]
        plain, result = (run(argv, pmt=pmt, env={"PYTHONPATH": None}) for pmt in (False, True))
        equal((result.status, result.err, len(result.logs)), (0, "", 1), "the end of the program")
        expected, got = (dict(line.split(" ", 1) for line in plain_text(out).splitlines())
                         for out in (plain.out, result.out))
        if python.version < (3, 10):  # atexit must stay imported there, or its handlers go with it (attach.c)
            for state in (expected, got):
                state["modules"] = ", ".join(sorted(set(state["modules"].split(", ")) | {"'atexit'"}))
        check(expected == got, "the program sees a difference (%s)" % " ".join(flags), *(
            "%s: %s" % (name, sorted(set(got[name].split(", ")) ^ set(expected[name].split(", "))))
            for name in expected if got[name] != expected[name]))


def plain_text(text):
    """Text without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


# --- programs that embed Python ---------------------------------------------------------------------------------------

WAYS = ("simple", "eval", "import", "twice")


def configuration(python):
    """The variables of an interpreter's sysconfig that a build against it needs."""
    names = ("INCLUDEPY", "LIBDIR", "INSTSONAME", "LDVERSION", "MULTIARCH", "prefix")
    code = "import sysconfig; print(*(sysconfig.get_config_var(name) or '' for name in %r), sep='\\n')" % (names,)
    out = subprocess.run([python.path, "-c", code], stdout=subprocess.PIPE, check=True, text=True).stdout
    return dict(zip(names, out.split("\n")))


def library(python, config):
    """The path of the interpreter's libpython, which a static interpreter has only from a package of its own."""
    name = config["INSTSONAME"] if python.kind == "shared" else "libpython%s.so.1.0" % config["LDVERSION"]
    for folder in (config["LIBDIR"], os.path.join(config["LIBDIR"], config["MULTIARCH"])):
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    return skip("no %s here (Debian: package libpython%s)" % (name, config["LDVERSION"]))


def build(python, folder):
    """Compiles the embedding program, linked and dlopening; returns {kind: path}."""
    config = configuration(python)
    headers = os.path.join(config["INCLUDEPY"], "Python.h")
    if not os.path.exists(headers) or not shutil.which("cc"):
        skip("no C compiler, or no %s (Debian: packages gcc, libpython3-dev)" % headers)
    path = library(python, config)
    name = os.path.basename(path)
    # found by the RUNPATH of the executable and by nothing else
    os.symlink(path, os.path.join(folder, name))
    common = ["cc", "-O1", "-Wall", "-I" + config["INCLUDEPY"], EMBED, "-Wl,--enable-new-dtags,-rpath," + folder]
    programs = {kind: os.path.join(folder, kind) for kind in ("linked", "dlopened")}
    for kind, extra in (("linked", [path]), ("dlopened", ['-DLIBPYTHON="%s"' % name, "-ldl"])):
        subprocess.run(common + extra + ["-o", programs[kind]], check=True)
    return programs, config["prefix"]


def check_embedded(argv, way, folder, env):
    plain = run(argv, pmt=False, env=env, cwd=folder)
    equal((plain.status, plain.err), (0, ""), "the end of the program without pmt")
    result = run(argv, env=env, cwd=folder, threshold=0)
    equal((result.status, result.out, result.err), (plain.status, plain.out, plain.err), "what the program did")
    equal(result.pmt_lines, [], "lines of pmt")
    equal(len(result.logs), 1, "the number of logs")
    file = {"import": os.path.join(folder, "first_module.py"), "eval": "<embedded>"}.get(way, "<string>")
    events = program_events(check_whole(result.logs[0], threshold=0), file)
    equal(events, EVENTS * (2 if way == "twice" else 1), "the events")


def prepare(python):
    """Returns a folder with the module that is imported, the embedding programs in it, and their environment."""
    folder = pmttest.scratch()
    with open(os.path.join(folder, "first_module.py"), "w", encoding="ascii") as file:
        file.write(CODE)
    programs, prefix = build(python, folder)
    env = {"PYTHONPATH": folder, "PYTHONHOME": prefix, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    return folder, programs, env


@each(PYTHONS)
def embedded(python):
    """One row of the second table: linked and dlopened programs, every way of running code."""
    folder, programs, env = prepare(python)
    cells = {}
    for kind, argv in (("linked", [programs["linked"]]), ("dlopened local", [programs["dlopened"], "local"]),
                       ("dlopened global", [programs["dlopened"], "global"])):
        for way in WAYS:
            cells[kind, way] = lambda argv=argv, way=way: check_embedded(argv + [way, CODE], way, folder, env)
    fill_row(python, cells)


@each(PYTHONS)
def previous_interpreter(python):
    """A PREV row after the start of a second interpreter names an event of the first, which is gone by then.

    RSS is made to move at every third event, at each of the three phases, so that in one of them the row is due there.
    """
    folder, programs, env = prepare(python)

    def rows(threshold):
        result = run([programs["linked"], "twice", CODE], env=env, cwd=folder, threshold=threshold)
        equal((result.status, result.out, result.err), (0, "OUTPUT\n" * 2, ""), "what the program did")
        return check_whole(result.logs[0], threshold)

    env["PMT_TEST_RSS"] = os.path.join(folder, "readings")
    for phase in range(3):
        with open(env["PMT_TEST_RSS"], "w", encoding="ascii") as file:
            file.writelines("%d\n" % ((1000 + (step + phase) // 3) * PAGE) for step in range(200000))
        expected = derive(rows(threshold=0), 1)
        check_same([comparable(row) for row in rows(threshold=1)], expected, "rows at threshold 1")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
