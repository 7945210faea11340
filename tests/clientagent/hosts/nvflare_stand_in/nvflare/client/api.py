from nvflare.client.api_spec import CLIENT_API_KEY
from nvflare.client.in_process.api import InProcessClientAPI
from nvflare.fuel.data_event.data_bus import DataBus

context_dict = {}
default_context = None


class APIContext:
    def __init__(self, rank):
        self.api = DataBus().get_data(CLIENT_API_KEY)
        assert isinstance(self.api, InProcessClientAPI)
        self.api.init(rank=rank)


def init(rank=None, config_file=None):
    global default_context
    if rank not in context_dict:
        context_dict[rank] = default_context = APIContext(rank)
    return context_dict[rank]


def _engine():
    if default_context is None:
        raise RuntimeError("Call flare.init() first.")
    return default_context.api


def receive(timeout=None, ctx=None):
    return _engine().receive(timeout)


def send(model, clear_cache=True, ctx=None):
    return _engine().send(model, clear_cache)


def system_info(ctx=None):
    return _engine().system_info()


def get_config(ctx=None):
    return _engine().get_config()


def get_job_id(ctx=None):
    return _engine().get_job_id()


def get_site_name(ctx=None):
    return _engine().get_site_name()


def get_task_name(ctx=None):
    return _engine().get_task_name()


def is_running(ctx=None):
    return _engine().is_running()


def is_train(ctx=None):
    return _engine().is_train()


def is_evaluate(ctx=None):
    return _engine().is_evaluate()


def is_submit_model(ctx=None):
    return _engine().is_submit_model()


def log(key, value, data_type, ctx=None, **kwargs):
    return _engine().log(key, value, data_type, **kwargs)


def clear(ctx=None):
    return _engine().clear()


def shutdown(ctx=None):
    return _engine().shutdown()
