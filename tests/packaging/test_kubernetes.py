#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_kubernetes.py CASE SOURCE: the manifests fit each other and the program.

CASE is a key of CASES. The one called schemas needs the module kubernetes_validate, which brings the schemas of Kubernetes along:
docs/decisions/0010-yaml-and-kubernetes-schemas.md.
"""
import pathlib
import re
import sys

from support import expect, skip

try:
    import yaml
except ModuleNotFoundError:
    skip("python3-yaml is not installed")

KINDS = {"configmap": "ConfigMap", "daemonset": "DaemonSet", "deployment": "Deployment", "podmonitor": "PodMonitor",
         "service": "Service"}
# Kinds that Kubernetes itself does not have, and so no schema of it.
FOREIGN = {"PodMonitor": {"selector", "podMetricsEndpoints"}}


def manifests(source):
    """The objects by kind; one in each file."""
    files = {path.stem: path for path in (source / "packaging/kubernetes").iterdir()}
    expect(set(files) == set(KINDS) | {"fleet"}, f"files: {sorted(files)}")
    objects = {kind: yaml.safe_load(files[stem].read_text()) for stem, kind in KINDS.items()}
    for kind, content in objects.items():
        expect(content["kind"] == kind, f"{kind}: is a {content['kind']}")
    return objects


def pods(objects):
    """Labels, specification and container of each kind's pods."""
    for kind in ("Deployment", "DaemonSet"):
        template = objects[kind]["spec"]["template"]
        containers = template["spec"]["containers"]
        expect(len(containers) == 1, f"{kind}: more than one container")
        yield kind, template["metadata"]["labels"], template["spec"], containers[0]


def selectors_find_the_pods(objects, _source):
    service = objects["Service"]["spec"]["selector"]
    monitored = objects["PodMonitor"]["spec"]["selector"]["matchLabels"]
    for kind, labels, _, _ in pods(objects):
        for selector in objects[kind]["spec"]["selector"]["matchLabels"], monitored:
            expect(selector and selector.items() <= labels.items(), f"{selector} of {kind}, the pods have {labels}")
        expect((service.items() <= labels.items()) == (kind == "Deployment"), f"the service selects {service}, {kind} has {labels}")


def ports_are_those_of_the_program(objects, source):
    configured = yaml.safe_load(objects["ConfigMap"]["data"]["paddock.yaml"])
    header = (source / "include/qcmp/wire.h").read_text()
    settings = (source / "src/proxy/settings.c").read_text()
    defaults = {"qcmp": int(re.search(r"#define QCMP_PORT (\d+)", header)[1]),
                "udp": int(re.search(r'"service\.udp\.port".*?default_text = "(\d+)"', settings, re.DOTALL)[1])}
    expect({"qcmp": configured["qcmp_port"], "udp": configured["paddock"]["udp"]["port"]} == defaults, f"{defaults}, {configured}")
    for kind, _, spec, container in pods(objects):
        ports = {port["name"]: port for port in container["ports"]}
        for name, port in defaults.items():
            expect((ports[name]["containerPort"], ports[name]["protocol"]) == (port, "UDP"), f"{kind}: {ports[name]}")
            expect(f"--service.{name}" in container["args"], f"{kind} does not serve {name}")
        for port in objects["Service"]["spec"]["ports"]:
            expect(ports[port["targetPort"]]["protocol"] == port["protocol"], f"the service has {port}")
        wanted = [endpoint["port"] for endpoint in objects["PodMonitor"]["spec"]["podMetricsEndpoints"]]
        wanted += [container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")]
        expect(set(wanted) <= set(ports), f"{kind}: the pods have no ports {wanted}")
        of_the_host = [port for port in ports.values() if "hostPort" in port]
        expect(all(port["hostPort"] == port["containerPort"] for port in of_the_host), f"{kind}: {of_the_host}")
        expect(spec.get("hostNetwork", False) == (kind == "DaemonSet") == (len(of_the_host) == len(ports)), f"{kind}: hostNetwork")
    expect({port["targetPort"]: port["port"] for port in objects["Service"]["spec"]["ports"]} == defaults, "ports of the service")


def configuration_is_mounted_where_the_flag_says(objects, _source):
    names = list(objects["ConfigMap"]["data"])
    for kind, _, spec, container in pods(objects):
        mount = container["volumeMounts"][0]
        expect(spec["volumes"] == [{"name": mount["name"], "configMap": {"name": objects["ConfigMap"]["metadata"]["name"]}}],
               f"{kind}: volumes: {spec['volumes']}")
        expect("subPath" not in mount and f"--config={mount['mountPath']}/{names[0]}" in container["args"],
               f"{kind}: {container['args']}, but {names} is mounted at {mount}")
        drain = next(int(match[1]) for word in container["args"] if (match := re.match(r"--termination-timeout=(\d+)s$", word)))
        pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        expect(pause + drain < spec["terminationGracePeriodSeconds"], f"{kind}: it is killed before it ends")


def fleet(source):
    """The objects of a fleet, by kind and name."""
    objects = yaml.safe_load_all((source / "packaging/kubernetes/fleet.yaml").read_text())
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def the_fleet_fits_together(_objects, source):
    """URLs lead to services that there are, with ports that pods have; the program takes each configuration."""
    objects = fleet(source)
    settings = (source / "src/xds/settings.c").read_text()
    defaults = {name: int(re.search(rf'"service\.{name}\.port".*?"(\d+)"', settings, re.DOTALL)[1]) for name in ("xds", "mds")}
    for (kind, name), item in objects.items():
        if kind != "Deployment":
            continue
        template = item["spec"]["template"]
        container = template["spec"]["containers"][0]
        ports = {port["name"]: (port["containerPort"], port["protocol"]) for port in container["ports"]}
        expect(item["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items(), f"{name}: labels")
        served = {word.removeprefix("--service.") for word in container["args"] if word.startswith("--service.")}
        expect(set(ports) == served | {"admin"}, f"{name}: {sorted(ports)}, but it serves {sorted(served)}")
        expect(all(ports[key][0] == port for key, port in defaults.items() if key in ports), f"{name}: {ports}, not {defaults}")
        for kind_of_url, host, port in re.findall(r"--provider\.(\w+)\.endpoints=http://([\w-]+):(\d+)", " ".join(container["args"])):
            service = objects["Service", host]
            wanted = [entry for entry in service["spec"]["ports"] if entry["name"] == kind_of_url]
            expect([entry["port"] for entry in wanted] == [int(port)], f"{name}: {host} has no port {port} for {kind_of_url}")
        if ("Service", name) in objects:
            for entry in objects["Service", name]["spec"]["ports"]:
                expect(ports[entry["targetPort"]] == (entry["port"], entry["protocol"]), f"{name}: {entry}")
        if "volumes" in template["spec"]:
            config = objects["ConfigMap", template["spec"]["volumes"][0]["configMap"]["name"]]
            mount = container["volumeMounts"][0]["mountPath"]
            expect([f"--config={mount}/{key}" for key in config["data"]] == [word for word in container["args"] if "config" in word],
                   f"{name}: {container['args']}")
    expect(len([kind for kind, _ in objects if kind == "Deployment"]) == 3, f"{sorted(objects)}")


def manifests_fit_the_schemas(objects, source):
    # Where scripts/check-kubernetes installs it.
    sys.path.append(str(source / f"build/kubernetes-validate/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"))
    try:
        import kubernetes_validate
    except ModuleNotFoundError:
        skip("no module kubernetes_validate: nobody compared the manifests with Kubernetes' schemas; scripts/check-kubernetes does")
    version = kubernetes_validate.latest_version()
    for kind, content in [*objects.items(), *((kind, item) for (kind, _), item in fleet(source).items())]:
        if kind in FOREIGN:
            expect(set(content) == {"apiVersion", "kind", "metadata", "spec"} and set(content["spec"]) == FOREIGN[kind],
                   f"{kind}: keys {sorted(content)}, {sorted(content['spec'])}")
            continue
        # Raises, with the path, what does not fit.
        kubernetes_validate.validate(content, version, strict=True)
    try:
        kubernetes_validate.validate({**objects["Service"], "spec": {"prots": []}}, version, strict=True)
    except kubernetes_validate.ValidationError:
        return
    sys.exit("a service with a misspelt key passes as well")


def manifests_for_agones_are_whole(_objects, source):
    """tests/integration/test_k8s_real.py asks the real API server about them."""
    folder = source / "packaging/agones"
    files = {path.name: list(yaml.safe_load_all(path.read_text())) for path in folder.glob("*.yaml")}
    base, = files.pop("kustomization.yaml")
    expect(sorted(files) == sorted(base["resources"]), f"{sorted(files)}, but the base has {base['resources']}")
    things = [thing for file in files.values() for thing in file]
    settings = "".join(path.read_text() for path in source.glob("src/*/*.c"))
    pods = {}
    for thing in things:
        if thing["kind"] == "Deployment":
            template = thing["spec"]["template"]
            container, = template["spec"]["containers"]
            pods[template["metadata"]["labels"]["app.kubernetes.io/name"]] = container
            expect(container["image"] in {image["name"] for image in base["images"]}, f"image {container['image']}")
            for word in container["args"]:
                expect(f'"{word[2:].partition("=")[0]}"' in settings, f"the program does not know {word}")
    expect({entry["name"] for entry in base["replicas"]} <= set(pods), f"replicas of {base['replicas']}")
    ports = {}
    for thing in things:
        if thing["kind"] == "Service":
            named = {port["name"]: port["containerPort"] for port in pods[thing["spec"]["selector"]["app.kubernetes.io/name"]]["ports"]}
            ports[thing["metadata"]["name"]] = {port["port"] for port in thing["spec"]["ports"] if named[port["targetPort"]] == port["port"]}
    for container in pods.values():
        for word in container["args"]:
            if match := re.search(r"endpoints=http://([^:]+):(\d+)", word):
                expect(int(match[2]) in ports[match[1]], f"{word}, but there are {ports}")
    for verbs, resource in (("list watch", "configmaps"), ("list watch", "gameservers"), ("get create patch", "leases")):
        rules = [rule["verbs"] for thing in things if thing["kind"].endswith("Role") for rule in thing["rules"]
                 if resource in rule["resources"]]
        expect(rules == [verbs.split()], f"{resource}: {rules}")


CASES = {case.__name__: case for case in (
    selectors_find_the_pods, ports_are_those_of_the_program, configuration_is_mounted_where_the_flag_says, the_fleet_fits_together,
    manifests_for_agones_are_whole, manifests_fit_the_schemas)}

if __name__ == "__main__":
    tree = pathlib.Path(sys.argv[2])
    CASES[sys.argv[1]](manifests(tree), tree)
