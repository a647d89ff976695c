"""How the process of the command line starts and ends: what it looks for garbage among, and when."""

from __future__ import annotations

import os
import subprocess
import sys

SEEN = """
import gc, sys
from slimai import __main__ as start
from slimai.app import cli
def run():
    seen.append(gc.get_threshold()[0])
    gc.collect()
    seen.append(gc.get_threshold()[0])
    return 7
seen = []
cli.main = run
code = start.main()
as_said = seen == [start.GC_START, start.GC_THRESHOLD]
print(code, as_said, gc.get_freeze_count() > 1000, start._after_start in gc.callbacks)
"""


def python(code, **more):
    environment = {name: value for name, value in os.environ.items() if name != "PYDANTIC_DISABLE_PLUGINS"} | more
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.split()


def test_garbage_is_looked_for_as_usual_after_the_start_and_not_at_the_end():
    assert python(SEEN) == ["7", "True", "True", "False"]


def test_plugins_of_pydantic_are_not_looked_for_unless_the_user_says_so():
    code = "import os; from slimai.app import cli; cli.main = lambda: 0; from slimai.__main__ import main; main(); "
    code += "print(os.environ['PYDANTIC_DISABLE_PLUGINS'])"
    assert python(code) == ["__all__"]
    assert python(code, PYDANTIC_DISABLE_PLUGINS="one") == ["one"]
