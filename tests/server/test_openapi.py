"""The OpenAPI says what the server does: schemathesis makes requests of it, right and wrong ones, and compares.

tests/slow/test_server_load.py has the whole of schemathesis, with its own command, on a real server.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis import GenerationMode

from ser.server import create_app
from ser.server.schemas import Predictions, Problem

BOUNDED = settings(
    max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("key", [None, "key"])
def test_no_request_finds_a_fault(onnx_predictor, sentence, encoded, key, mode):
    # Any bytes are a file to the schema, and only sounds are to be accepted.
    schemathesis.openapi.format("binary", strategies.sampled_from([encoded(sentence(seed)) for seed in range(3)]))
    app = create_app(onnx_predictor, name="m", api_key=key)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 4
    # What takes neither parameters nor a body has nothing that could be wrong.
    chosen = [one for one in operations if mode == GenerationMode.POSITIVE or one.body]
    for operation in chosen:

        @BOUNDED
        @given(case=operation.as_strategy(generation_mode=mode))
        def validate(case):
            case.call_and_validate(headers={"Authorization": f"Bearer {key}"})

        validate()


def test_every_operation_and_status_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert paths.keys() == {"/v1/predict", "/v1/models", "/healthz", "/metrics"}
    predict = paths["/v1/predict"]["post"]
    assert predict["responses"].keys() == {"200", "400", "401", "408", "413", "415", "422", "500", "503"}
    assert "multipart/form-data" in predict["requestBody"]["content"]
    for path in paths.values():
        for operation in path.values():
            assert operation["summary"]
            assert operation["description"]


def test_the_examples_are_what_they_are_examples_of():
    for model in (Predictions, Problem):
        model.model_validate(model.model_config["json_schema_extra"]["example"])


def test_a_key_is_described_only_where_there_is_one(client, onnx_predictor):
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]
    described = create_app(onnx_predictor, name="m", api_key="key").openapi()
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert described["paths"]["/v1/predict"]["post"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in described["paths"]["/healthz"]["get"]
