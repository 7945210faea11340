"""The bytes of models and updates: read, written, compared and converted block by block.

What one file holds is `fl.weights`.
"""
