"""The raw routes, described for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from federation.api import schemas

SCHEMAS = "#/components/schemas/"
TOKEN: list[dict[str, list[str]]] = [{"ClientAuth": []}]  # Ninja names a scheme after its class
PROBLEM = {"application/problem+json": {"schema": {"type": "object"}}}
SEAT = {"name": "seat_id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"}}
DIGEST = {"name": "digest", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}
BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


METHODS = ("get", "put", "post", "patch", "delete", "head", "options")
COMMON: dict[str, Any] = {
    status: {"description": text, "content": PROBLEM}
    for status, text in {
        "400": "No JSON, more values or a deeper nesting than is taken here, or an unknown host",
        "401": "No valid token",
        "403": "A valid token that may not",
        "404": "Nothing here, or of somebody else",
        "405": "Another method",
        "408": "The body comes too slowly",
        "413": "The body is too large",
        "414": "The address is too long",
        "429": "Too many requests; Retry-After says when to come again",
        "503": "Not now; Retry-After says when to come again",
    }.items()
}


def _answers(good: dict[str, str], *refusals: str) -> dict[str, Any]:
    answers: dict[str, Any] = {status: {"description": text} for status, text in good.items()}
    return answers | {status: {"description": "Refused", "content": PROBLEM} for status in refusals}


def add_common(paths: dict[str, Any]) -> None:
    """What any call may be answered before it is looked at closely, in each operation that does not tell it itself."""
    for operations in paths.values():
        for method, operation in operations.items():
            if method in METHODS:
                operation["responses"] = COMMON | _keyed_by_text(operation["responses"])


def _keyed_by_text(answers: dict[Any, Any]) -> dict[str, Any]:
    return {str(status): answer for status, answer in answers.items()}


def _operation(name: str, summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "tags": ["agents"], "security": TOKEN, "responses": answers} | more


def _header(name: str, kind: str = "string") -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": {"type": kind}}


def raw_schemas() -> dict[str, Any]:
    """What the raw routes' JSON bodies look like, by name."""
    schema = schemas.Progress.model_json_schema(ref_template=SCHEMAS + "{model}")
    return schema.pop("$defs") | {"Progress": schema}


def raw_paths() -> dict[str, Any]:
    wait = {"name": "wait", "in": "query", "schema": {"type": "number", "minimum": 0, "maximum": 60, "default": 30}}
    update = {
        "put": _operation(
            "put_update",
            "Send a whole update of up to 8 MiB",
            _answers({"204": "Accepted"}, "401", "404", "409", "410", "413", "422", "507"),
            requestBody={"required": True, "content": BYTES},
            parameters=[_header("Content-Digest")],
        ),
        "post": _operation(
            "create_upload",
            "Begin an upload (tus 1.0 creation)",
            _answers(
                {"201": "Created; the update URL is in Location"}, "401", "404", "410", "412", "413", "422", "423"
            ),
            parameters=[_header("Upload-Length", "integer"), _header("Upload-Defer-Length", "integer")],
        ),
        "head": _operation(
            "get_upload_offset",
            "Where an upload stands (tus 1.0 core)",
            _answers({"200": "Upload-Offset and Upload-Length or Upload-Defer-Length"}, "401", "404", "410", "412"),
        ),
        "patch": _operation(
            "patch_update",
            "Send the next part (tus 1.0 core and checksum)",
            _answers(
                {"204": "Kept; the last part is answered as the PUT is"},
                *("401", "404", "409", "410", "412", "413", "415", "422", "423", "460", "507"),
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
            _answers({"200": "The file", "206": "A part of it", "304": "Known already"}, "401", "404", "416"),
            parameters=[_header("Range"), _header("If-None-Match"), _header("If-Range")],
            security=[*TOKEN, {"KeyAuth": []}, {"BrowserAuth": []}],
        ),
        "parameters": [DIGEST],
    }
    state_dict = {
        "get": _operation(
            "get_state_dict",
            "A model as a PyTorch state_dict, for torch.load(path, weights_only=True)",
            _answers({"200": "The file", "206": "A part of it"}, "401", "403", "404", "410", "416", "503", "507"),
            parameters=[_header("Range"), _header("If-Range")],
            security=[*TOKEN, {"KeyAuth": []}, {"BrowserAuth": []}],
        ),
        "parameters": [DIGEST],
    }
    work = {
        "get": _operation(
            "get_work",
            "Ask for work; held until there is some, for `wait` seconds at most",
            _answers({"200": "Work", "204": "None now"}, "401", "403", "422"),
            parameters=[wait],
        )
    }
    report = {
        "post": _operation(
            "progress",
            "Say how far this work is, with points of its curves",
            _answers(
                {"200": 'An object; "continue": false means: drop this work; "left_out": points beyond a quota'},
                "400",
                "401",
                "403",
                "404",
                "422",
            ),
            requestBody={"required": True, "content": {"application/json": {"schema": {"$ref": SCHEMAS + "Progress"}}}},
        ),
        "parameters": [SEAT],
    }
    return {
        "/api/v1/work": work,
        "/api/v1/models/{digest}": model,
        "/api/v1/models/{digest}/state_dict": state_dict,
        "/api/v1/participations/{seat_id}/progress": report,
        "/api/v1/participations/{seat_id}/update": update,
    }
