# The server: web, worker, beat and manage.py. docs/containers.md says how to build and run it.
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS packages
# An index of PyTorch's builds for CPUs. Without it the image holds the CUDA build, which is much larger.
ARG TORCH_INDEX=""
WORKDIR /build
RUN python3 -m venv /opt/fl
COPY deploy/server.lock deploy/locked.py ./
RUN TORCH_INDEX="${TORCH_INDEX}" /opt/fl/bin/python locked.py server.lock && /opt/fl/bin/python -m pip uninstall -qy pip

FROM packages AS code
WORKDIR /srv/fl
COPY . .
# Compiled is our code, and of the packages what our processes load; compiling all would make the image much larger.
RUN python3 -m compileall -q . \
    && FL_DATA_DIR=/tmp/none REDIS_URL=redis://none /opt/fl/bin/python -c "import flsite.asgi, flsite.server, celery.bin.celery, celery.apps.worker, celery.beat, sklearn.datasets, torch, federation.fl.workloads.vision"

FROM ${PYTHON}
RUN groupadd --gid 10001 fl \
    && useradd --uid 10001 --gid fl --no-create-home --home-dir /tmp --shell /usr/sbin/nologin fl \
    && install --directory --owner fl --group fl --mode 0700 /data \
    && install --directory --owner fl --group fl --mode 0755 /secrets /invitation
COPY --from=code /opt/fl /opt/fl
COPY --from=code /srv/fl /srv/fl
ENV PATH=/opt/fl/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp FL_DATA_DIR=/data
WORKDIR /srv/fl
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["python3", "deploy/healthy.py"]
CMD ["python3", "manage.py", "runserver", "0.0.0.0:8000", "--noreload"]
