# SPDX-License-Identifier: Apache-2.0
"""An API server of Kubernetes: a stand-in with every fault that a test asks for, or, where $KUBE_APISERVER names the binary, the
real one with an etcd of its own. Both take objects by the same calls."""
import base64
import contextlib
import copy
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import support
from serving import free_ports
from support import wait_until

REAL = os.environ.get("KUBE_APISERVER")
TOKEN = "admintoken"
GAME_SERVERS = "/apis/agones.dev/v1/namespaces/%s/gameservers"
MAPS = "/api/v1/namespaces/%s/configmaps"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/%s/endpointslices"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/%s/leases"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

# GameServers as they are stored, without the rules of Agones' own definition.
CRD = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "gameservers.agones.dev"},
       "spec": {"group": "agones.dev", "scope": "Namespaced",
                "names": {"kind": "GameServer", "plural": "gameservers", "singular": "gameserver", "shortNames": ["gs"]},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


def game_server(name, target, *tokens, state="Allocated", namespace="default", **metadata):
    """A GameServer with no more than routing needs. The target is "ADDRESS:PORT"."""
    address, _, port = target.rpartition(":")
    annotations = {"quilkin.dev/tokens": ",".join(base64.b64encode(token).decode() for token in tokens)} if tokens else {}
    annotations |= metadata.pop("annotations", {})
    return {"apiVersion": "agones.dev/v1", "kind": "GameServer",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations, **metadata},
            "status": {"state": state, "address": address, "ports": [{"name": "default", "port": int(port)}]}}


def config_map(name, text, namespace="default", key="quilkin.yaml"):
    return {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "labels": {"quilkin.dev/configmap": "true"}}, "data": {key: text}}


def endpoint_slice(name, service, *targets, namespace="default"):
    address, _, port = targets[0].rpartition(":")
    endpoints = [{"addresses": [target.rpartition(":")[0]], "conditions": {"ready": True}} for target in targets]
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
            "endpoints": endpoints, "ports": [{"name": "game", "protocol": "UDP", "port": int(port)}]}


def merged(old, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def write_kubeconfig(path, server, user, **cluster):
    """JSON is YAML."""
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}], "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "default"}}]}), encoding="utf-8")
    os.chmod(path, 0o644)
    return path


def make_certificates(folder, *clients):
    """Authorities, a server's certificate for 127.0.0.1, and one for each client."""
    if shutil.which("openssl") is None:
        raise unittest.SkipTest("openssl is not installed, so no certificates were made")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "30",
            "-subj", "/CN=test-ca", "-addext", "basicConstraints=critical,CA:TRUE")
    for name in ("tls", *clients):
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes" if name == "tls" else
                                      "extendedKeyUsage=clientAuth", encoding="utf-8")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
                "-out", f"{name}.crt", "-extfile", "names")
    for file in folder.iterdir():
        os.chmod(file, 0o644)


class StandIn:
    """In memory, in threads of the test. `faults` are pairs of a pattern of "METHOD PATH?QUERY" and what is to happen there,
    which happens until the pair is taken out: a status, "hang", "close", or bytes in place of a body."""

    def __init__(self, tls=None, client_authorities=None):
        self.lock = threading.Condition(threading.RLock())
        self.objects, self.events, self.faults, self.requests = {}, [], [], []
        self.version, self.oldest, self.token, self.page = 100, 0, TOKEN, 500
        self.bookmarks = False
        self.server = None
        self.tls, self.client_authorities = tls, client_authorities
        self.port = free_ports(1)[0]
        self.watches = set()
        self.start()

    def start(self):
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                stand_in.answer(self)
            do_POST = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that has gone, or whose certificate is no good
        self.server = Server(("127.0.0.1", self.port), Handler, bind_and_activate=False)
        self.server.allow_reuse_address = True
        self.server.server_bind()
        self.server.server_activate()
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls / "tls.crt", self.tls / "tls.key")
            if self.client_authorities:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.client_authorities)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """As a server that is killed: all connections go."""
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        with self.lock:
            for handler in self.watches:
                with contextlib.suppress(OSError):
                    handler.connection.shutdown(socket.SHUT_RDWR)
            self.lock.notify_all()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def kubeconfig(self, folder):
        return write_kubeconfig(folder / "kubeconfig", self.url, {"token": self.token})

    # What a test does to objects.

    def change(self, kind, path, thing):
        self.version += 1
        thing = copy.deepcopy(thing)
        thing["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, kind, path, thing))
        if kind == "DELETED":
            del self.objects[path][thing["metadata"]["name"]]
        else:
            self.objects.setdefault(path, {})[thing["metadata"]["name"]] = thing
        self.lock.notify_all()
        return thing

    def put(self, path, thing):
        with self.lock:
            known = thing["metadata"]["name"] in self.objects.get(path, {})
            return self.change("MODIFIED" if known else "ADDED", path, thing)

    def merge(self, path, name, patch):
        with self.lock:
            return self.change("MODIFIED", path, merged(self.objects[path][name], patch))

    def delete(self, path, name):
        with self.lock:
            return self.change("DELETED", path, self.objects[path][name])

    def get(self, path, name):
        with self.lock:
            return copy.deepcopy(self.objects.get(path, {}).get(name))

    def forget(self):
        """As etcd after its compaction: watches have to list again."""
        with self.lock:
            self.version += 1
            self.oldest = self.version
            self.lock.notify_all()

    def cut(self):
        """Ends the watches as a network does that fails."""
        with self.lock:
            for handler in self.watches:
                with contextlib.suppress(OSError):
                    handler.connection.shutdown(socket.SHUT_RDWR)

    def count(self, pattern):
        with self.lock:
            return sum(re.search(pattern, request) is not None for request in self.requests)

    # How it answers.

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        url = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        what = f"{handler.command} {handler.path}"
        with self.lock:
            self.requests.append(what)
            fault = next((fault for pattern, fault in self.faults if re.search(pattern, what)), None)
            is_known = not self.token or handler.headers.get("Authorization") == f"Bearer {self.token}"
        if isinstance(fault, bytes):
            self.reply_bytes(handler, fault)
        elif fault == "hang":
            with self.lock:
                self.lock.wait_for(lambda: self.server is None or not any(re.search(p, what) for p, _ in self.faults))
        elif fault == "close":
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif fault is not None:
            self.refuse(handler, fault, f"no {what}")
        elif not is_known:
            self.refuse(handler, 401, "Unauthorized")
        elif handler.command == "GET" and "watch" in query:
            self.watch(handler, url.path, query)
        elif handler.command == "GET":
            self.list(handler, url.path, query)
        else:
            self.write(handler, url.path, json.loads(body))

    def reply_bytes(self, handler, data, status=200):
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        if status == 429:
            handler.send_header("Retry-After", "1")
        handler.end_headers()
        handler.wfile.write(data)

    def refuse(self, handler, status, message):
        self.reply_bytes(handler, json.dumps({"kind": "Status", "status": "Failure", "code": status, "message": message}).encode(), status)

    def selected(self, path, query):
        key, _, value = query.get("labelSelector", "=").partition("=")
        things = sorted(self.objects.get(path, {}).items())
        return [thing for _, thing in things if not key or thing["metadata"].get("labels", {}).get(key) == value]

    def list(self, handler, path, query):
        with self.lock:
            parent, _, name = path.rpartition("/")
            one = self.objects.get(parent, {}).get(name)
            things, version = self.selected(path, query), self.version
        if one is not None:
            self.reply_bytes(handler, json.dumps(one).encode())
            return
        if parent.endswith(("leases", "configmaps", "gameservers")):
            self.refuse(handler, 404, f"{name} not found")
            return
        begin = int(query.get("continue", "0/=").partition("/")[0])
        end = begin + min(int(query.get("limit", "500")), self.page)
        meta = {"resourceVersion": str(version)} | ({"continue": f"{end}/="} if end < len(things) else {})
        self.reply_bytes(handler, json.dumps({"kind": "List", "metadata": meta, "items": things[begin:end]}).encode())

    def watch(self, handler, path, query):
        seen = int(query["resourceVersion"])
        until = time.monotonic() + float(query["timeoutSeconds"])
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()

        def send(kind, thing):
            data = json.dumps({"type": kind, "object": thing}).encode() + b"\n"
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        with self.lock:
            self.watches.add(handler)
        try:
            while time.monotonic() < until:
                with self.lock:
                    expired = seen < self.oldest
                    news = [event for event in self.events if event[0] > seen and event[2] == path] if not expired else []
                    if not news and not expired:
                        self.lock.wait(0.2)
                        if self.server is None:
                            break
                        continue
                    seen = self.version
                if expired:
                    send("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})
                    break
                for _, kind, _, thing in news:
                    send(kind, thing)
                if self.bookmarks:
                    send("BOOKMARK", {"metadata": {"resourceVersion": str(seen)}})
            handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            handler.close_connection = True
        finally:
            with self.lock:
                self.watches.discard(handler)

    def write(self, handler, path, body):
        with self.lock:
            if handler.command == "POST":
                name = body["metadata"]["name"]
                is_new = name not in self.objects.get(path, {})
                thing = self.change("ADDED", path, body) if is_new else None
            else:
                parent, _, name = path.rpartition("/")
                old = self.objects.get(parent, {}).get(name)
                version = body.get("metadata", {}).get("resourceVersion")
                is_new = old is not None and version in (None, old["metadata"]["resourceVersion"])
                thing = self.change("MODIFIED", parent, merged(old, body)) if is_new else None
        if thing is None:
            self.refuse(handler, 409, "the object has been modified")
        else:
            self.reply_bytes(handler, json.dumps(thing).encode(), 201 if handler.command == "POST" else 200)


class Cluster:
    """The real one: kube-apiserver and etcd on loopback, with RBAC. The token u1token is of a user without rights."""

    def __init__(self, folder):
        self.folder = folder
        self.etcd = self.api = None
        self.etcd_port, self.peer_port, self.port = free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        make_certificates(folder)
        subprocess.run(["openssl", "genrsa", "-out", "sa.key", "2048"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        (folder / "tokens.csv").write_text('admintoken,admin,1,"system:masters"\nu1token,u1,11\n', encoding="utf-8")
        self.context = ssl._create_unverified_context()  # the test's own calls, of its own server

    def spawn(self, name, *command):
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start_etcd(self):
        url, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self.etcd = self.spawn("etcd", "etcd", "--data-dir", "etcd", "--listen-client-urls", url, "--advertise-client-urls", url,
                               "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster",
                               f"default={peer}", "--unsafe-no-fsync=true")

    def start_api(self):
        self.api = self.spawn(
            "api", REAL, "--etcd-servers", f"http://127.0.0.1:{self.etcd_port}", "--secure-port", str(self.port), "--bind-address",
            "127.0.0.1", "--advertise-address", "127.0.0.1", "--tls-cert-file", "tls.crt", "--tls-private-key-file", "tls.key",
            "--service-account-key-file", "sa.key", "--service-account-signing-key-file", "sa.key", "--service-account-issuer",
            "https://kubernetes.default.svc", "--token-auth-file", "tokens.csv", "--authorization-mode", "RBAC",
            "--service-cluster-ip-range", "10.96.0.0/24", "--disable-admission-plugins", "ServiceAccount",
            "--endpoint-reconciler-type", "none")
        wait_until(self.is_ready, "kube-apiserver is ready", 120)

    def is_ready(self):
        if self.api.poll() is not None:
            raise AssertionError("kube-apiserver ended: " + (self.folder / "api.log").read_text(errors="replace")[-2000:])
        with contextlib.suppress(OSError, ValueError):
            return self.call("GET", "/readyz")[0] == 200
        return False

    def __enter__(self):
        self.start_etcd()
        self.start_api()
        status, answer = self.call("POST", CRDS, CRD)
        if status != 201:
            raise AssertionError(f"no definition of GameServers: {answer}")
        wait_until(lambda: self.call("GET", GAME_SERVERS % "default")[0] == 200, "GameServers are served")
        return self

    def __exit__(self, *_):
        for process in (self.api, self.etcd):
            if process is not None:
                process.kill()
                process.wait()

    def call(self, method, path, body=None, kind="application/json", token=TOKEN):
        request = urllib.request.Request(self.url + path, method=method, data=json.dumps(body).encode() if body is not None else None,
                                         headers={"Authorization": f"Bearer {token}", "Content-Type": kind})
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=20) as answer:
                data = answer.read()
                return answer.status, json.loads(data) if data[:1] == b"{" else data
        except urllib.error.HTTPError as error:
            data = error.read()
            return error.code, json.loads(data) if data[:1] == b"{" else data

    def expect(self, *arguments):
        status, answer = self.call(*arguments)
        if status >= 300:
            raise AssertionError(f"{arguments[:2]}: {status}: {answer}")
        return answer

    def kubeconfig(self, folder, token=TOKEN):
        return write_kubeconfig(folder / f"kubeconfig-{token}", self.url, {"token": token},
                                **{"certificate-authority-data": base64.b64encode((self.folder / "ca.crt").read_bytes()).decode()})

    def put(self, path, thing):
        name = thing["metadata"]["name"]
        status, answer = self.call("POST", path, thing)
        if status == 409:
            return self.merge(path, name, thing)
        if status != 201:
            raise AssertionError(f"{path} {name}: {status}: {answer}")
        return answer

    def merge(self, path, name, patch):
        return self.expect("PATCH", f"{path}/{name}", patch, "application/merge-patch+json")

    def delete(self, path, name):
        return self.expect("DELETE", f"{path}/{name}")

    def get(self, path, name):
        status, answer = self.call("GET", f"{path}/{name}")
        return answer if status == 200 else None

    def grant(self, user, namespace, *rules):
        """Rules are pairs of a resource with its group behind a dot, and verbs."""
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.expect("POST", base + "/roles", {"metadata": {"name": user}, "rules": [
            {"apiGroups": [resource.partition(".")[2]], "resources": [resource.partition(".")[0]], "verbs": list(verbs)}
            for resource, verbs in rules]})
        self.expect("POST", base + "/rolebindings", {"metadata": {"name": user}, "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user}, "subjects": [
                {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]})
