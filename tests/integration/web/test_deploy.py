"""The files of docs/deploy, as far as they can be tested without installing: unit, image, composition."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import pytest
import yaml

from testkit.repository import ROOT
from testkit.service import running
from whisper_service.config.load import ENV_PREFIX
from whisper_service.config.schema import setting_fields
from whisper_service.web.api.metrics import work

DEPLOY = ROOT / "docs" / "deploy"
SYSTEMD = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
EXPOSURE = 2.5
"""What `systemd-analyze security` may say at most, of 10; a unit without hardening has 9.6."""


def unit(directory: Path) -> Path:
    """Return the shipped unit with a program that exists on this machine."""
    text = (DEPLOY / "whisper_service.service").read_text()
    assert "/opt/whisper_service/bin/python" in text
    made = directory / "whisper_service.service"
    made.write_text(text.replace("/opt/whisper_service/bin/python", sys.executable))
    return made


@SYSTEMD
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit(tmp_path))], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "whisper_service" in line]
    assert (done.returncode, said) == (0, []), done.stderr


@SYSTEMD
def test_the_unit_is_hardened(tmp_path: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= EXPOSURE, done.stdout


def test_the_unit_starts_what_there_is() -> None:
    text = (DEPLOY / "whisper_service.service").read_text()
    for line in ("Restart=always", "KillMode=mixed", "OOMPolicy=continue", "TimeoutStopSec=20"):
        assert line in text
    names = re.findall(r"WHISPER_SERVICE_(\w+)=", text)
    assert names
    for name in names:
        assert known(name), name


def known(variable: str) -> bool:
    return variable.lower().replace("__", ".") in setting_fields()


def instructions() -> list[tuple[str, str]]:
    """Return the lines of the Dockerfile, continued lines joined."""
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    return [
        (line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line.strip() and not line.startswith("#")
    ]


def test_the_image_names_what_there_is() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = (DEPLOY / "Dockerfile").read_text()
    lists = re.findall(r"EXTRAS=([\w,]+)", text)
    assert lists
    for listed in lists:
        assert set(listed.split(",")) <= extras.keys()
    variables = [part.partition("=")[0] for name, rest in instructions() if name == "ENV" for part in rest.split()]
    settings = [name for name in variables if name.startswith(ENV_PREFIX) and name != "WHISPER_SERVICE_UI"]
    assert settings
    for variable in settings:
        assert known(variable.removeprefix(ENV_PREFIX)), variable
    last = [name for name, _ in instructions()]
    assert last.index("USER") < last.index("ENTRYPOINT")
    assert "tini" in dict(instructions())["ENTRYPOINT"]
    assert json.loads(dict(instructions())["ENTRYPOINT"])[-3:] == ["python", "-m", "whisper_service"]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage by its name. The last stage, the image, has no name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, rest in instructions():
        if name == "FROM":
            assert re.fullmatch(r"[\w./-]+:[\w.-]+( AS \w+)?", rest), f"{rest} is not pinned to a version"
            found[rest.partition(" AS ")[2]] = []
        else:
            found[list(found)[-1]].append((name, rest))
    return found


def ignored(path: str) -> bool:
    """Return whether the path stays out of the image. The last matching line of the list decides."""
    out = False
    for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines():
        if line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        parts = [*PurePosixPath(path).parents, PurePosixPath(path)]
        if any(fnmatch(str(part), pattern) or fnmatch(f"/{part}", pattern.replace("**", "*")) for part in parts):
            out = not line.startswith("!")
    return out


def test_what_the_image_copies_and_starts_is_there() -> None:
    build, image = stages()["build"], stages()[""]
    assert ("COPY", ". .") in build
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())
    targets = wheel["tool"]["hatch"]["build"]
    wanted = [wheel["project"]["readme"], *wheel["project"]["license-files"], wheel["tool"]["hatch"]["version"]["path"]]
    wanted += [
        targets["hooks"]["custom"]["path"],
        *targets["targets"]["wheel"]["force-include"],
        *targets["targets"]["wheel"]["packages"],
    ]
    for path in ["pyproject.toml", "static/package.json", "static/.npmrc", "static/src", *wanted]:
        assert (ROOT / path).exists(), path
        assert not ignored(path), f"{path} is needed, and does not get into the image"
    strays = (
        ".git",
        ".venv",
        "data",
        "node_modules",
        "static/node_modules",
        "static/dist",
        "whisper_service/__pycache__",
        "tests",
    )
    for path in (*strays, ".mypy_cache", "token", "docs/deploy/token"):
        assert ignored(path), path
    (venv,) = re.findall(r"-m venv (\S+)", dict(build)["RUN"])
    (copied,) = [rest for name, rest in image if name == "COPY"]
    assert copied.split() == ["--from=build", venv, venv]
    env = dict(part.partition("=")[::2] for name, rest in image if name == "ENV" for part in rest.split())
    assert env["PATH"].split(":")[0] == f"{venv}/bin"


def test_the_image_runs_as_nobody_in_a_place_of_its_own() -> None:
    image = stages()[""]
    said = dict(image)
    env = dict(part.partition("=")[::2] for name, rest in image if name == "ENV" for part in rest.split())
    runs = " && ".join(rest for name, rest in image if name == "RUN")
    assert re.search(rf"useradd .*\b{said['USER']}\b", runs), "the user is made"
    assert re.search(rf"install -d -o {said['USER']} .* {said['VOLUME']}\b", runs), "the data is the user's"
    assert said["VOLUME"] == said["WORKDIR"] == env["WHISPER_SERVICE_DATA_DIR"]
    assert said["EXPOSE"] == env["WHISPER_SERVICE_SERVER__PORT"]
    assert f":{said['EXPOSE']}/" in said["HEALTHCHECK"]
    assert "apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*" in runs
    assert image.index(("USER", said["USER"])) > max(number for number, (name, _) in enumerate(image) if name == "RUN")


def test_the_unit_calls_the_program_as_it_wants_to_be_called() -> None:
    text = (DEPLOY / "whisper_service.service").read_text()
    words = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0].split()
    assert words[:3] == ["/opt/whisper_service/bin/python", "-m", "whisper_service"]
    steps = (DEPLOY / "README.md").read_text()
    for name in (
        words[0].removesuffix("/bin/python"),
        "config.toml /etc/whisper_service/",
        "/etc/whisper_service/token",
    ):
        assert name in steps, f"nobody is told to make {name}"
    done = subprocess.run(
        [sys.executable, *words[1:3], "serve", *words[3:], "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    options = [word for word in words if word.startswith("--")]
    assert options
    for option in options:
        assert option in done.stdout


@pytest.mark.anyio
async def test_the_health_check_tells_life_from_death(tmp_path: Path) -> None:
    command = json.loads(dict(instructions())["HEALTHCHECK"].partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    async with running(tmp_path) as web:
        code = command[2].replace("http://127.0.0.1:8000", web.url)
        assert code != command[2]
        alive = await anyio.run_process([sys.executable, "-c", code], check=False)
        assert alive.returncode == 0, alive.stderr
    dead = await anyio.run_process([sys.executable, "-c", code], check=False)
    assert dead.returncode != 0


def test_the_composition_can_be_read_and_names_what_there_is() -> None:
    composed: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert composed["services"].keys() == {"whisper", "whisper_cuda"}
    for service in composed["services"].values():
        assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert service["read_only"] is True
        assert service["ports"] == ["127.0.0.1:8000:8000"]
        assert service["volumes"]
        assert service["secrets"]
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= composed["volumes"].keys()
        assert set(service["secrets"]) <= composed["secrets"].keys()
        for variable in service["environment"]:
            assert known(variable.removeprefix(ENV_PREFIX)), variable
        assert service["environment"]["WHISPER_SERVICE_SECURITY__TOKEN_FILE"].startswith("/run/secrets/")
    assert composed["services"]["whisper_cuda"]["build"]["args"]["EXTRAS"] == "bundled,cuda"


def test_the_nodes_that_keda_scales_can_be_read_and_follow_a_metric_of_the_service() -> None:
    deployment, scaled = yaml.safe_load_all((DEPLOY / "keda.yaml").read_text())
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    assert (scaled["apiVersion"], scaled["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    assert "replicas" not in deployment["spec"], "two would set the number"
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    pod = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    (node,) = pod["spec"]["containers"]
    cluster = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    (worker,) = cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    assert (node["image"], node["resources"]) == (worker["image"], worker["resources"])
    assert f"{cluster['metadata']['name']}-head-svc:6379" in node["args"][0]
    variables = {variable["name"]: variable for variable in worker["env"]}
    assert node["env"] == [variables[variable["name"]] for variable in node["env"]]
    (trigger,) = scaled["spec"]["triggers"]
    exposed = {metric.name for metric in work(1.0, 2)}
    assert trigger["type"] == "prometheus"
    assert trigger["metadata"]["query"] in {f"max({name})" for name in exposed}
    assert float(trigger["metadata"]["threshold"]) == 1


def test_the_cluster_of_kuberay_can_be_read_and_fits_the_image_and_the_service() -> None:
    cluster: dict[str, Any] = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    assert cluster["metadata"]["annotations"] == {"ray.io/overwrite-container-cmd": "true"}
    spec = cluster["spec"]
    (extra,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["ray"]
    least, below = (part.strip("ray<>=") for part in extra.split(","))
    version = [int(part) for part in spec["rayVersion"].split(".")]
    assert [int(part) for part in least.split(".")] <= version < [int(below)]
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    (group,) = spec["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert head["image"] == worker["image"] == "whisper_service:ray"
    assert "python -m whisper_service" in head["args"][0]
    assert "nvidia.com/gpu" in worker["resources"]["limits"]
    for container in (head, worker):
        assert "$KUBERAY_GEN_RAY_START_CMD" in container["args"][0]
        names = [variable["name"] for variable in container["env"]]
        assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"} <= set(names)
        for name in names:
            assert name.startswith("RAY_") or known(name.removeprefix(ENV_PREFIX)), name
    for probe in ("readinessProbe", "livenessProbe"):
        assert head[probe]["httpGet"] == {"path": "/api/health/live", "port": "http"}
    volumes = {volume["name"] for volume in spec["headGroupSpec"]["template"]["spec"]["volumes"]}
    assert {(mount["name"], mount["mountPath"]) for mount in head["volumeMounts"]} == {("data", "/data")}
    assert volumes == {"data"}
