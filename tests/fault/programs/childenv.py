"""What children see of the environment that the program gives them: none, its own, and one with a foreign preload."""
import os
import subprocess
import sys

import witness

show = [sys.executable, "-ISc", "import os; print(sorted(k for k in os.environ if not k.startswith('PMT_')))"]


def show_child(env):
    witness.step()
    out = subprocess.run(show, env=env, stdout=subprocess.PIPE).stdout.decode()
    print(out.replace("'LD_PRELOAD', ", "").replace("'LD_PRELOAD'", "").replace("'LC_CTYPE'", "").strip())


show_child({})
show_child({"A": "1", "B": "2"})
show_child(dict(os.environ, C="3"))
os.environ["D"] = "4"
show_child(None)
os.environ.clear()
show_child(None)
