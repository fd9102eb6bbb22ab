"""Moves the resident size in one of many ways, again and again, with calls of Python functions in between.

    moves.py WAY THREADS [SECONDS]

Every thread does it to memory of its own. Prints how many bytes came and went as the program itself reads
/proc/self/statm before and after; with --list the ways. Runs on CPython 3.6 and later.
"""
import ctypes
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

PAGE = mmap.PAGESIZE
SIZE = 1 << 20
DONTNEED, PAGEOUT, SYS_MADVISE, SYS_PIDFD_OPEN, SYS_PROCESS_MADVISE = 4, 21, 28, 434, 440
libc = ctypes.CDLL(None, use_errno=True)
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.syscall.argtypes = [ctypes.c_long] + [ctypes.c_size_t] * 5
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def tick():
    """Two events at which nothing happens."""


def ticks(count=200):
    for _ in range(count):
        tick()


def address_of(memory):
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def anonymous(size=SIZE):
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


# ---- ways: a function that moves memory once, and leaves it as it was


def touch(memory, offset):
    memory[offset] = 1


def own_faults():
    """One page a call: the return of touch() is the event that must see it."""
    memory = anonymous()
    for offset in range(0, SIZE, PAGE):
        touch(memory, offset)
    memory.close()


def own_objects():
    grown = []
    for number in range(20000):
        grown.append([number] * 20)
        tick()


def own_strings():
    text = "x"
    for _ in range(20):
        text += text
        tick()


def others_faults():
    """By a thread that has no events meanwhile."""
    memory = anonymous(16 * SIZE)
    thread = threading.Thread(target=libc.memset, args=(address_of(memory), 1, 16 * SIZE))
    thread.start()
    while thread.is_alive():
        tick()
    thread.join()


def readinto():
    """The kernel takes the page faults."""
    memory = anonymous()
    with open("/dev/zero", "rb", buffering=0) as file:
        for start in range(0, SIZE, 1 << 16):
            file.readinto(memoryview(memory)[start:start + (1 << 16)])
            ticks(5)


def receive():
    memory = anonymous()
    one, other = socket.socketpair()
    for start in range(0, SIZE, 1 << 16):
        one.sendall(bytes(1 << 16))
        other.recv_into(memoryview(memory)[start:start + (1 << 16)])
        ticks(5)
    one.close()
    other.close()


def unnoticed_call():
    """A system call that nobody interposes fills fresh memory."""
    memory = anonymous()
    for start in range(0, SIZE, 1 << 15):
        libc.syscall(318, address_of(memory) + start, 1 << 15, 0, 0, 0)  # getrandom
        ticks(20)


def free_large():
    block = libc.malloc(SIZE)
    libc.memset(block, 1, SIZE)
    ticks()
    libc.free(block)
    ticks()


def free_small():
    """The heap ends higher, and glibc trims it when the last of many small blocks is freed."""
    blocks = [None] * 2000  # no list that grows comes to lie above them
    for number in range(len(blocks)):
        blocks[number] = libc.malloc(1000)
        libc.memset(blocks[number], 1, 1000)
    ticks()
    for block in blocks[:7] + blocks[:6:-1]:  # the first seven are kept for the next malloc, wherever they lie
        libc.free(block)
    ticks()


def unmap():
    memory = anonymous()
    memory.write(b"x" * SIZE)
    ticks()
    memory.close()
    ticks()


def trim():
    blocks = [libc.malloc(5000) for _ in range(400)]
    for block in blocks:
        libc.memset(block, 1, 5000)
    barrier = libc.malloc(100)  # on top of them: freed blocks stay in the heap
    for block in blocks:
        libc.free(block)
    ticks()
    libc.malloc_trim(0)
    ticks()
    libc.free(barrier)


def give_up():
    memory = anonymous()
    memory.write(b"x" * SIZE)
    ticks()
    libc.madvise(address_of(memory), SIZE, DONTNEED)
    ticks()


def give_up_unnoticed():
    memory = anonymous()
    memory.write(b"x" * SIZE)
    ticks()
    libc.syscall(SYS_MADVISE, address_of(memory), SIZE, DONTNEED, 0, 0)
    ticks(2000)


# ---- another process


OTHER_PROCESS = """
import ctypes, os, struct, sys
how, pid, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.argtypes = [ctypes.c_long] + [ctypes.c_size_t] * 5
pidfd = libc.syscall(%d, pid, 0, 0, 0, 0) if how == "pageout" else -1
for line in sys.stdin:
    address, size = map(int, line.split())
    if how == "truncate":
        os.truncate(path, 0)
        os.truncate(path, size)
        result = 0
    else:
        vector = ctypes.create_string_buffer(struct.pack("QQ", address, size))
        result = libc.syscall(%d, pidfd, ctypes.addressof(vector), 1, %d, 0)
    print(result if result >= 0 else -ctypes.get_errno())
    sys.stdout.flush()
""" % (SYS_PIDFD_OPEN, SYS_PROCESS_MADVISE, PAGEOUT)


class Other:
    """A process that takes away memory of ours that a file backs, while we are in Python."""

    def __init__(self, how):
        self.file = tempfile.NamedTemporaryFile(dir=os.environ.get("WITNESS_DIR"))
        self.file.write(bytes(SIZE))
        self.file.flush()
        os.fsync(self.file.fileno())  # pages that are clean can be taken at once
        flags = mmap.MAP_SHARED if how == "truncate" else mmap.MAP_PRIVATE
        self.memory = mmap.mmap(self.file.fileno(), SIZE, flags)
        environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        self.process = subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, how, str(os.getpid()), self.file.name],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def take_away(self):
        for offset in range(0, SIZE, PAGE):
            self.memory[offset]
        ticks()
        order = "%d %d\n" % (address_of(self.memory), SIZE)
        self.process.stdin.write(order.encode())
        self.process.stdin.flush()
        answers = []
        reader = threading.Thread(target=lambda: answers.append(self.process.stdout.readline()))
        reader.start()
        while not answers:
            ticks(50)
        reader.join()
        ticks(2000)
        if int(answers[0]) < 0:
            print("refused %d" % -int(answers[0]))
            sys.stdout.flush()
            os._exit(77)


others = {}


def other_process(how):
    key = how, threading.get_ident()
    if key not in others:
        others[key] = Other(how)
    others[key].take_away()


def truncated():
    other_process("truncate")


def paged_out():
    other_process("pageout")


WAYS = [own_faults, own_objects, own_strings, others_faults, readinto, receive, unnoticed_call, free_large, free_small, unmap,
        trim, give_up, give_up_unnoticed, truncated, paged_out]


def work(way, end):
    while time.time() < end:
        way()
        ticks()


def main():
    way = next(way for way in WAYS if way.__name__ == sys.argv[1])
    end = time.time() + float(sys.argv[3] if len(sys.argv) > 3 else 0.3)
    threads = [threading.Thread(target=work, args=(way, end)) for _ in range(int(sys.argv[2]) - 1)]
    for thread in threads:
        thread.start()
    work(way, end)
    for thread in threads:
        thread.join()
    for other in others.values():
        other.process.stdin.close()
        other.process.wait()


if sys.argv[1] == "--list":
    print(*[way.__name__ for way in WAYS])
else:
    main()
