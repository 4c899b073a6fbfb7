"""What every measurement stands on: the programs, the strict fake, the relay that makes the way to it longer, and the
servers from which credentials come."""

import http.server
import json
import os
import pathlib
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "target"
CERTIFICATES = ROOT / "bench" / "roots.pem"
KEY, SECRET, TOKEN = "AKIAEXAMPLE", "example-secret-key", "example-session-token"
REGION, BUCKET, SERVICE = "us-east-1", "example-microsecrets", "api"
HEAD = f"services/{SERVICE}/head/environment"


def built(profile, package, name=None):
    """A program of the workspace, built when it is not there."""
    path = TARGET / profile / (name or package)
    if not path.exists():
        release = ["--release"] if profile == "release" else []
        subprocess.run(["cargo", "build", "--locked", *release, "-p", package], cwd=ROOT, check=True)
    return path


class Server:
    """A program of ours that announces where it listens and ends with its standard input."""

    def __init__(self, command):
        self.command = [*command, "--until-stdin-closes"]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split(": ", 1)[1].strip()
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)


class Fake(Server):
    """The strict fake over TLS, for as long as the block runs; with so many old versions of the service."""

    def __init__(self, folder, versions=1, profile="debug", token=None):
        self.log = folder / f"requests-{versions}.{os.urandom(4).hex()}"
        self.log.touch()
        tls = ROOT / "tests" / "strict-fake" / "tls"
        command = [built(profile, "strict-fake"), "--bucket", BUCKET, "--access-key", KEY, "--secret-key", SECRET]
        command += ["--key-alias", f"microsecrets-{SERVICE}", "--signing-key-alias", f"microsecrets-signing/{SERVICE}"]
        command += ["--tls-cert", tls / "server.pem", "--tls-key", tls / "server.key", "--log", self.log]
        if token:
            command += ["--session-token", token]
        if versions > 1:
            command += ["--history", f"{SERVICE}={versions - 1}"]
        super().__init__(command)

    @property
    def endpoint(self):
        """By name: Python 2.7's TLS knows no certificate of an address."""
        return self.address.replace("127.0.0.1", "localhost")

    @property
    def authority(self):
        return self.endpoint.removeprefix("https://")

    def requests(self):
        """The operations so far."""
        return [json.loads(line)["operation"] for line in self.log.read_text().splitlines()]

    def requests_of(self, run):
        """The operations that something asks for."""
        before = len(self.requests())
        run()
        return self.requests()[before:]


class Relay(Server):
    """A way to a server with a longer round trip, on which bytes are counted."""

    def __init__(self, upstream, round_trip_ms, count):
        self.count = count
        upstream = upstream.replace("localhost", "127.0.0.1")
        command = [built("release", "fault-proxy"), "--upstream", upstream, "--round-trip-ms", str(round_trip_ms)]
        super().__init__([*command, "--count", count])

    def bytes(self):
        """What went up and came down on the connections that have ended."""
        ended = [json.loads(line) for line in self.count.read_text().splitlines()]
        return sum(line["up"] for line in ended), sum(line["down"] for line in ended)


def environment_of(folder, endpoint):
    """Where everything is found: by Microsecrets, by the SDK's floor and, with AWS_CA_BUNDLE, by its peers."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SSL_CERT_FILE": str(CERTIFICATES),
        "MICROSECRETS_ENDPOINT": endpoint,
        "MICROSECRETS_REGION": REGION,
        "MICROSECRETS_BUCKET": BUCKET,
        "MICROSECRETS_SERVICE": SERVICE,
    }


def pairs(variables):
    return "".join(f"VARIABLE_{n}=a value of some length, number {n}\n" for n in range(variables))


def upload(program, environment, variables=20):
    """Commits an environment, and ends the migration of what 0.3.4 wrote before it."""
    quiet = {"env": environment, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([program, "upload", "-q"], input=pairs(variables), text=True, **quiet)
    # Else readers would go on looking for newer versions of 0.3.4.
    subprocess.run([program, "migrate", "--finish", "--yes"], **quiet)


class Credentials:
    """STS for web identity and the service of a container, over HTTP on loopback: each answers the same credentials."""

    TIMES = "2099-01-01T00:00:00Z"

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:{}".format(self.server.server_port)
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    @classmethod
    def handler(cls):
        container = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": cls.TIMES}
        of_container = json.dumps(container).encode()
        of_sts = (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>"
            f"<SessionToken>{TOKEN}</SessionToken><Expiration>{cls.TIMES}</Expiration></Credentials>"
            "<AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/example/example</Arn>"
            "<AssumedRoleId>AROAEXAMPLE:example</AssumedRoleId></AssumedRoleUser>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, content_type, body):
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.answer("application/json", of_container)

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer("text/xml", of_sts)

            def log_message(self, *_):
                pass

        return Handler

    def of_container(self):
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/container"}

    def of_web_identity(self, folder):
        token = folder / "web-identity-token"
        token.write_text("example.web.identity")
        return {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/example",
            "AWS_ROLE_SESSION_NAME": "example",
            "AWS_ENDPOINT_URL_STS": self.url,
        }
