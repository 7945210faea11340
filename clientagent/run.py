"""Start the client agent: python clientagent/run.py --help."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))

if __name__ == "__main__":
    # Python puts this folder first on the path: `federation` would not be found, and our
    # module names could shadow the standard library's. The project root takes its place.
    if os.path.realpath(sys.path[0]) == HERE:
        del sys.path[0]
    sys.path.insert(0, os.path.dirname(HERE))

    from clientagent.cli import main

    sys.exit(main())
