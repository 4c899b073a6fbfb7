"""A moto server for the tests: S3, KMS and STS on loopback, on a port that is free.

The first line on standard output says where it answers. From then on each line on standard input is one call of boto3,
as JSON, which the server gets over HTTP as any other request, and is answered by one line. It ends when standard input
does, so it never outlives the test that started it, however that ended.
"""

import base64
import contextlib
import json
import logging
import sys
import threading

import boto3
import botocore.exceptions
from moto.moto_server import threaded_moto_server as threaded
from moto.server import ThreadedMotoServer

KEY_ID = "x-amz-server-side-encryption-aws-kms-key-id"
ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"


class AsS3(threaded.DomainDispatcherApplication):
    """Moto, as S3 is in two respects that matter here.

    Writes happen one at a time: moto's threads may be switched between looking at a condition and writing. And what is
    answered is the ARN of the KMS key, whatever was sent; moto echoes that.
    """

    writes = threading.Lock()

    def __call__(self, environ, start_response):
        def start_with_arn(status, headers, *more):
            return start_response(status, [self.with_arn(*header) for header in headers], *more)

        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        with contextlib.nullcontext() if reads else self.writes:
            return super().__call__(environ, start_with_arn)

    @staticmethod
    def with_arn(name, value):
        if name.lower() == KEY_ID and not value.startswith("arn:"):
            value = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{value}"
        return name, value


def decoded(value):
    """JSON has no bytes: they come and go as {"$bytes": base64}."""
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return base64.b64decode(value["$bytes"])
        return {name: decoded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [decoded(inner) for inner in value]
    return value


def encoded(value):
    if isinstance(value, dict):
        return {name: encoded(inner) for name, inner in value.items() if name != "ResponseMetadata"}
    if isinstance(value, list):
        return [encoded(inner) for inner in value]
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def answer(clients, line):
    call = json.loads(line)
    try:
        result = getattr(clients[call["service"]], call["call"])(**decoded(call["arguments"]))
    except botocore.exceptions.ClientError as error:
        return {"error": str(error)}
    return {"result": encoded(result or {})}


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    threaded.DomainDispatcherApplication = AsS3
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    session = boto3.session.Session("test", "test", region_name=REGION)
    clients = {name: session.client(name, endpoint_url=endpoint) for name in ("s3", "kms", "sts")}
    clients["s3"].list_buckets()
    print(endpoint, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(clients, line)), flush=True)
    server.stop()


main()
