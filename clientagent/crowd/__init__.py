"""Many clients in one process: `run.py --clients N`.

A thread per client makes its calls, as an agent's main thread does (`member`). What computes is done by worker
processes, which share torch and the data (`crew`, `nursery`, `worker`). What is scarce is lent in turn (`lending`).
"""
