"""The `tafe` command: every command of this package under one name.

    tafe --help                 lists the commands
    tafe train --help           tells what a command does, and its flags
    tafe train --flagfile=flagfiles/demo.flags

`tafe train` is `python -m tafe_tf.train`. Where the script is not installed, `python -m tafe_tf`
stands for it.
"""

from __future__ import annotations

import ast
import difflib
import pathlib
import runpy
import sys
import textwrap

from tafe_tf.terminal import ending, quiet_start

HERE = pathlib.Path(__file__).parent
WIDTH = 100  # characters of a line of help

# Command -> the module that `python -m` would run.
COMMANDS = {
    "generate": "tafe_tf.generate",
    "public_data": "tafe_tf.public_data",
    "look": "tafe_tf.look",
    "draft": "tafe_tf.draft",
    "prepare": "tafe_tf.prepare",
    "native": "tafe_tf.native",
    "train": "tafe_tf.train",
    "launch": "tafe_tf.launch",
    "evaluate": "tafe_tf.evaluate",
    "report": "tafe_tf.report",
    "lift": "tafe_tf.lift",
    "drift": "tafe_tf.drift",
    "importance": "tafe_tf.importance",
    "explain": "tafe_tf.explain",
    "embeddings": "tafe_tf.embeddings",
    "compare": "tafe_tf.compare",
    "tune": "tafe_tf.tune",
    "gbdt": "tafe_tf.gbdt",
    "export": "tafe_tf.export.saved_model",
    "check": "tafe_tf.export.check",
    "preview": "tafe_tf.export.score",
    "rollback": "tafe_tf.export.rollback",
    "sync": "tafe_tf.export.sync",
    "serve": "tafe_tf.serving.server",
    "ask": "tafe_tf.serving.client",
    "examples": "tafe_tf.serving.examples",
    "score": "tafe_tf.serving.batch_score",
    "conformance": "tafe_tf.serving.conformance",
}


def main() -> None:
    """Runs the command that the first argument names, with the other arguments as its own."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-help", "-h", "help"):
        print(usage())
        return
    if name not in COMMANDS:
        sys.exit(f"error: {unknown(name)}")
    sys.argv = [f"tafe {name}", *arguments]
    ending.end_on_sigterm()
    quiet_start.quieten()
    quiet_start.leave_out_optional_packages()
    quiet_start.put_off_garbage_collection()
    runpy.run_module(COMMANDS[name], run_name="__main__", alter_sys=True)


def usage() -> str:
    """The list of commands, each with the first sentence of its module's docstring."""
    indent = max(len(name) for name in COMMANDS) + 4
    lines = ["usage: tafe COMMAND [flags]", ""]
    for name, module in COMMANDS.items():
        text = textwrap.shorten(
            first_sentence(module),
            WIDTH - indent,
            placeholder=" ...",
        )
        lines.append(f"  {name}".ljust(indent) + text)
    lines += ["", "`tafe COMMAND --help` tells more about a command and lists its flags."]
    return "\n".join(lines)


def first_sentence(module: str) -> str:
    """How a module's docstring begins.

    The file is read and not imported, because a command imports TensorFlow, which takes seconds.
    """
    text = source_file(module).read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) or ""
    paragraph, _, _ = docstring.partition("\n\n")
    words = paragraph.split()
    sentence, _, _ = " ".join(words).partition(". ")
    return sentence.removesuffix(".") + "."


def source_file(module: str) -> pathlib.Path:
    """The file that `python -m MODULE` runs."""
    _package, *below = module.split(".")
    path = HERE.joinpath(*below)
    if path.is_dir():
        return path / "__main__.py"
    return path.with_suffix(".py")


def unknown(name: str) -> str:
    """What to say of a name that is no command: the nearest one, if any is near."""
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean `tafe {near[0]}`?" if near else "`tafe --help` lists the commands"
    return f"there is no command {name!r}; {hint}"


if __name__ == "__main__":
    main()
