"""The main job as a user has it: installed by CMake, the demo under pmt-exec, then pmt log. What is said about the demo is
compared with what the demo does."""
import glob
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import capture  # noqa: E402
from pmttest import BUILD, check, equal, main, parse_summary, run, scratch, test  # noqa: E402

DEMO = os.path.join(HERE, "service.py")


def install():
    """Installs the build into a new prefix, returns it."""
    prefix = scratch()
    subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], stdout=subprocess.DEVNULL, check=True)
    return prefix


@test
def every_part_is_installed():
    prefix = install()
    for pattern in ("bin/pmt", "bin/pmt-exec", "lib*/**/libpmt.so", "share/man/man1/pmt.1", "lib*/**/pkgconfig/pmt.pc"):
        found = glob.glob(os.path.join(prefix, pattern), recursive=True)
        equal(len(found), 1, "number of files %s" % pattern)
        check(pattern[:4] != "bin/" or os.access(found[0], os.X_OK), "%s is not executable" % pattern)


@test
def the_demo_is_explained():
    prefix, plain = install(), run(["python3", DEMO], pmt=False)
    output = os.path.join(prefix, "output")
    measured = run([os.path.join(prefix, "bin", "pmt-exec"), "-o", output, "python3", DEMO], pmt=False, timeout=300)
    equal((measured.status, measured.out, measured.err), (0, plain.out, ""), "status, stdout and stderr")
    summary = parse_summary(measured.pmt_lines)
    check(summary.command.endswith(DEMO) and summary.pid == measured.pid, "not the process that was run", summary)

    found, log = sorted(os.listdir(output), key=lambda name: name[-3:], reverse=True)
    check(found[:-4] == log[:-4], "the log and the capture have different stems", found, log)
    capture.check_sums(capture.read(os.path.join(output, found)))
    done = subprocess.run([os.path.join(prefix, "bin", "pmt"), "log", "--json", os.path.join(output, log)],
                          stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    moved = {side: {} for side in ("rose", "fell")}
    for side, places in moved.items():
        for place in told[side]:
            key = place["function"] if place.get("file") == DEMO else None
            places[key] = places.get(key, 0) + place["bytes"]
    equal(told["rss"]["first"] + sum(moved["rose"].values()) - sum(moved["fell"].values()), told["rss"]["last"],
          "first RSS + rises - falls")
    # Two texts of 21,067,979 bytes are made one from the other, then both go; half of the documents goes later.
    for name in ("join", "encode"):
        check(moved["rose"][name] > 20 << 20, "no rise of 20 MiB by %s" % name, told["rose"][:5])
    check(sum(moved["fell"].get(name, 0) for name in ("make_report", "drop_old")) > 40 << 20,
          "the texts were not seen to go", told["fell"][:5])
    shutil.rmtree(output)


if __name__ == "__main__":
    sys.exit(main())
