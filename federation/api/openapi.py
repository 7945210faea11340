"""The OpenAPI document: the raw routes, and every refusal with its causes."""

from __future__ import annotations

from typing import Any

from federation.api import schemas
from federation.fl.workloads import declaration

SCHEMAS = "#/components/schemas/"
METHODS = ("get", "put", "post", "patch", "delete", "head")
TOKEN: list[dict[str, list[str]]] = [{"ClientAuth": []}]  # Ninja names a scheme after its class
SEAT = {"name": "seat_id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"}}
UPLOAD = {"name": "upload_id", "in": "path", "required": True, "schema": SEAT["schema"]}
DIGEST = {"name": "digest", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}
BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
TELLING = ("Enrolment", "Telling")  # whose info may contain a catalogue
CATALOGUE = {
    "type": "array",
    "maxItems": declaration.MOST_ENTRIES,
    "description": "The workloads that the client has",
    "items": {"$ref": f"{SCHEMAS}Entry"},
}
METRICS = "/api/v1/sessions/{session_id}/metrics"
TABLE = {"text/csv": {"schema": {"type": "string"}}}  # a raw route answers `format=csv`
FILE = {"description": "The file, or the part of it that was asked for", "content": BYTES}


# ---- refusals

REFUSALS = {  # what a status means
    "400": "No JSON, too many values or levels, an invalid header, or an unknown host",
    "401": "No valid token, API key or session",
    "403": "This caller may not do it, or a browser sent no valid CSRF token",
    "404": "Unknown, or somebody else's",
    "405": "This address does not accept the method",
    "408": "The body arrives too slowly",
    "409": "The present state does not allow it",
    "410": "The round is closed, or the file is not kept",
    "412": "Another version of tus: send Tus-Resumable: 1.0.0",
    "413": "The body is too large",
    "414": "The address is too long",
    "415": "A PATCH must carry application/offset+octet-stream",
    "416": "The file has no such range",
    "422": "A value is invalid; errors names each one",
    "423": "Another part of this upload is on its way",
    "429": "Too many requests, or too many of something",
    "431": "The headers are too large",
    "460": "The bytes do not fit the checksum",
    "503": "The server is busy, or its database is away",
    "507": "The server's disk is full",
}
ALWAYS = ("400", "401", "403", "405", "408", "413", "414", "429", "431", "503")  # on every operation
WRITES = ("409", "422", "507")
RETRY_AFTER = {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 0}}
LATER = ("409", "423", "429", "503", "507")  # may say when to try again
PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for a person"},
        "errors": {
            "type": "array",
            "description": "Of a 422: the values that are invalid",
            "items": {"type": "object", "properties": {"field": {"type": "string"}, "detail": {"type": "string"}}},
        },
    },
}


def document(schema: dict[str, Any]) -> dict[str, Any]:
    """Ninja's document with the raw routes and with every refusal of every operation."""
    schema["paths"] |= raw_paths()
    schema["paths"][METRICS]["get"]["responses"][200]["content"].update(TABLE)
    known = schema["components"]["schemas"]
    known |= raw_schemas() | {"Problem": PROBLEM}
    for name in TELLING:
        known[name]["properties"]["info"]["properties"] = {"catalogue": CATALOGUE}
    schema["components"]["responses"] = {status: _refusal(status) for status in REFUSALS}
    for path, operations in schema["paths"].items():
        for method in METHODS:
            if operation := operations.get(method):
                _add_refusals(path, method, operation)
    return schema


def _refusal(status: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": f"{SCHEMAS}Problem"}}}
    headers = {"headers": {"Retry-After": RETRY_AFTER}} if status in LATER else {}
    return {"description": REFUSALS[status], "content": content} | headers


def _add_refusals(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = {str(status): answer for status, answer in operation["responses"].items()}
    found = {*ALWAYS, *(status for status, answer in answers.items() if answer is None)}
    found |= {"409"} if TOKEN[0] in operation.get("security", ()) else set()  # another agent acts for this client
    found |= {"404"} if "{" in path else set()
    found |= {"422"} if operation.get("parameters") else set()
    found |= set(WRITES) if method not in ("get", "head") else set()
    refusals = {status: {"$ref": f"#/components/responses/{status}"} for status in sorted(found)}
    operation["responses"] = answers | refusals


# ---- the raw routes


def _answers(good: dict[str, Any], *refusals: str) -> dict[str, Any]:
    """good: a description by status, or a whole answer. refusals: those that not every operation has."""
    answers = {status: {"description": text} if isinstance(text, str) else text for status, text in good.items()}
    return answers | dict.fromkeys(refusals)


def _json(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": SCHEMAS + schema}}}}


def _operation(name: str, summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "tags": ["agents"], "security": TOKEN, "responses": answers} | more


def _header(name: str, kind: str = "string") -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": {"type": kind}}


def raw_schemas() -> dict[str, Any]:
    """What the raw routes' JSON looks like, and an entry of a catalogue, by name."""
    found: dict[str, Any] = {}
    for model in (schemas.Progress, schemas.ProgressAnswer, schemas.Work, schemas.ModelFile, schemas.Entry):
        schema = model.model_json_schema(ref_template=SCHEMAS + "{model}")
        found |= schema.pop("$defs", {}) | {model.__name__: schema}
    return found


def raw_paths() -> dict[str, Any]:
    wait = {"name": "wait", "in": "query", "schema": {"type": "number", "minimum": 0, "maximum": 60, "default": 30}}
    update = {
        "put": _operation(
            "put_update",
            "Send a whole update of up to 8 MiB",
            _answers({"204": "Accepted"}, "410"),
            requestBody={"required": True, "content": BYTES},
            parameters=[_header("Content-Digest")],
        ),
        "post": _operation(
            "create_upload",
            "Begin an upload (tus 1.0 creation)",
            _answers({"201": "Created; the update URL is in Location"}, "410", "412", "423"),
            parameters=[_header("Upload-Length", "integer"), _header("Upload-Defer-Length", "integer")],
        ),
        "head": _operation(
            "get_upload_offset",
            "Where an upload stands (tus 1.0 core)",
            _answers({"200": "Upload-Offset and Upload-Length or Upload-Defer-Length"}, "410", "412"),
        ),
        "patch": _operation(
            "patch_update",
            "Send the next part (tus 1.0 core and checksum)",
            _answers(
                {"204": "Kept; the last part is answered as the PUT is"},
                *("410", "412", "415", "423", "460"),
            ),
            requestBody={
                "required": True,
                "content": {"application/offset+octet-stream": BYTES["application/octet-stream"]},
            },
            parameters=[
                _header("Upload-Offset", "integer"),
                _header("Upload-Length", "integer"),
                _header("Upload-Checksum"),
            ],
        ),
        "parameters": [SEAT],
    }
    model = {
        "get": _operation(
            "get_model",
            "A model's weights as safetensors",
            _answers({"200": FILE, "206": FILE, "304": "Known already"}, "410", "416"),
            parameters=[_header("Range"), _header("If-None-Match"), _header("If-Range")],
            security=[*TOKEN, {"KeyAuth": []}, {"BrowserAuth": []}],
        ),
        "parameters": [DIGEST],
    }
    state_dict = {
        "get": _operation(
            "get_state_dict",
            "A model as a PyTorch state_dict, for torch.load(path, weights_only=True)",
            _answers({"200": FILE, "206": FILE}, "410", "416", "507"),
            parameters=[_header("Range"), _header("If-Range")],
            security=[*TOKEN, {"KeyAuth": []}, {"BrowserAuth": []}],
        ),
        "parameters": [DIGEST],
    }
    work = {
        "get": _operation(
            "get_work",
            "Ask for work; held until there is some, for `wait` seconds at most",
            _answers({"200": _json("Work", "Work"), "204": "None now"}),
            parameters=[wait],
        )
    }
    report = {
        "post": _operation(
            "progress",
            "Say how far this work is, with points of its curves",
            _answers({"200": _json("Whether to go on", "ProgressAnswer")}),
            requestBody={"required": True, "content": {"application/json": {"schema": {"$ref": SCHEMAS + "Progress"}}}},
        ),
        "parameters": [SEAT],
    }
    return _upload_paths() | {
        "/api/v1/work": work,
        "/api/v1/models/{digest}": model,
        "/api/v1/models/{digest}/state_dict": state_dict,
        "/api/v1/participations/{seat_id}/progress": report,
        "/api/v1/participations/{seat_id}/update": update,
    }


def _upload_paths() -> dict[str, Any]:
    """An operator's upload of a model's file."""
    whose = {"security": [{"KeyAuth": []}, {"BrowserAuth": []}], "tags": ["operators"]}
    standing = _answers({"200": "Upload-Offset and Upload-Length"}, "412")
    one = {
        "head": _operation("get_model_upload_offset", "Where the upload stands (tus 1.0 core)", standing) | whose,
        "get": _operation(
            "get_model_upload",
            "What became of an uploaded file: its digest, or why it cannot be used",
            _answers({"200": _json("The upload", "ModelFile")}),
        )
        | whose,
        "patch": _operation(
            "patch_model_upload",
            "Send the next part (tus 1.0 core and checksum); the last one is 422 if the file cannot be used",
            _answers({"204": "Kept"}, "412", "415", "423", "460"),
            requestBody={
                "required": True,
                "content": {"application/offset+octet-stream": BYTES["application/octet-stream"]},
            },
            parameters=[_header("Upload-Offset", "integer"), _header("Upload-Checksum")],
        )
        | whose,
        "delete": _operation("delete_model_upload", "Remove an upload", _answers({"204": "Removed"})) | whose,
        "parameters": [UPLOAD],
    }
    begin = _operation(
        "create_model_upload",
        "Begin to upload a model: safetensors, or a state_dict of PyTorch (tus 1.0 creation)",
        _answers({"201": "Created; its URL is in Location"}, "412"),
        parameters=[_header("Upload-Length", "integer"), _header("Upload-Metadata")],
    )
    return {"/api/v1/models/uploads": {"post": begin | whose}, "/api/v1/models/uploads/{upload_id}": one}
