"""A folder a page: its views, which read the request, call one service and answer, and the data that only it shows.

Pages know the kit, and each other only as the layers in pyproject.toml allow.
"""
