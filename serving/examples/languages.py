"""Programs that send a request, in the languages of other clients."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from tafe_tf.serving.examples.request import Request
from tafe_tf.serving.wire.messages import PROTO

_CURL = """\
curl --fail-with-body --max-time 10 {url} -d '{rest_body}'
"""

_GRPCURL = """\
tafe examples MODEL --language=proto > serving.proto
grpcurl -plaintext -max-time 10 -proto serving.proto -d @ {target} \\
  tensorflow.serving.PredictionService/Predict <<'END'
{grpc_body}
END
"""

_GO = """\
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"
)

const url = "{url}"
const rows = `{rest_body}`

func main() {{
	client := http.Client{{Timeout: 10 * time.Second}}
	response, err := client.Post(url, "application/json", strings.NewReader(rows))
	if err != nil {{
		log.Fatal(err)
	}}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {{
		log.Fatal(err)
	}}
	if response.StatusCode != http.StatusOK {{
		log.Fatalf("%s: %s", response.Status, answer)
	}}
	fmt.Println(string(answer))
}}
"""

_JAVA = """\
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

public class Predict {{
  static final String ROWS = \"\"\"
{indented_body}
      \"\"\";

  public static void main(String[] arguments) throws Exception {{
    HttpRequest request = HttpRequest.newBuilder(URI.create("{url}"))
        .version(HttpClient.Version.HTTP_1_1)
        .timeout(Duration.ofSeconds(10))
        .header("Content-Type", "application/json")
        .POST(HttpRequest.BodyPublishers.ofString(ROWS))
        .build();
    HttpResponse<String> response =
        HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    if (response.statusCode() != 200) {{
      throw new RuntimeException(response.body());
    }}
    System.out.println(response.body());
  }}
}}
"""

_NODE = """\
const rows = {rest_body};
const response = await fetch("{url}", {{
  method: "POST",
  body: JSON.stringify(rows),
  signal: AbortSignal.timeout(10_000),
}});
if (!response.ok) {{
  throw new Error(await response.text());
}}
console.log(JSON.stringify(await response.json()));
"""


def _filled(template: str) -> Callable[[Request], str]:
    """Writes a program with a request's address and rows."""

    def write(request: Request) -> str:
        return template.format(
            url=request.url(),
            target=request.target,
            rest_body=request.rest_body(),
            indented_body=textwrap.indent(request.rest_body(), 6 * " "),
            grpc_body=request.grpc_body(),
        )

    return write


# Language -> what writes the program of a request. "proto" is the file for stubs of any language.
LANGUAGES: dict[str, Callable[[Request], str]] = {
    "curl": _filled(_CURL),
    "grpcurl": _filled(_GRPCURL),
    "go": _filled(_GO),
    "java": _filled(_JAVA),
    "node": _filled(_NODE),
    "proto": lambda request: PROTO.read_text(encoding="utf-8"),
}
