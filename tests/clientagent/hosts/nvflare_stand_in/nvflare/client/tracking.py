from nvflare.client import AnalyticsDataType, log


class SummaryWriter:
    def add_scalar(self, tag, scalar, global_step=None, **kwargs):
        log(tag, scalar, AnalyticsDataType.SCALAR, global_step=global_step, writer="torch_tb", **kwargs)

    def add_scalars(self, tag, scalars, global_step=None, **kwargs):
        log(tag, scalars, AnalyticsDataType.SCALARS, global_step=global_step, writer="torch_tb", **kwargs)
