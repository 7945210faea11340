"""Start the client agent: python clientagent/run.py --help."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))

if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  the sentence is for those who have an older one
        sys.exit("Python 3.11 or newer is needed; this is {}.".format(sys.version.split()[0]))  # noqa: UP032
    # Python puts this folder first on the path: `federation` would not be found, and our
    # module names could shadow the standard library's. The project root takes its place.
    if os.path.realpath(sys.path[0]) == HERE:
        del sys.path[0]
    sys.path.insert(0, os.path.dirname(HERE))

    from clientagent.cli import main

    sys.exit(main())
