"""The command line run so that it says at its end which modules it has imported."""

from __future__ import annotations

import subprocess

# Not by `-X importtime`, which does not see what `import_module` imports.
MAIN = """
import atexit, sys
atexit.register(lambda: sys.stderr.write("modules: " + " ".join(sys.modules)))
from cli.main import main
main(sys.argv[1:], prog_name="groundcrew")
"""


def modules_of(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The modules that there were when the interpreter ended."""
    return set(done.stderr.rpartition("modules: ")[2].split())
