"""Calls functions with hostile names of files and functions; what they are called, in order, goes to `names`."""
import json
import os
import sys
import types

import witness

FILES = [
    "plain.py", "a" * 5000 + ".py", "new\nline.py", "tab\there.py", "hash # 12 name.py", "back\\slash\\x41.py", "##", "#",
    "\x01\x1b[31mred\x7f.py", "файл.py", "\U0001f40d.py", "\u2028\u0085.py", "bytes \udcff\udc80.py", "-",
    "NEXT: 1 +1 1.0 CALL f #1 g 1 1.py", "inner  blanks", "a" * 78, "a" * 79, "a" * 80, "a" * 81, "%s%n%d.py", "",
]
FUNCTIONS = [
    "функция", "名前", "f" * 3000, "a_b", "ﬁ", "é" * 40,
]
ODD_FUNCTIONS = ["with blank", "f 12 34", "hash#", "new\nline", "\x00", "%s%n", "x  thread=5"]


def replace_name(code, name):
    if hasattr(code, "replace"):
        return code.replace(co_name=name)
    return types.CodeType(code.co_argcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize, code.co_flags,
                          code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_filename, name,
                          code.co_firstlineno, code.co_lnotab, code.co_freevars, code.co_cellvars)


functions = []
for file in FILES:
    space = {}
    exec(compile("\n\ndef hostile(): pass", file, "exec"), space)
    functions.append(space["hostile"])
for name in FUNCTIONS:
    space = {}
    exec(compile("def %s(): pass" % name, "name.py", "exec"), space)
    functions += [value for key, value in space.items() if isinstance(value, types.FunctionType)]
for name in ODD_FUNCTIONS:
    functions.append(types.FunctionType(replace_name(witness.step.__code__, name), {}))
for function in functions:
    function()
names = [(os.fsencode(f.__code__.co_filename).hex(), f.__code__.co_firstlineno, f.__code__.co_name) for f in functions]
with open("names", "w") as file:
    json.dump(names, file)
sys.stdout.write("called %d\n" % len(functions))
