"""Rounds of Flower's simulation, beside ours in benchmarks/many.py.

    python benchmarks/flower_rounds.py CLIENTS COHORT ROUNDS EPOCHS BATCH EXAMPLES WORKERS RATE

The same network and as many steps, by WORKERS processes of one core each, on noise: EXAMPLES of each client. Needs
flwr with its simulation. Prints the seconds of each round as JSON; in the first one its processes start.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter

HERE = str(Path(__file__).resolve().parent)
os.environ["PYTHONPATH"] = HERE  # of its processes: they import the clients' code by name
os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}

import flower_clients  # noqa: E402
from flwr.app import ArrayRecord, ConfigRecord, Context  # noqa: E402
from flwr.serverapp import Grid, ServerApp  # noqa: E402
from flwr.serverapp.strategy import FedAvg  # noqa: E402
from flwr.simulation import run_simulation  # noqa: E402

server = ServerApp()
times: list[float] = []


class TimedFedAvg(FedAvg):
    def configure_train(self, server_round, arrays, config, grid):
        times.append(perf_counter())
        return super().configure_train(server_round, arrays, config, grid)


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = TimedFedAvg(
        fraction_train=cohort / clients, fraction_evaluate=0.0, min_train_nodes=cohort, min_available_nodes=clients
    )
    told = {"clients": clients, "epochs": epochs, "batch": batch, "examples": examples, "rate": rate}
    model = ArrayRecord(flower_clients.network().state_dict())
    strategy.start(grid=grid, initial_arrays=model, num_rounds=rounds, train_config=ConfigRecord(told))
    times.append(perf_counter())


if __name__ == "__main__":
    *numbers, rate_ = sys.argv[1:]
    clients, cohort, rounds, epochs, batch, examples, workers = map(int, numbers)
    rate = float(rate_)
    config = {"init_args": {"num_cpus": workers, "include_dashboard": False}, "client_resources": {"num_cpus": 1}}
    run_simulation(server, flower_clients.app, num_supernodes=clients, backend_config=config)
    print(json.dumps([after - before for before, after in zip(times, times[1:], strict=False)]))
