"""Central differential privacy: updates are clipped, the server adds noise to their mean, an accountant counts.

clippings: what a session can choose. mechanism: the noised mean. noise: where it comes from. spending: what it costs.
accountant: the library that counts, which is loaded where something is counted.
"""
