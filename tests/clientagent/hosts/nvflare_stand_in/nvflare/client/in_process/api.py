class InProcessClientAPI:
    def __init__(self, task_metadata, result_check_interval=2.0):
        self.meta = task_metadata
