"""A real etcd cluster on this machine, in a temporary directory of its own.

    with Cluster() as cluster:
        cluster.start()
        ... cluster.urls ...            "http://127.0.0.1:1,..."
        cluster.kill(cluster.leader())  SIGKILL
        cluster.etcdctl("get", "/x")    what etcdctl prints

Everything ends with the process that made it, however that ends."""

import base64
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BIN = os.path.join(ROOT, ".deps", "etcd", "usr", "bin")
READY_SECONDS = 60              # On a busy machine.
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_ports(n):
    """'n' TCP ports of 127.0.0.1 that nobody has, below those that the kernel
    gives to clients: so nobody gets one before it is used."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        top = int(f.read().split()[0])
    ports = []
    start = 10000 + os.getpid() * 37 % (top - 10000)
    for port in list(range(start, top)) + list(range(10000, start)):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == n:
            return ports
    raise RuntimeError("no free ports")


def wait_until(condition, what, seconds=READY_SECONDS):
    """Returns the first true value of condition()."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError("%s: not within %d s" % (what, seconds))
        time.sleep(0.02)


def _key(text):
    return base64.b64encode(text.encode()).decode()


def run(cluster, *checks):
    """Starts 'cluster' and calls 'checks' with it, printing how long each
    takes."""
    cluster.start()
    for function in checks:
        started = time.monotonic()
        function(cluster)
        print("  %.1f s" % (time.monotonic() - started), flush=True)


class Member:
    """'client' and 'peer' are IP:PORT."""

    def __init__(self, index, client, peer, scheme):
        self.name = "m%d" % index
        self.index = index
        self.url = "%s://%s" % (scheme, client)
        self.peer_url = "http://" + peer
        self.process = None
        self.log = None


class Cluster:
    """'n' members.  'tls': clients must have a certificate of the test's own
    authority, whose files are ca, cert and key (of "client").  'quota': bytes
    of the database.  'ips': one for each member, that nobody else uses.
    'parent': of the directory."""

    def __init__(self, n=3, tls=False, quota=None, options=(), ips=None,
                 parent=None):
        self.dir = tempfile.mkdtemp(prefix="test-etcd.", dir=parent)
        os.chmod(self.dir, 0o700)
        self.tls = tls
        self.user = None        # "name:password" for etcdctl.
        self.options = list(options)
        if quota:
            self.options += ["--quota-backend-bytes", str(quota)]
        if ips:
            places = [ip + port for ip in ips for port in (":2379", ":2380")]
        else:
            places = ["127.0.0.1:%d" % port for port in free_ports(2 * n)]
        self.members = [Member(i, places[2 * i], places[2 * i + 1],
                               "https" if tls else "http") for i in range(n)]
        self.urls = ",".join(m.url for m in self.members)
        self.ca = self.cert = self.key = None
        if tls:
            self.ca, self.cert, self.key = self.make_certificates()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    # Members.

    def launch(self, member):
        member.log = open(os.path.join(self.dir, member.name + ".log"), "ab")
        command = [
            os.path.join(BIN, "etcd"), "--name", member.name,
            "--data-dir", os.path.join(self.dir, member.name),
            "--listen-client-urls", member.url,
            "--advertise-client-urls", member.url,
            "--listen-peer-urls", member.peer_url,
            "--initial-advertise-peer-urls", member.peer_url,
            "--initial-cluster", ",".join("%s=%s" % (m.name, m.peer_url)
                                          for m in self.members),
            "--initial-cluster-state", "new", "--logger", "zap",
            "--log-level", "warn"] + self.options
        if self.tls:
            command += ["--cert-file", self.path("server.pem"),
                        "--key-file", self.path("server.key"),
                        "--trusted-ca-file", self.ca, "--client-cert-auth"]
        member.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=member.log,
            stderr=member.log, preexec_fn=_die_with_parent,
            env={"PATH": "/usr/bin", "GOMAXPROCS": "1"})
        member.log.close()

    def start(self):
        """Starts the members that do not run, and waits until all serve."""
        for member in self.members:
            if not member.process:
                self.launch(member)
        for member in self.members:
            wait_until(lambda: self.serves(member),
                       "%s (see %s)" % (member.name, self.dir))

    def stop(self):
        for member in self.members:
            self.kill(member)

    def kill(self, member):
        if member.process:
            # If it is stopped, too.
            member.process.kill()
            member.process.wait()
            member.process = None

    def freeze(self, member):
        """Neither dead nor alive, like one behind a broken network."""
        member.process.send_signal(signal.SIGSTOP)

    def thaw(self, member):
        member.process.send_signal(signal.SIGCONT)

    def running(self):
        return [m for m in self.members if m.process]

    def leader(self):
        """The member that leads now."""
        def find():
            for member in self.running():
                status = self.status(member)
                if status and status.get("leader"):
                    for other in self.running():
                        s = self.status(other)
                        if (s and s["header"]["member_id"]
                                == status["leader"]):
                            return other
            return None
        return wait_until(find, "a leader")

    def followers(self, leader=None):
        leader = leader or self.leader()
        return [m for m in self.running() if m is not leader]

    def status(self, member):
        try:
            return self.post(member, "/v3/maintenance/status", {})
        except (OSError, ValueError):
            return None

    def serves(self, member):
        """Whether it answers reads, which takes a majority."""
        if member.process.poll() is not None:
            raise RuntimeError("%s died: see %s" % (member.name, self.dir))
        try:
            self.post(member, "/v3/kv/range", {"key": _key("x")})
            return True
        except urllib.request.HTTPError as error:
            # It wants to know who asks, and is there.
            return error.code in (400, 401)
        except (OSError, ValueError):
            return False

    def post(self, member, path, body):
        context = None
        if self.tls:
            import ssl
            context = ssl.create_default_context(cafile=self.ca)
            context.load_cert_chain(self.cert, self.key)
        request = urllib.request.Request(member.url + path,
                                         json.dumps(body).encode())
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context))
        with opener.open(request, timeout=2) as f:
            return json.load(f)

    # Certificates.

    def path(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *args):
        subprocess.run(("openssl",) + args, check=True, cwd=self.dir,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def make_authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                     "-subj", "/CN=" + name, "-keyout", name + ".key",
                     "-out", name + ".pem")
        return self.path(name + ".pem")

    def make_certificate(self, name, authority, subject=None):
        """Returns the paths of the certificate and its key."""
        with open(self.path(name + ".ext"), "w") as f:
            f.write("subjectAltName=IP:127.0.0.1\n"
                    "extendedKeyUsage=serverAuth,clientAuth\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                     subject or "/CN=" + name, "-keyout", name + ".key",
                     "-out", name + ".csr")
        self.openssl("x509", "-req", "-in", name + ".csr", "-CA",
                     authority + ".pem", "-CAkey", authority + ".key",
                     "-CAcreateserial", "-days", "2", "-extfile",
                     name + ".ext", "-out", name + ".pem")
        return self.path(name + ".pem"), self.path(name + ".key")

    def make_certificates(self):
        ca = self.make_authority("ca")
        self.make_certificate("server", "ca")
        return (ca,) + self.make_certificate("client", "ca")

    # etcdctl.

    def etcdctl(self, *args, check=True, input=None):
        """What etcdctl prints.  It shares nothing with our client."""
        command = [os.path.join(BIN, "etcdctl"), "--endpoints",
                   ",".join(m.url for m in self.running()),
                   "--command-timeout", "20s", "--dial-timeout", "10s"]
        if self.tls:
            command += ["--cacert", self.ca, "--cert", self.cert,
                        "--key", self.key]
        if self.user:
            command += ["--user", self.user]
        done = subprocess.run(
            command + list(args), input=input, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=60,
            env={"ETCDCTL_API": "3", "PATH": "/usr/bin"})
        if check and done.returncode:
            raise RuntimeError("etcdctl %s: %s" % (
                " ".join(args), done.stderr.decode(errors="replace")))
        return done.stdout

    def get(self, prefix=""):
        """All pairs below 'prefix' by etcdctl: {key: value}, in bytes."""
        answer = json.loads(self.etcdctl("get", "--prefix", prefix, "-w",
                                         "json"))
        return {base64.b64decode(kv["key"]):
                base64.b64decode(kv.get("value", ""))
                for kv in answer.get("kvs", [])}

    def revision(self):
        answer = json.loads(self.etcdctl("get", "x", "-w", "json"))
        return answer["header"]["revision"]

    def compact(self, revision=None):
        """Forgets what was before 'revision' (the latest)."""
        self.etcdctl("compaction", str(revision or self.revision()))

    def enable_auth(self, user, password, prefix=""):
        """Users root, and 'user', who may use what is below 'prefix'."""
        self.etcdctl("user", "add", "root:root")
        self.etcdctl("user", "grant-role", "root", "root")
        self.etcdctl("role", "add", "grapnel")
        self.etcdctl("role", "grant-permission", "--prefix=true", "grapnel",
                     "readwrite", prefix)
        self.etcdctl("user", "add", "%s:%s" % (user, password))
        self.etcdctl("user", "grant-role", user, "grapnel")
        self.etcdctl("auth", "enable")
        self.user = "root:root"
