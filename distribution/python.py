"""Print which Python .venv is to be made of: the one that runs this, or the system's own where that is quicker.

Python that was compiled without profile-guided optimization, as pyenv does unless it is asked for it, needs up to twice
the time. What systems bring is optimized.
"""

import os
import subprocess
import sys
import sysconfig

SYSTEM = "/usr"
FITS = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"


def main() -> None:
    system = os.path.join(SYSTEM, "bin", "python3")
    print(system if not is_optimized() and fits(system) else sys.executable)


def is_optimized() -> bool:
    return sys.base_prefix == SYSTEM or "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")


def fits(python: str) -> bool:
    """Whether .venv can be made of it."""
    try:
        return subprocess.call([python, "-c", FITS], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


if __name__ == "__main__":
    main()
