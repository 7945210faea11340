"""What a client's training takes of its machine. Agents report these beside the curves of training."""

from federation.fl.measures.measure import Combine, Measure

STEPS = Measure("resources_steps_per_second", "Steps per second", combine=Combine.NONE)
PROCESSOR = Measure("resources_cpu_percent", "Processor use (% of a core)", unit="%", combine=Combine.NONE)
MEMORY = Measure("resources_memory_mb", "Memory (MB)", unit="MB", combine=Combine.NONE)
GPU = Measure("resources_gpu_percent", "GPU use (%)", unit="%", combine=Combine.NONE)
GPU_MEMORY = Measure("resources_gpu_memory_mb", "GPU memory (MB)", unit="MB", combine=Combine.NONE)
