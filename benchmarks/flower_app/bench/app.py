"""FedAvg in Flower, with client work nil: what comes is sent back. Each round's beginning is noted in a file."""

import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    content = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 100})}
    return Message(content=RecordDict(content), reply_to=message)


class TimedFedAvg(FedAvg):
    times: Path

    def configure_train(self, server_round, arrays, config, grid):
        with self.times.open("a") as file:
            file.write(f"{time.time()}\n")
        return super().configure_train(server_round, arrays, config, grid)


@server.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    clients = config["clients"]
    strategy = TimedFedAvg(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
    strategy.times = Path(config["times"])
    model = ArrayRecord([np.zeros(config["params"], np.float32)])
    strategy.start(grid=grid, initial_arrays=model, num_rounds=config["rounds"])
