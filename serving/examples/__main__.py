"""Prints the same request to a model for curl, grpcurl, Go, Java and Node.

    python -m serving.examples models/shop                    # a version, versions, or a model card
    python -m serving.examples models/shop --language=node > predict.mjs

The request has two rows with made-up values of the model's inputs. Nothing is sent.
"""

from __future__ import annotations

from absl import flags

from tafe_tf.serving.examples import request
from tafe_tf.serving.examples.languages import LANGUAGES
from tafe_tf.terminal import command

_LANGUAGE = flags.DEFINE_enum(
    "language",
    None,
    list(LANGUAGES),
    "The one language to print; proto is the file that makes gRPC stubs for any. If not given, all "
    "languages but proto are printed.",
)
_MODEL = flags.DEFINE_string(
    "model_name", "", "The model's name on the server; if not given, the name in its card."
)
_TARGET = flags.DEFINE_string("target", "localhost:8500", "The server's gRPC address, HOST:PORT.")
_REST = flags.DEFINE_string("rest", "localhost:8501", "The server's REST address, HOST:PORT.")


def main(argv: list[str]) -> None:
    """Prints the programs."""
    with command.one_line_errors():
        path = command.one_argument(argv, "a model card, or an export that holds one")
        made = request.of_card(path, _MODEL.value, target=_TARGET.value, rest=_REST.value)
        if _LANGUAGE.value is not None:
            print(LANGUAGES[_LANGUAGE.value](made), end="")
            return
        for language, write in LANGUAGES.items():
            if language != "proto":
                print(f"== {language}\n{write(made)}")


if __name__ == "__main__":
    command.run(main)
