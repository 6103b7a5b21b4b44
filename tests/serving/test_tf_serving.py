"""The files for TensorFlow Serving parse as it does, and agree with each other and the exports."""

from __future__ import annotations

import ast
import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

ROOT = pathlib.Path(__file__).resolve().parents[2]
KIT = ROOT / "serving" / "tf_serving"
MODEL = "shop"
GRPC, REST = 8500, 8501
CONFIGURED, MODELS = pathlib.PurePosixPath("/etc/tf_serving"), pathlib.PurePosixPath("/models")

# All flags of tensorflow_model_server 2.20.0 (model_servers/main.cc; those of 2.19.1 are the same).
SERVER_FLAG_NAMES = """
port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms
rest_api_enable_cors_support enable_batching allow_version_labels_for_unavailable_models
batching_parameters_file enable_per_model_batching_parameters model_config_file
model_config_file_poll_wait_seconds model_name model_base_path num_load_threads
num_unload_threads max_num_load_retries load_retry_interval_micros file_system_poll_wait_seconds
flush_filesystem_caches tensorflow_session_parallelism tensorflow_session_config_file
tensorflow_intra_op_parallelism tensorflow_inter_op_parallelism use_alts_credentials
ssl_config_file platform_config_file per_process_gpu_memory_fraction saved_model_tags
grpc_channel_arguments grpc_max_threads enable_model_warmup num_request_iterations_for_warmup
version monitoring_config_file remove_unused_fields_from_bundle_metagraph prefer_tflite_model
num_tflite_pools num_tflite_interpreters_per_pool enable_signature_method_name_check
xla_cpu_compilation_enabled xla_gpu_compilation_enabled enable_profiler
thread_pool_factory_config_file mixed_precision skip_initialize_tpu
enable_grpc_healthcheck_service enable_serialization_as_tensor_content
"""
SERVER_FLAGS = set(SERVER_FLAG_NAMES.split())

# The pip package lacks these messages: field -> number and type, as session_bundle_config.proto and
# monitoring_config.proto document them.
MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": (1, "Int64Value"),
        "batch_timeout_micros": (2, "Int64Value"),
        "max_enqueued_batches": (3, "Int64Value"),
        "num_batch_threads": (4, "Int64Value"),
        "thread_pool_name": (5, "StringValue"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, "BoolValue"),
        "max_execution_batch_size": (9, "Int64Value"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, "PrometheusConfig")},
}


@functools.cache
def pool() -> Any:
    """A pool of its own, so that the names cannot collide with TensorFlow's."""
    made = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    made.Add(wrappers)
    field = descriptor_pb2.FieldDescriptorProto
    plain = {"int64": field.TYPE_INT64, "bool": field.TYPE_BOOL, "string": field.TYPE_STRING}
    file = descriptor_pb2.FileDescriptorProto(name="kit.proto", package="kit", syntax="proto3")
    file.dependency.append(wrappers.name)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            label = field.LABEL_REPEATED if kind.startswith("repeated ") else field.LABEL_OPTIONAL
            kind = kind.removeprefix("repeated ")
            added = message.field.add(name=field_name, number=number, label=label)
            if kind in plain:
                added.type = plain[kind]
            else:
                added.type = field.TYPE_MESSAGE
                added.type_name = f".kit.{kind}" if kind in MESSAGES else f".google.protobuf.{kind}"
    made.Add(file)
    return made


def parse(name: str, text: str) -> Any:
    """Text of a message of `MESSAGES`; text_format.ParseError for what the server would refuse."""
    return text_format.Parse(
        text, message_factory.GetMessageClass(pool().FindMessageTypeByName(f"kit.{name}"))()
    )


def read(name: str) -> str:
    return (KIT / name).read_text(encoding="utf-8")


def models(name: str) -> Any:
    """The one model of a ModelServerConfig file."""
    config = text_format.Parse(read(name), model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    return model


def compose() -> dict[str, Any]:
    (service,) = yaml.safe_load(read("docker-compose.yml"))["services"].values()
    return dict(service)


def manifests() -> dict[str, Any]:
    """By kind."""
    found = list(yaml.safe_load_all(read("kubernetes.yaml")))
    assert len({m["kind"] for m in found}) == len(found)
    return {m["kind"]: m for m in found}


def pod() -> dict[str, Any]:
    return dict(manifests()["Deployment"]["spec"]["template"]["spec"])


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return dict(only)


def kserve() -> dict[str, Any]:
    """By kind."""
    return {m["kind"]: m for m in yaml.safe_load_all(read("kserve.yaml"))}


def kserve_model() -> dict[str, Any]:
    return dict(kserve()["InferenceService"]["spec"]["predictor"]["model"])


def flags(arguments: list[str]) -> dict[str, str]:
    found = {}
    for argument in arguments:
        match = re.fullmatch(r"--([a-z_]+)=(\S+)", argument)
        assert match, f"{argument}: is no --flag=value"
        assert match[1] not in found, f"{argument}: given twice"
        found[match[1]] = match[2]
    return found


def arguments() -> dict[str, dict[str, str]]:
    """The server's flags by the file that gives them."""
    return {
        "docker-compose.yml": flags(compose()["command"]),
        "kubernetes.yaml": flags(container()["args"]),
        "kserve.yaml": flags(kserve_model()["args"]),
    }


WHOLE = ("docker-compose.yml", "kubernetes.yaml")  # KServe's runtime adds ports and paths itself


@pytest.mark.parametrize("name", ["models.config", "canary.config"])
def test_models_are_where_both_servers_mount_them(name: str) -> None:
    model = models(name)
    assert (model.name, model.model_platform) == (MODEL, "tensorflow")
    assert model.base_path == str(MODELS / MODEL)
    assert model.model_version_policy.WhichOneof("policy_choice") is not None


def test_the_newest_and_the_one_before_are_served() -> None:
    model = models("models.config")
    assert model.model_version_policy.latest.num_versions == 2
    assert not model.version_labels  # numbers of versions that do not exist yet


def test_labels_name_versions_that_are_served() -> None:
    model = models("canary.config")
    assert set(model.version_labels) == {"stable", "canary"}
    assert set(model.version_labels.values()) == set(model.model_version_policy.specific.versions)


def wrong_sizes(batching: Any) -> list[str]:
    """What the server, or a session behind it, does not accept about the sizes of batches."""
    allowed, largest = list(batching.allowed_batch_sizes), batching.max_batch_size.value
    found = []
    if allowed != sorted(set(allowed)):
        found.append("allowed_batch_sizes must increase")
    if allowed and allowed[-1] != largest:
        found.append("allowed_batch_sizes must end with max_batch_size")
    if largest < max(warmup_sizes()):
        found.append("the warm-up has larger requests than max_batch_size")
    return found


def warmup_sizes() -> tuple[int, ...]:
    """`export.warmup.SIZES`, without importing TensorFlow."""
    for node in ast.parse((ROOT / "export" / "warmup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SIZES":
            return tuple(ast.literal_eval(node.value))
    raise AssertionError("export.warmup has no SIZES: mend this test")


def test_batching_fits_the_exports() -> None:
    batching = parse("BatchingParameters", read("batching.config"))
    assert wrong_sizes(batching) == []
    assert batching.HasField("batch_timeout_micros")
    assert batching.batch_timeout_micros.value == 0
    assert batching.max_enqueued_batches.value >= 1
    assert not batching.pad_variable_length_inputs  # it would put real values into lists
    assert (
        str(batching.num_batch_threads.value)
        == arguments()["docker-compose.yml"]["tensorflow_inter_op_parallelism"]
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("max_batch_size { value: 512 } allowed_batch_sizes: [8, 512]", []),
        (
            "max_batch_size { value: 512 } allowed_batch_sizes: [512, 8, 512]",
            ["allowed_batch_sizes must increase"],
        ),
        (
            "max_batch_size { value: 512 } allowed_batch_sizes: [8, 64]",
            ["allowed_batch_sizes must end with max_batch_size"],
        ),
        ("max_batch_size { value: 64 }", ["the warm-up has larger requests than max_batch_size"]),
    ],
)
def test_wrong_sizes_are_seen(text: str, wrong: list[str]) -> None:
    assert wrong_sizes(parse("BatchingParameters", text)) == wrong


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BatchingParameters", "max_batch: 3"),
        ("BatchingParameters", "max_batch_size: 3"),  # a wrapped value, not a number
        ("BatchingParameters", "pad_variable_length_inputs { value: true }"),
        ("MonitoringConfig", "prometheus { enable: true }"),
        ("MonitoringConfig", 'prometheus_config { enable: "yes" }'),
    ],
)
def test_what_the_server_would_refuse_does_not_parse(name: str, text: str) -> None:
    with pytest.raises(text_format.ParseError):
        parse(name, text)


def test_metrics_are_on_where_prometheus_looks() -> None:
    prometheus = parse("MonitoringConfig", read("monitoring.config")).prometheus_config
    annotations = manifests()["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert prometheus.enable
    assert annotations["prometheus.io/path"] == prometheus.path
    assert annotations["prometheus.io/port"] == str(REST)
    assert prometheus.path in read("README.md")


@pytest.mark.parametrize("file", [*WHOLE, "kserve.yaml"])
def test_the_server_knows_every_flag(file: str) -> None:
    assert set(arguments()[file]) - SERVER_FLAGS == set()


def test_flags_in_text_are_flags_of_the_server() -> None:
    """Comments and README too: `--flag`s of other programs are named here."""
    others = {"run_dir", "export_dir", "target", "rest", "model_name", "poll_seconds"}
    others |= {"no_cache", "cache_dir"}
    for path in sorted(KIT.iterdir()):
        for name in re.findall(r"--([a-z]+(?:_[a-z]+)+)\b", path.read_text(encoding="utf-8")):
            assert name in SERVER_FLAGS | others, f"{path.name}: --{name}"


@pytest.mark.parametrize("file", WHOLE)
def test_the_flags_fit_the_kit(file: str) -> None:
    given = arguments()[file]
    assert (given["port"], given["rest_api_port"]) == (str(GRPC), str(REST))
    assert int(given["model_config_file_poll_wait_seconds"]) > 0
    assert given["allow_version_labels_for_unavailable_models"] == "true"
    for name in ("model_config_file", "monitoring_config_file"):
        path = pathlib.PurePosixPath(given[name])
        assert path.parent == CONFIGURED
        assert (KIT / path.name).is_file(), f"{file}: {given[name]} is not in the kit"
    assert ("enable_batching" in given) == ("batching_parameters_file" in given)


def test_one_image_everywhere() -> None:
    image = compose()["image"]
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", image)  # pinned
    assert container()["image"] == image
    assert kserve_model()["runtimeVersion"] == image.split(":")[1]


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are for a shell")
def test_the_commands_of_the_readme_pin_the_image(tmp_path: pathlib.Path) -> None:
    """With a docker that knows one digest: twice, since a tag moves and is pinned again."""
    (commands,) = re.findall(r"```\n(digest=.*?)```", read("README.md"), flags=re.DOTALL)
    image = compose()["image"]
    for name in WHOLE:
        shutil.copy(KIT / name, tmp_path)
    for digest in ("sha256:" + "a1" * 32, "sha256:" + "b2" * 32):
        docker = tmp_path / "docker"
        docker.write_text(f'#!/bin/sh\n[ "$4" = {image} ] && echo {digest}\n')
        docker.chmod(0o755)
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, env=path, check=True)
        for name in WHOLE:
            texts = re.findall(r"image: (\S+)", (tmp_path / name).read_text(encoding="utf-8"))
            assert texts == [f"{image}@{digest}"], name
        changed = yaml.safe_load((tmp_path / "docker-compose.yml").read_text(encoding="utf-8"))
        assert {**compose(), "image": ""} == {**changed["services"]["tf_serving"], "image": ""}


def test_nothing_writes_to_the_root_and_nobody_gains_rights() -> None:
    for name, given in (("kubernetes", container()), ("kserve", kserve_model())):
        context = given["securityContext"]
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
    assert compose()["read_only"] is True and compose()["cap_drop"] == ["ALL"]


def test_only_those_who_are_named_reach_the_pods() -> None:
    policy = manifests()["NetworkPolicy"]["spec"]
    labels = manifests()["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"} and policy["egress"] == []
    named = {port["name"] for port in container()["ports"]}
    clients, scrapers = policy["ingress"]
    assert {port["port"] for port in clients["ports"]} == named
    assert [port["port"] for port in scrapers["ports"]] == ["rest"]
    assert "namespaceSelector" in scrapers["from"][0]
    kserve_policy = kserve()["NetworkPolicy"]["spec"]
    assert kserve_policy["podSelector"]["matchLabels"] == {
        "serving.kserve.io/inferenceservice": MODEL
    }
    for rule in (*policy["ingress"], *kserve_policy["ingress"]):
        assert rule["from"], "without `from`, everybody is let in"
        assert all(source not in ({}, None) for source in rule["from"])
        for source in rule["from"]:
            assert all(selector for selector in source.values()), "an empty selector is everybody"
    (label,) = clients["from"][0]["podSelector"]["matchLabels"].items()
    assert '{}: "{}"'.format(*label) in read("README.md")


def patched(base: Any, patch: Any) -> Any:
    """A strategic merge: objects by key, lists of named objects by name, other lists replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        merged = dict(base)
        for key, value in patch.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = patched(base.get(key), value)
        return merged
    are_named = isinstance(base, list) and all(
        isinstance(entry, dict) and "name" in entry for entry in [*base, *patch]
    )
    if not are_named:
        return patch
    by_name = {entry["name"]: entry for entry in base}
    for entry in patch:
        by_name[entry["name"]] = patched(by_name.get(entry["name"], {}), entry)
    return list(by_name.values())


def from_store() -> dict[str, Any]:
    """What kustomization.yaml makes of kubernetes.yaml, by kind."""
    kustomization = yaml.safe_load(read("kustomization.yaml"))
    assert kustomization["resources"] == ["kubernetes.yaml"]
    found = manifests()
    for change in kustomization["patches"]:
        kind = change["target"]["kind"]
        found[kind] = patched(found[kind], yaml.safe_load(change["patch"]))
    return found


def test_models_from_a_store_are_copied_to_where_the_server_looks() -> None:
    made = from_store()["Deployment"]["spec"]["template"]["spec"]
    assert made["containers"] == pod()["containers"]
    by_name = {volume["name"]: volume for volume in made["volumes"]}
    assert set(by_name["models"]) == {"name", "emptyDir"}
    assert by_name["config"] == pod()["volumes"][0]
    fetch, sync = made["initContainers"]
    assert "restartPolicy" not in fetch
    assert sync["restartPolicy"] == "Always"  # a sidecar
    served = models("models.config")
    for helper in (fetch, sync):
        uri, directory, *given = helper["args"]
        assert uri.startswith("s3://")
        assert directory == served.base_path
        assert f"--newest={served.model_version_policy.latest.num_versions}" in given
        assert helper["volumeMounts"] == [{"name": "models", "mountPath": str(MODELS)}]
        assert helper["securityContext"] == container()["securityContext"]
    assert "--once" in fetch["args"] and "--once" not in sync["args"]
    policy = from_store()["NetworkPolicy"]["spec"]
    assert policy["ingress"] == manifests()["NetworkPolicy"]["spec"]["ingress"]
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [53, 53, 443]


def test_the_helpers_arguments_are_those_of_the_command(tmp_path: pathlib.Path) -> None:
    made = from_store()["Deployment"]["spec"]["template"]["spec"]["initContainers"]
    for helper in made:
        uri, directory, *given = helper["args"]
        assert uri and directory
        arguments = [f"file://{tmp_path}/store", str(tmp_path / "models"), *given]
        if "--once" not in given:
            arguments.append("--once")  # so that it ends
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_OTHERS, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stderr.splitlines()[-1]
        assert said == f"error: file://{tmp_path}/store: holds no whole version"


# Runs `tafe sync` as in its image, which has three packages and this one.
WITHOUT_OTHERS = """
import runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in sys.stdlib_module_names or top.startswith("_cython")
        if known or top in ("absl", "numpy", "pyarrow", "tafe_tf"):
            return None
        raise ModuleNotFoundError(f"No module named {name!r}", name=top)

sys.meta_path.insert(0, Refuse())
sys.argv = ["tafe", "sync", *sys.argv[1:]]
runpy.run_module("tafe_tf", run_name="__main__", alter_sys=True)
"""


def test_the_image_of_the_helpers_has_the_tested_versions() -> None:
    image = read("sync.Dockerfile")
    pinned = dict(re.findall(r"([a-z-]+)==([\d.]+)", image))
    assert set(pinned) == {"absl-py", "numpy", "pyarrow"}
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for package, version in pinned.items():
        assert re.search(rf"^{package}=={re.escape(version)} ", tested, re.MULTILINE), package
    for source in re.findall(r"^COPY (.*) \S+$", image, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split())
    assert 'ENTRYPOINT ["python", "-m", "tafe_tf", "sync"]' in image


def test_threads_are_those_of_the_cpu_limit() -> None:
    limits = {
        "docker-compose.yml": compose()["cpus"],
        "kubernetes.yaml": container()["resources"]["limits"]["cpu"],
        "kserve.yaml": kserve_model()["resources"]["limits"]["cpu"],
    }
    for file, given in arguments().items():
        assert given["tensorflow_inter_op_parallelism"] == str(limits[file]), file
        assert given["tensorflow_intra_op_parallelism"] == "1", (
            file
        )  # as our own server and the figures of README


def test_compose_mounts_the_kit_and_publishes_the_ports_here_only() -> None:
    service = compose()
    mounts = {mount["target"]: mount for mount in service["volumes"]}
    assert set(mounts) == {str(CONFIGURED), str(MODELS)}
    assert all(mount["read_only"] for mount in mounts.values())
    assert (KIT / mounts[str(CONFIGURED)]["source"]).resolve() == KIT
    default = re.fullmatch(r"\$\{MODELS:-(.+)\}", mounts[str(MODELS)]["source"])
    assert default
    assert (KIT / default[1]).resolve() == ROOT / "models"  # README's export_dir
    assert service["ports"] == [f"127.0.0.1:{port}:{port}" for port in (GRPC, REST)]
    assert service["init"] is True


@pytest.fixture
def status_server() -> Iterator[Any]:
    """A REST port whose model has the state `server.state`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server: Any = self.server
            status = {"model_version_status": [{"version": "1", "state": server.state}]}
            body = json.dumps(status).encode()
            known = self.path == f"/v1/models/{MODEL}"
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(body if known else b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the image has bash")
@pytest.mark.parametrize(
    ("state", "healthy"), [("AVAILABLE", True), ("UNAVAILABLE", False), ("LOADING", False)]
)
def test_compose_is_healthy_once_a_version_is_available(
    status_server: Any, state: str, healthy: bool
) -> None:
    command, *test = compose()["healthcheck"]["test"]
    assert command == "CMD"
    assert str(REST) in test[-1]
    status_server.state = state
    test[-1] = test[-1].replace(str(REST), str(status_server.server_port))
    assert (subprocess.run(test, timeout=10, capture_output=True).returncode == 0) == healthy
    test[-1] = test[-1].replace(f"models/{MODEL}", "models/other")  # 404
    assert subprocess.run(test, timeout=10, capture_output=True).returncode != 0


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probes_ask_the_rest_port_for_the_model(probe: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {"grpc": GRPC, "rest": REST}
    asked = container()[probe]["httpGet"]
    assert ports[asked["port"]] == REST
    # Status answers for a version that failed, too; metadata only where one can be asked.
    assert asked["path"] == f"/v1/models/{MODEL}" + (
        "/metadata" if probe == "readinessProbe" else ""
    )


def test_pods_drain_before_they_end() -> None:
    given = dict(
        pair.split("=")
        for pair in arguments()["kubernetes.yaml"]["grpc_channel_arguments"].split(",")
    )
    program, seconds = container()["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert int(given["grpc.max_connection_age_ms"]) / 1000 * 1.1 < int(
        seconds
    )  # gRPC adds up to a tenth
    assert int(seconds) < pod()["terminationGracePeriodSeconds"]
    assert pod()["shareProcessNamespace"] is True


def test_pods_mount_the_kit_and_the_models() -> None:
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container()["volumeMounts"]}
    assert set(mounts) == {str(CONFIGURED), str(MODELS)}
    assert all(mount["readOnly"] and "subPath" not in mount for mount in mounts.values())
    name = volumes[mounts[str(CONFIGURED)]["name"]]["configMap"]["name"]
    made = re.search(
        rf"kubectl create configmap {name}((?: --from-file=\S+)+)", read("kubernetes.yaml")
    )
    assert made
    files = set(re.findall(r"--from-file=(\S+)", made[1]))
    wanted = {
        arguments()["kubernetes.yaml"][flag]
        for flag in ("model_config_file", "monitoring_config_file")
    }
    assert {str(CONFIGURED / file) for file in files} == wanted
    assert all((KIT / file).is_file() for file in files)
    assert "persistentVolumeClaim" in volumes[mounts[str(MODELS)]["name"]]


def test_everything_selects_the_pods() -> None:
    found = manifests()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert {p["targetPort"]: p["port"] for p in found["Service"]["spec"]["ports"]} == {
        "grpc": GRPC,
        "rest": REST,
    }
    assert (
        found["PodDisruptionBudget"]["spec"]["minAvailable"]
        < found["Deployment"]["spec"]["replicas"]
    )


def test_kserve_serves_the_same_model() -> None:
    name = kserve()["InferenceService"]["metadata"]["name"]
    assert name == MODEL  # KServe makes it --model_name
    model = kserve_model()
    assert model["modelFormat"] == {"name": "tensorflow", "version": "2"}
    assert not {"port", "rest_api_port", "model_name", "model_base_path"} & set(
        arguments()["kserve.yaml"]
    )


def test_readme_names_every_file() -> None:
    linked = set(re.findall(r"\]\(([^)]+)\)", read("README.md")))
    assert linked == {path.name for path in KIT.iterdir()} - {"README.md"}
    assert f"--target localhost:{GRPC} --rest localhost:{REST} --model_name {MODEL}" in read(
        "README.md"
    )
