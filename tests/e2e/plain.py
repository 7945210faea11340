"""A client written only from the contract: plain HTTP and numpy, nothing of ours."""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import requests

from tests.e2e.stack import Stack


def read(blob: bytes, dtype: type[np.generic] = np.float32) -> dict[str, np.ndarray]:
    (size,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + size])
    header.pop("__metadata__", None)
    body = blob[8 + size :]
    return {
        name: np.frombuffer(body[slice(*spec["data_offsets"])], dtype).reshape(spec["shape"])
        for name, spec in header.items()
    }


def write(tensors: dict[str, np.ndarray], **metadata: str) -> bytes:
    header: dict[str, object] = {"__metadata__": metadata}
    body = b""
    for name, array in tensors.items():
        raw = array.tobytes()
        offsets = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        body += raw
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + body


class PlainClient:
    def __init__(self, stack: Stack, name: str, num_examples: int, seed: int, **info: object):
        self.stack, self.num_examples, self.rng = stack, num_examples, np.random.default_rng(seed)
        body = {"join_code": stack.join_code, "name": name, "info": {"num_examples": num_examples} | info}
        answer = requests.post(f"{stack.url}/api/v1/enroll", json=body, timeout=30)
        assert answer.status_code == 201, answer.text
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        self.work(wait=0)

    def work(self, wait: int = 20):
        answer = self.http.get(f"{self.stack.url}/api/v1/work", params={"wait": wait}, timeout=wait + 30)
        return answer.json() if answer.status_code == 200 else None

    def update(self, work) -> tuple[dict[str, np.ndarray], bytes]:
        answer = self.http.get(self.stack.url + work["base_model"]["url"], timeout=30)
        assert hashlib.sha256(answer.content).hexdigest() == work["base_model"]["digest"]
        base = read(answer.content)
        delta = {n: (0.1 * self.rng.standard_normal(a.shape)).astype(np.float32) for n, a in base.items()}
        blob = write(delta, num_examples=str(self.num_examples), base_digest=work["base_model"]["digest"])
        return delta, blob

    def put(self, work, blob: bytes) -> int:
        return self.http.put(self.stack.url + work["update_url"], data=blob, timeout=30).status_code

    def measure(self, work, **metrics: float) -> int:
        """Answer an evaluation."""
        url = f"{self.stack.url}/api/v1/participations/{work['participation']}/result"
        body = {"num_examples": self.num_examples, "metrics": metrics}
        return self.http.post(url, json=body, timeout=30).status_code

    def serve(self, session: str) -> None:
        """Do a session's rounds until it has ended."""
        while self.stack.get(f"/sessions/{session}")["status"] == "running":
            if work := self.work(wait=1):
                assert self.put(work, self.update(work)[1]) in (204, 410)
