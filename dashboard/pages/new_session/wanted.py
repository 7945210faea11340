"""A session as somebody wants it, before there is one."""

from federation.fl.workloads import WORKLOADS
from federation.models import TrainingSession
from federation.session_settings import Spec


def session(spec: Spec) -> TrainingSession:
    """As far as the settings decide who is asked."""
    wanted = TrainingSession(client_tags=list(spec.client_tags), workload=spec.workload)
    if told := spec.told:
        wanted.declaration, wanted.workload_version = told.to_json(), told.version
        wanted.workload_digest, wanted.equal_digests = told.digest, spec.equal_digests
    elif spec.workload in WORKLOADS:
        wanted.workload_digest = WORKLOADS[spec.workload].digest()
    return wanted
