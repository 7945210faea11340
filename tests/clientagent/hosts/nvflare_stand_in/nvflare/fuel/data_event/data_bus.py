class DataBus:
    """One for the process."""

    kept: dict = {}

    def put_data(self, key, datum):
        self.kept[key] = datum

    def get_data(self, key):
        return self.kept.get(key)
