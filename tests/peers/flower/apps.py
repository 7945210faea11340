"""Small apps of Flower, as text: a test writes one into a folder of its own."""

MESSAGES = """
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

SEEN = []


def mod(message, context, call_next):
    SEEN.append(message.metadata.message_type)
    return call_next(message, context)


app = ClientApp(mods=[mod])


def begin(config):
    return {"weight": np.full((2, 3), float(config["start"]), np.float32), "bias": np.zeros(2, np.float32)}


@app.train(mods=[mod])
def train(message: Message, context: Context) -> Message:
    arrays = message.content["arrays"]
    config = message.content["config"]
    before = context.state.get("memory")
    momentum = before["momentum"].numpy() if before else np.zeros((2, 3), np.float32)
    momentum = momentum + np.random.random((2, 3)).astype(np.float32)
    context.state["memory"] = ArrayRecord([momentum])
    context.state["memory"] = ArrayRecord({"momentum": context.state["memory"]["0"]})
    context.state["count"] = MetricRecord({"rounds": 1 + (context.state["count"]["rounds"] if before else 0)})
    context.state["words"] = ConfigRecord({"last": "round"})
    found = {name: array.numpy() for name, array in arrays.items()}
    found["weight"] = found["weight"] + momentum * config["lr"]
    BODY
    metrics = {"train_loss": 1.0 / config["server-round"], "epochs": context.run_config["local-epochs"]}
    content = RecordDict({
        "arrays": ArrayRecord({name: Array(array) for name, array in found.items()}),
        "metrics": MetricRecord({"num-examples": 5, **metrics}),
    })
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    rounds = context.state["count"]["rounds"] if "count" in context.state else 0
    found = {"eval_acc": 0.5, "eval_loss": float(rounds), "each": [1, 2], "num-examples": 7}
    return Message(RecordDict({"metrics": MetricRecord(found)}), reply_to=message)
""".replace("from flwr.app import ", "from flwr.app import Array, ")

CLIENT_FN = """
import numpy as np
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp


class Client(NumPyClient):
    def __init__(self, part):
        self.part = part

    def get_parameters(self, config):
        return [np.zeros((2, 3), np.float32), *(np.full(2, n, np.float64) for n in range(10))]

    def fit(self, parameters, config):
        BODY
        return [one + self.part for one in parameters], 4, {"accuracy": 0.25, "note": "well", "lr": config["lr"]}

    def evaluate(self, parameters, config):
        return float(np.sum(parameters[0])), 3, {"accuracy": 0.75}


def client_fn(context):
    return Client(context.node_config["partition-id"]).to_client()


app = ClientApp(client_fn)
"""

CONFIG = """
[project]
name = "toy"

[tool.flwr.app.components]
clientapp = "{module}:app"

[tool.flwr.app.config]
local-epochs = 1
start = 2.0
"""
