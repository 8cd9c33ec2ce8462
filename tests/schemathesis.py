"""What Schemathesis does not know by itself."""

import os
import urllib.request
import uuid

import schemathesis

EXAMPLE = "8e03978e-40d5-43e8-bc93-6894a57f9324"


@schemathesis.serializer("text/csv")
def table(ctx, value):
    """A table is sent as it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


@schemathesis.hook
def filter_case(context, case):
    """Whatever bytes are sent as a table are text: a table of another type there is not."""
    return case.media_type != "text/csv" or not isinstance(case.body, (bool, int, float, list, dict, type(None)))


@schemathesis.hook
def before_call(context, case, kwargs):
    """Each movement of money has a key of its own: with that of the example again it is refused as another request."""
    if case.headers and case.headers.get("Idempotency-Key") == EXAMPLE:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


@schemathesis.hook
def after_call(context, case, response):
    """What was taken away is put back for the next case, except where a chain of requests is about just that."""
    chain = case.meta is not None and case.meta.phase.name.value == "stateful"
    if case.method != "GET" and response.status_code < 300 and not chain:
        urllib.request.urlopen(urllib.request.Request(os.environ["CALLTHROUGH_TEST_AGAIN"], method="POST")).close()
