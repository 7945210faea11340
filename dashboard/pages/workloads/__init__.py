"""The page of workloads: what sessions can train, who has it, what came of it, and how a site gets it."""
