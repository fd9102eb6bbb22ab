"""Programs that make children: python children.py NAME. Every run of Python that calls work() says once, on stdout,
"PID COUNT END": how often it called it, and how it ends. The log of each must hold just that. For CPython 3.6 and
later.
"""
import os
import sys


def work():
    return None


def say(pid, count, end):
    os.write(1, b"%d %d %s\n" % (pid, count, end.encode()))


def run_work(count, end):
    for _ in range(count):
        work()
    say(os.getpid(), count, end)


def child(count):
    """Forks a child that works and ends without clean-up; waits for it."""
    pid = os.fork()
    if pid == 0:
        run_work(count, "_exit")
        os._exit(0)
    assert os.waitpid(pid, 0) == (pid, 0)


def fork():
    for count in (1, 20, 300):
        child(count)
        work()
    say(os.getpid(), 3, "exit")


def fork_exit():
    """A child that leaves by the interpreter's end, and one by an uncaught exception."""
    for end, status in ((SystemExit(0), 0), (ValueError("not caught"), 256)):
        pid = os.fork()
        if pid == 0:
            sys.stderr = open(os.devnull, "w")
            run_work(7, "exit")
            raise end
        assert os.waitpid(pid, 0) == (pid, status)
    run_work(1, "exit")


def fork_nested():
    for depth in range(10):
        pid = os.fork()
        if pid:
            assert os.waitpid(pid, 0) == (pid, 0)
            run_work(depth + 1, "_exit")
            os._exit(0)
    run_work(50, "_exit")
    os._exit(0)


def fork_in_thread():
    import threading  # only where needed: importing is most of the events of these programs
    thread = threading.Thread(target=child, args=(30,))
    thread.start()
    thread.join()
    run_work(2, "exit")


def killed():
    pid = os.fork()
    if pid == 0:
        run_work(25, "killed")
        os.kill(os.getpid(), 9)
    assert os.waitpid(pid, 0) == (pid, 9)
    run_work(1, "exit")


def exits_at_once():
    run_work(11, "_exit")
    os._exit(0)


def exec_again():
    """The same process runs Python twice."""
    if "again" not in sys.argv:
        run_work(9, "execv")
        os.execv(sys.executable, [sys.executable, "-S", __file__, "exec_again", "again"])
    run_work(13, "exit")


def exec_other():
    """Python becomes a program without Python."""
    run_work(6, "execv")
    os.execv("/bin/true", ["true"])


def exec_by_shell():
    import subprocess
    run_work(1, "exit")
    subprocess.check_call(["sh", "-c", 'exec "$0" -S "$1" leaf', sys.executable, __file__])


def run_leaf():
    import subprocess
    run_work(3, "exit")
    subprocess.check_call([sys.executable, "-S", __file__, "leaf"])
    subprocess.check_call(["true"])


def prepared():
    """A child of subprocess that runs Python between fork and exec; one that execs at once leaves no log."""
    import subprocess
    run_work(2, "exit")
    subprocess.check_call(["true"], preexec_fn=lambda: run_work(5, "exec"))
    subprocess.check_call(["true"])


def leaf():
    run_work(17, "exit")


def pooled(number):
    work()
    return os.getpid()


def pool(method):
    import multiprocessing
    context = multiprocessing.get_context(method)
    with context.Pool(2) as workers:
        pids = workers.map(pooled, range(40), chunksize=1)
        for pid in sorted(set(pids)):
            say(pid, pids.count(pid), "pool")
        workers.close()
        workers.join()
    process = context.Process(target=run_work, args=(8, "process"))
    process.start()
    process.join()
    assert process.exitcode == 0


def pool_fork():
    pool("fork")


def pool_spawn():
    pool("spawn")


def pool_forkserver():
    pool("forkserver")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
