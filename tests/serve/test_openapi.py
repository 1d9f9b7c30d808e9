"""The API document against the routes and what they check; `test_bars.py` holds it against real answers."""

import json
import typing

from api_document import api_document
from page_site import new_site
from starlette.testclient import TestClient

from icnet import __version__
from icnet.base.classes import CAMVID
from icnet.serve.app import build_app
from icnet.serve.pictures.results import Form
from icnet.serve.pictures.routes import SegmentQuery

DOCUMENT = api_document()


def test_it_describes_every_route_and_no_other():
    routes = {
        (route.path, method.lower())
        for route in build_app(new_site().service).routes
        for method in route.methods - {"HEAD"}
        if route.path not in ("/", "/openapi.json") and not route.path.startswith("/page")
    }
    assert routes == {(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations}


def test_paths_name_their_parameters():
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            in_path = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"]
            assert in_path == [part[1:-1] for part in path.split("/") if part.startswith("{")]


def test_parameters_of_a_picture_are_those_that_are_checked():
    described = {one["name"]: one["schema"] for one in DOCUMENT["paths"]["/v1/segment"]["post"]["parameters"]}
    checked = SegmentQuery.model_json_schema()["properties"]
    assert list(described) == list(checked)
    for name, schema in checked.items():
        constraints = schema.get("anyOf", [schema])[0] | ({"default": schema["default"]} if "anyOf" not in schema else {})
        constraints.pop("title", None)
        assert {key: described[name].get(key) for key in constraints} == constraints
    assert described["as"]["enum"] == list(typing.get_args(Form))
    assert described["only"]["pattern"] == "^({0})(,({0}))*$".format("|".join(CAMVID.names))
    assert DOCUMENT["components"]["schemas"]["ClassName"] == {"enum": list(CAMVID.names)}


def test_it_names_this_server():
    served = TestClient(build_app(new_site().service), base_url="http://localhost").get("/openapi.json").json()
    assert served["info"]["version"] == __version__
    parameters = served["components"]["parameters"]
    assert [parameters[name]["schema"]["examples"] for name in ("name", "version")] == [["first"], ["0" * 12]]
    for reference in json.dumps(served).split('"$ref": "#/')[1:]:
        found = served
        for step in reference.partition('"')[0].split("/"):
            found = found[step]
