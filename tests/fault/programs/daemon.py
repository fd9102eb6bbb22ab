"""Becomes a daemon by the book: two forks, setsid, chdir to the root, umask 0, every descriptor closed. Its number is in
the file `pid`, its own words in `daemon.txt`."""
import os
import sys

import witness


def daemon_work():
    witness.step()


home = os.getcwd()
child = os.fork()
if child:
    os.waitpid(child, 0)
    print("parent ends")
    sys.exit(0)
os.setsid()
grandchild = os.fork()
if grandchild:
    with open("pid", "w") as file:
        file.write("%d\n" % grandchild)
    os._exit(0)
os.chdir("/")
os.umask(0)
os.closerange(0, os.sysconf("SC_OPEN_MAX"))
for fd in range(3):
    os.open(os.devnull, os.O_RDWR)
for i in range(1000):
    daemon_work()
witness.note("daemon")
with open(os.path.join(home, "daemon.txt"), "w") as file:
    file.write("daemon worked\n")
daemon_work()
os._exit(0)
