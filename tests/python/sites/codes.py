"""Code objects that come and go: codes.py loads N | files N | reload N FOLDER. Each runs once and allocates 1,000 + k bytes
under the name fk; memory is taken over by later ones with other names. Prints how far RSS has grown since a tenth of it
was done."""
import importlib
import marshal
import sys
import types

NAMES = 40
source = "def f%d():\n    return b'x' * size\n"  # by pmt's account 1,033 bytes + the number
templates = []
for number in range(NAMES):
    space = {}
    exec(compile(source % number, "<made>", "exec"), space)
    templates.append(marshal.dumps(space["f%d" % number].__code__))


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def load(number):
    """A fresh code object, run and dropped."""
    which = number % NAMES
    types.FunctionType(marshal.loads(templates[which]), {"size": 1000 + which})()


def loads(count):
    for number in range(count):
        if number == count // 10:
            before = resident()
        load(number)
    return before


def files(count):
    """Each in a file of its own, as notebooks and templates do."""
    for number in range(count):
        if number == count // 10:
            before = resident()
        space = {"size": 1000 + number % NAMES}
        exec(compile(source % (number % NAMES) + "f%d()" % (number % NAMES), "<cell %d>" % number, "exec"), space)
    return before


def reload(count):
    sys.path.insert(0, sys.argv[3])
    module = importlib.import_module("reloaded")
    for number in range(count):
        if number == count // 10:
            before = resident()
        module.size = 1000
        importlib.reload(module)
        module.f0()
    return before


for number in range(NAMES):
    load(number)
before = {"loads": loads, "files": files, "reload": reload}[sys.argv[1]](int(sys.argv[2]))
for number in range(NAMES):
    load(number)
print(resident() - before)
