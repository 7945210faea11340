"""The clients of benchmarks/flower_rounds.py, as Flower's processes import them."""

from functools import cache

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

INPUTS, HIDDEN, CLASSES = 784, 200, 10
app = ClientApp()


def network() -> nn.Module:
    first, second, last = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, CLASSES)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)


@cache
def data(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of all clients together; each process has them once."""
    torch.set_num_threads(1)
    return torch.randn(count, INPUTS), torch.randint(0, CLASSES, (count,))


@app.train()
def train(message: Message, context: Context) -> Message:
    config = message.content["config"]
    mine, examples = int(context.node_config["partition-id"]), int(config["examples"])
    features, labels = (whole[mine * examples :][:examples] for whole in data(config["clients"] * examples))
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=config["rate"])
    for _ in range(config["epochs"]):
        for batch in torch.split(torch.randperm(examples), config["batch"]):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(features[batch]), labels[batch]).backward()
            optimizer.step()
    content = {"arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord({"num-examples": examples})}
    return Message(content=RecordDict(content), reply_to=message)
