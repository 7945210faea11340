"""NVFlare's client, with work nil: what comes is sent back. Its script's argument is the folder for the times."""

import sys
import time
from pathlib import Path

import nvflare.client as flare

flare.init()
times = Path(sys.argv[1], f"{flare.get_site_name()}.times")
while flare.is_running():
    model = flare.receive()
    if model is None:
        break
    with times.open("a") as file:
        file.write(f"{time.time()}\n")
    meta = {"NUM_STEPS_CURRENT_ROUND": 100}
    flare.send(flare.FLModel(params=model.params, params_type=model.params_type, metrics={"accuracy": 0.0}, meta=meta))
