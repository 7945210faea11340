"""torchvision, loaded before processes are forked, where its own operators are missing too.

Nothing of the project stays loaded: agents of other versions are forked from here as well.
"""

import importlib
import sys

from federation.fl.workloads import vision

vision.datasets()
importlib.import_module("torchvision.models")
for name in [name for name in sys.modules if name.partition(".")[0] == "federation"]:
    del sys.modules[name]
