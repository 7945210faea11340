"""FedAvg in NVFlare's proof-of-concept deployment: python nvflare_job.py FOLDER CLIENTS PARAMS ROUNDS."""

import sys
from pathlib import Path

import numpy as np
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.recipe.poc_env import PocEnv

CONNECT_SECONDS = 120


def main(folder: Path, clients: int, params: int, rounds: int) -> None:
    model = folder / "model.npy"
    np.save(model, np.zeros(params, np.float32))
    recipe = NumpyFedAvgRecipe(
        name="bench",
        initial_ckpt=str(model),
        min_clients=clients,
        num_rounds=rounds,
        train_script="nvflare_client.py",
        train_args=str(folder),
    )
    run = recipe.execute(PocEnv(num_clients=clients, extra={"login_timeout": CONNECT_SECONDS}))
    print(run.get_status(), run.get_result(timeout=3600))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
