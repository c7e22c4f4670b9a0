"""Generate clients from the contract alone, compile and run them: all have to print the same mask.

    python examples/run.py [LANGUAGE ...]

Asks the gateway at DIPTYCH_ADDRESS, else starts the demo's processes for it. Needs what
`examples/README.md` lists; what is missing is said, and the exit status is 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "examples"
PROTO = ROOT / "proto"
BUILD = HERE / "build"
BIN = Path(sys.executable).parent
PICTURE = ROOT / "client" / "src" / "diptych" / "samples" / "scene.png"
QUESTION = (str(PICTURE), "sam-2", "70,70")
# Debian's libraries of Go stand here, and need no module proxy.
GO_LIBRARIES = "/usr/share/gocode"
LANGUAGES = ("python", "go", "typescript")
NEEDS = {
    "python": (),
    "go": ("go", "protoc-gen-go", "protoc-gen-go-grpc"),
    "typescript": ("node", "npm"),
}


class ExampleError(Exception):
    """An example cannot be built or run; the message says what to do."""


def run(*command: str, folder: Path = HERE, more: Mapping[str, str] | None = None) -> str:
    """Run a program; returns what it printed.

    Raises:
        ExampleError: it failed.
    """
    environment = {**os.environ, **(more or {})}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ExampleError(f"{' '.join(command)}: {done.stderr or done.stdout}".strip())
    return done.stdout.strip()


def generate(*tools: Path) -> None:
    """Run buf's template with these folders first in PATH."""
    path = os.pathsep.join([*map(str, tools), os.environ["PATH"]])
    only = ("--path", str(PROTO / "diptych"))
    run(str(BIN / "buf"), "generate", str(PROTO), *only, more={"PATH": path})


def python(address: str) -> str:
    """Build and run the example in Python."""
    out = BUILD / "python"
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted(map(str, (PROTO / "diptych").rglob("*.proto")))
    # Where the SDK is installed, its own `diptych` would be found first.
    alone = str(ROOT / ".tools" / "proto" / "bin" / "python")
    outs = (f"--python_out={out}", f"--grpc_python_out={out}")
    run(alone, "-m", "grpc_tools.protoc", f"-I{PROTO}", *outs, *sources)
    seen = {"PYTHONPATH": str(out), "DIPTYCH_ADDRESS": address}
    return run(alone, str(HERE / "python" / "segment.py"), *QUESTION, more=seen)


def go(address: str) -> str:
    """Build and run the example in Go, with Debian's libraries."""
    place = BUILD / "go" / "src" / "example"
    place.mkdir(parents=True, exist_ok=True)
    for source in (HERE / "go").glob("*.go"):
        shutil.copy(source, place)
    gopath = os.pathsep.join([str(BUILD / "go"), GO_LIBRARIES])
    offline = {"GO111MODULE": "off", "GOPATH": gopath, "GOFLAGS": "", "CGO_ENABLED": "0"}
    program = str(BUILD / "go" / "segment")
    build = ("go", "build", "-trimpath", "-tags", "debian", "-o", program, "example")
    run(*build, folder=place, more=offline)
    return run(program, *QUESTION, more={"DIPTYCH_ADDRESS": address})


def typescript(address: str) -> str:
    """Build and run the example in TypeScript."""
    folder = HERE / "typescript"
    run(str(folder / "node_modules" / ".bin" / "tsc"), folder=folder)
    return run(
        "node", "dist/segment.js", *QUESTION, folder=folder, more={"DIPTYCH_ADDRESS": address}
    )


def prepare(languages: Sequence[str]) -> None:
    """Look for the tools, fetch npm's packages, generate for Go and TypeScript.

    Raises:
        ExampleError: a tool is missing, or one failed.
    """
    lacking = [tool for name in languages for tool in NEEDS[name] if not shutil.which(tool)]
    if lacking:
        raise ExampleError(f"missing: {', '.join(lacking)}; examples/README.md says where they are")
    shutil.rmtree(BUILD, ignore_errors=True)
    modules = HERE / "typescript" / "node_modules"
    if "typescript" in languages and not modules.is_dir():
        quiet = ("--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
        run("npm", "ci", *quiet, folder=HERE / "typescript")
    if set(languages) - {"python"}:
        generate(modules / ".bin")


def served(stack: ExitStack) -> str:
    """Return the address of a gateway, one that is started here if none is named."""
    named = os.environ.get("DIPTYCH_ADDRESS")
    if named:
        return named
    sys.path.insert(0, str(ROOT))
    import demo

    demo.check_ports()
    demo.OUT.mkdir(exist_ok=True)
    log = demo.OUT / "services.log"
    runner = stack.enter_context(demo.running(log, demo.environment({})))
    demo.wait_serving(runner, log)
    return f"localhost:{demo.GATEWAY_PORT}"


def main() -> int:
    """Build all, ask once in each language; returns the exit status."""
    languages = sys.argv[1:] or LANGUAGES
    unknown = set(languages) - set(LANGUAGES)
    if unknown:
        print(f"examples: expected {', '.join(LANGUAGES)}, got {', '.join(sorted(unknown))}")
        return 2
    try:
        prepare(languages)
        with ExitStack() as stack:
            address = served(stack)
            answers = {name: globals()[name](address) for name in languages}
    except ExampleError as error:
        print(f"examples: {error}", file=sys.stderr)
        return 1
    for name, answer in answers.items():
        print(f"{name:12}{answer}")
    if len(set(answers.values())) > 1 or not all(answers.values()):
        print("examples: expected the same mask in all languages", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
