"""REST requests that a server must refuse, each with the statuses that are right; see `broken_requests`."""

import json

import numpy as np

from experiments.benchmarks.broken_requests import NAMES, Breaker, Broken

_BODIES = (
    "", "{", "[]", "null", "3", '"x"', "[" * 5000, '{"a":' * 5000, "{}", '{"instances": []}', '{"instances": 3}',
    "\ufeff{}", '{"instances": [[[[1, 2, 3]]]], "inputs": [[[[1, 2, 3]]]]}', '{"instances": [[[[1, 2]]]]}',
    '{"instances": [[[[1, 2, 300]]]]}', '{"instances": [[[[1, 2, -1]]]]}', '{"instances": [[[[1, 2, 0.5]]]]}',
    '{"instances": [[[[1, 2, NaN]]]]}', '{"instances": [[[["1", "2", "3"]]]]}', '{"instances": [[[[1, 2, 3], [1]]]]}',
    '{"instances": [[[[1, 2, null]]]]}', '{"instances": [{"images": [[[1, 2, 3]]]}, [[[1, 2, 3]]]]}',
    '{"instances": [{"pictures": [[[1, 2, 3]]]}]}', '{"inputs": {"images": [[[[1, 2, 3]]]], "more": 1}}',
    '{"inputs": {}}', '{"inputs": [[[[1, 2, true]]], [[[1]]]]}', '{"instances": [[[[1, 2, 3]]]], "signature_name": 3}',
    '{"instances": [[[[1, 2, 3]]]], "instances": [[[[1, 2, 3]]]]}', '{"instances": [[[[1, 2, 1e400]]]]}',
    '{"instances": [[[[1, 2, 99999999999999999999999]]]]}', '{"instances": [[[[]]]]}',
    '{"instances": ["x"], "signature_name": "serve_encoded"}',
    '{"instances": [{"b64": "!"}], "signature_name": "serve_encoded"}',
    '{"instances": [{"b64": "AAAA"}], "signature_name": "serve_encoded"}',
    '{"instances": [3], "signature_name": "serve_encoded"}',
    '{"instances": ["\\ud800"], "signature_name": "serve_encoded"}', '{"instances": [[[[1, 2, 3]]]], "other": 1}',
)  # fmt: skip


class RestBreaker(Breaker):
    """Makes bytes for a connection of its own each; status 0 is a connection that ends without an answer.

    Args:
        as of `Breaker`.
    """

    prefix = "_rest_"

    def next(self):
        """The next request."""
        kind = self.kinds[self.rng.integers(len(self.kinds))]
        content, statuses = kind()
        return Broken(kind.__name__.removeprefix(self.prefix), "", content, frozenset(statuses))

    def _rest_body(self):
        return self._post(self.pick(_BODIES).encode("utf-8", "surrogatepass")), {400}

    def _rest_bytes(self):
        return self._post(self.junk(200)), {400}

    def _rest_signature(self):
        return self._post(json.dumps({"instances": [[[[1, 2, 3]]]], "signature_name": self.pick(NAMES[1:])}).encode()), {412}

    def _rest_sides(self):
        picture = np.zeros([1, *self.sides, self.pick([1, 2, 4])], int).tolist()
        return self._post(json.dumps({self.pick(["instances", "inputs"]): picture}).encode()), {400}

    def _rest_path(self):
        path = self.pick(
            ["/", "/v1", "/v1/models", "/v1/models/", f"/v1/models/{self.name}/versions/x", "/v1/models/x", "/%", "//"]
        )
        return self._get(path + self.pick(["", "?a=b", "/metadata"])), {404}

    def _rest_version(self):
        number = self.pick(["0", "999", "9" * 19, "9" * 40])
        return self._get(f"/v1/models/{self.name}/versions/{number}{self.pick(['', '/metadata'])}"), {404}

    def _rest_method(self):
        method = self.pick(["PUT", "DELETE", "HEAD", "TRACE", "get", "PREDICT"])
        return f"{method} /v1/models/{self.name} HTTP/1.1\r\nConnection: close\r\n\r\n".encode(), {501}

    def _rest_method_of_path(self):
        predict, status = f"/v1/models/{self.name}:predict", f"/v1/models/{self.name}"
        return self.pick([self._get(predict), self._post(b"{}", status), self._post(b"{}", status + "/metadata")]), {405}

    def _rest_length(self):
        length, status = self.pick([("", 411), ("x", 400), ("-1", 400), ("1e3", 400), ("9" * 30, 400), ("9" * 15, 413)])
        return self._post(b"{}", length=length), {status}

    def _rest_lengths(self):
        return self._post(b"{}", more="Content-Length: 7\r\n"), {400}

    def _rest_chunked(self):
        return self._post(b"2\r\n{}\r\n0\r\n\r\n", more="Transfer-Encoding: chunked\r\n"), {411}

    def _rest_too_large(self):
        return self._post(b" " * (self.largest + 1)), {413}

    def _rest_cut(self):
        content = self._post(b'{"instances": [[[[1, 2, 3]]]]}')
        return content[: self.rng.integers(len(content))], {0, 400, 404, 411}

    def _rest_junk(self):
        return self.junk(400) + b"\r\n\r\n", {0, 400, 404, 501, 505}

    def _rest_headers(self):
        return self._get("/", "".join(f"X-{i}: 1\r\n" for i in range(200))), {431}

    def _rest_long_line(self):
        return self._get("/" + "x" * 70000), {0, 414}

    def _get(self, path, more=""):
        return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n".encode()

    def _post(self, body, path=None, length=None, more=""):
        length = len(body) if length is None else length
        line = f"POST {path or f'/v1/models/{self.name}:predict'} HTTP/1.1\r\nConnection: close\r\n"
        return f"{line}Content-Length: {length}\r\n{more}\r\n".encode() + body
