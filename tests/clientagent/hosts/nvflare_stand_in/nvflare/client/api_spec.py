CLIENT_API_KEY = "CLIENT_API"
GETS = {"get_config", "get_job_id", "get_site_name", "get_task_name", "system_info"}
ASKS = {"is_running", "is_train", "is_evaluate", "is_submit_model"}
DOES = {"init", "receive", "send", "log", "clear", "shutdown"}


class APISpec:
    __abstractmethods__ = frozenset(GETS | ASKS | DOES)
