"""Threads of a server share two heaps, however many there are."""

import subprocess
import sys

HEAPS = """
import ctypes, sys, threading
from flsite import memory
told = memory.use_few_arenas() if sys.argv[1] == "few" else None
everybody = threading.Barrier(9)
def hold():
    kept = [bytearray(2000) for _ in range(500)]
    everybody.wait()
    everybody.wait()
threads = [threading.Thread(target=hold) for _ in range(8)]
for thread in threads:
    thread.start()
everybody.wait()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
everybody.wait()
"""


def heaps(which):
    done = subprocess.run([sys.executable, "-c", HEAPS, which], capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")


def test_threads_share_two_heaps():
    assert heaps("many") > 2 >= heaps("few") > 0
