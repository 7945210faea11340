from enum import Enum, StrEnum

from nvflare.client.api import *  # noqa: F403  as scripts see them


class ParamsType(StrEnum):
    FULL = "FULL"
    DIFF = "DIFF"


class AnalyticsDataType(Enum):
    SCALAR = "SCALAR"
    SCALARS = "SCALARS"
    METRIC = "METRIC"
    METRICS = "METRICS"
    TEXT = "TEXT"


class FLModel:
    def __init__(
        self,
        params_type=None,
        params=None,
        optimizer_params=None,
        metrics=None,
        start_round=0,
        current_round=None,
        total_rounds=None,
        meta=None,
    ):
        self.params_type = ParamsType(params_type or "FULL") if params is not None else None
        self.params, self.optimizer_params, self.metrics = params, optimizer_params, metrics
        self.start_round, self.current_round, self.total_rounds = start_round, current_round, total_rounds
        self.meta = meta or {}
