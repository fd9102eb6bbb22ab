"""Extension modules are imported by three threads, each in an order of its own, and copies of one of them under other
names, while three more threads allocate in C without the GIL (LIBRARY: lib_churn)."""
import ctypes
import glob
import importlib
import importlib.machinery
import importlib.util
import os
import random
import shutil
import sys
import sysconfig
import threading

import witness

NOT = ("_test", "xx", "_xx", "_tkinter", "_curses", "readline", "nis", "ossaudiodev", "_ctypes_test", "_interp")
folder = os.path.join(sysconfig.get_path("stdlib"), "lib-dynload")
files = {os.path.basename(path).split(".")[0]: path for path in glob.glob(os.path.join(folder, "*.so"))}
names = sorted(name for name in files if not name.startswith(NOT))
churn = ctypes.CDLL(sys.argv[1]).churn
churn.restype = ctypes.c_long
good, bad, is_over = [], [], threading.Event()


def import_all(seed):
    order = names[:]
    random.Random(seed).shuffle(order)
    for name in order:
        witness.step()
        try:
            importlib.import_module(name)
            good.append(name)
        except ImportError as error:
            bad.append((name, str(error)))


def load_copies(seed):
    for number in range(20):
        path = os.path.join(witness.DIRECTORY, "copy-%d-%d.so" % (seed, number))
        shutil.copy(files["_json"], path)
        loader = importlib.machinery.ExtensionFileLoader("_json", path)
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader("_json", loader))
        good.append(module.encode_basestring_ascii("x"))
        os.remove(path)


def run(seed):
    load_copies(seed)
    import_all(seed)
    load_copies(seed)


def allocate():
    while not is_over.is_set():
        if churn(5) <= 0:
            bad.append("churn")


workers = [threading.Thread(target=allocate) for _ in range(3)]
importers = [threading.Thread(target=run, args=(seed,)) for seed in range(3)]
for thread in workers + importers:
    thread.start()
for thread in importers:
    thread.join()
is_over.set()
for thread in workers:
    thread.join()
print(len(good), sorted(set(good)))
print(sorted(set(bad)))
