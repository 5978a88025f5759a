"""Judges every answer of the server by the service model that botocore carries.

`Observer.watch(client)` hooks into a botocore client, so that each answer that the client gets is checked, whatever the test
looks at: required members, types, lengths, ranges, patterns and enumerations, no member that the model does not know, no null;
errors that the operation may have, in AWS's spelling and with AWS's status; the content type and the request id.

The observer also remembers what passed by (request ids, outcomes, secrets), for the tests of the audit log.
"""

import base64
import binascii
import datetime
import json
import re
import uuid
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

JSON_CONTENT_TYPE = "application/x-amz-json-1.1"
STS_NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"

# Errors that any operation may have and that are not in its model: AWS KMS API Reference, "Common Errors".
COMMON_ERRORS = {
    "ValidationException",
    "AccessDeniedException",
    "SerializationException",
    "ThrottlingException",
    "UnknownOperationException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "IncompleteSignatureException",
    "NotAuthorizedException",
}

# What a deployment that does not offer all of AWS KMS answers where an operation or a parameter is missing.
NOT_OFFERED = {"UnsupportedOperationException"}

# A marker that nobody gave out is refused by all lists, and a grant token by all operations that take one, although the models of
# some leave the error out.
BESIDE_THE_MODEL = {("ListKeyPolicies", "InvalidMarkerException"), ("DescribeKey", "InvalidGrantTokenException")}

# A grant without a name is listed with an empty one (recorded from AWS KMS), although the model asks for a character at least.
EMPTY_BESIDE_THE_MODEL = re.compile(r"(ListGrants|ListRetirableGrants)\.Grants\[\d+\]\.Name")

# AWS answers the old name of KeySpec with the same value, whatever the spec, but has not added the newer ones to its model ("The KeySpec and
# CustomerMasterKeySpec fields have the same value.").
NEWER_NAMES = {
    "CustomerMasterKeySpec": {
        "ECC_NIST_EDWARDS25519",
        "ML_DSA_44",
        "ML_DSA_65",
        "ML_DSA_87",
        "ML_KEM_512",
        "ML_KEM_768",
        "ML_KEM_1024",
    }
}

STATUS_OF_ERROR = {"KMSInternalException": 500, "KeyUnavailableException": 500, "DependencyTimeoutException": 503}

# Errors that come without any message.
WITHOUT_MESSAGE = {"InvalidCiphertextException", "KMSInvalidSignatureException", "KMSInvalidMacException"}

# Errors whose message is spelled with a capital letter.
CAPITAL_MESSAGE = {"AccessDeniedException"}

# A ciphertext begins with its format and the ids of key and material, which the log may well name. A multiple of three, so that
# base64 of the rest is the rest of the base64.
CIPHERTEXT_HEADER = 33


# What answers hold that must not appear in the audit log.
SECRET_MEMBERS = (
    "CiphertextBlob",
    "Mac",
    "Plaintext",
    "PrivateKeyCiphertextBlob",
    "PrivateKeyPlaintext",
    "SharedSecret",
    "SharedSecretCiphertextBlob",
    "Signature",
)


class ModelViolation(AssertionError):
    """An answer is not as the service model says."""


@dataclass(frozen=True)
class Answer:
    """What a client got for one request."""

    request_id: str
    operation: str
    status: int
    error: str | None


class Observer:
    """Sees every answer, checks it, and remembers it."""

    def __init__(self):
        self.answers = []
        self.secrets = {}

    def watch(self, client):
        """Checks every answer that this client gets from now on."""
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register(f"before-call.{service}", self._before_call)
        client.meta.events.register(f"before-parse.{service}", self._before_parse)
        return client

    def keep_secret(self, secret, what):
        """Remembers a value that must not appear in the audit log."""
        raw = secret.encode() if isinstance(secret, str) else bytes(secret)
        if len(raw) >= 12:
            self.secrets[raw] = what

    def note(self, answer):
        """Remembers an answer."""
        if any(answer.request_id == other.request_id for other in self.answers[-100:]):
            raise ModelViolation(f"request id {answer.request_id} was given twice")
        self.answers.append(answer)

    def _before_call(self, model, params, **_):
        body = params.get("body")
        if isinstance(body, (bytes, str)) and model.service_model.protocol == "json":
            try:
                members = json.loads(body)
            except ValueError:
                return
            # Ciphertexts in requests are those of answers, or what tests made of them.
            self._keep_secret_members(members, ("Message", "Plaintext"), f"request of {model.name}")

    def _before_parse(self, operation_model, response_dict, **_):
        headers, body = response_dict["headers"], response_dict["body"]
        answer = check_answer(operation_model, response_dict["status_code"], headers, body)
        self.note(answer)
        if operation_model.service_model.protocol == "json" and body and answer.error is None:
            self._keep_secret_members(json.loads(body), SECRET_MEMBERS, f"answer of {operation_model.name}")

    def _keep_secret_members(self, members, names, what):
        if not isinstance(members, dict):
            return
        for name in names:
            value = members.get(name)
            if isinstance(value, str):
                public = CIPHERTEXT_HEADER if name in ("CiphertextBlob", "PrivateKeyCiphertextBlob") else 0
                try:
                    self.keep_secret(base64.b64decode(value)[public:], f"{name} in {what}")
                except binascii.Error:
                    pass


def check_answer(operation_model, status, headers, body):
    """Checks a whole answer and says what it was."""
    name = operation_model.name
    request_id = check_request_id(headers)
    if operation_model.service_model.protocol == "query":
        return Answer(request_id, name, status, check_query_answer(operation_model, status, headers, body, request_id))
    content_type = headers.get("Content-Type")
    if content_type != JSON_CONTENT_TYPE:
        raise ModelViolation(f"{name}: Content-Type is {content_type!r}")
    if status != 200:
        return Answer(request_id, name, status, check_json_error(operation_model, status, body))
    if operation_model.output_shape is None:
        if body not in (b"", b"{}"):
            raise ModelViolation(f"{name} answers nothing, but got {body[:200]!r}")
        return Answer(request_id, name, status, None)
    check_value(operation_model.output_shape, parse_json(name, body), name)
    return Answer(request_id, name, status, None)


def check_request_id(headers):
    request_id = headers.get("x-amzn-RequestId")
    try:
        if str(uuid.UUID(request_id)) == request_id:
            return request_id
    except (TypeError, ValueError, AttributeError):
        pass
    raise ModelViolation(f"x-amzn-RequestId is {request_id!r}, not a UUID")


def parse_json(name, body):
    def refuse_constant(text):
        raise ModelViolation(f"{name}: {text} is not JSON")

    def refuse_duplicates(pairs):
        names = [key for key, _ in pairs]
        if len(names) != len(set(names)):
            raise ModelViolation(f"{name}: a member is there twice: {sorted(names)}")
        return dict(pairs)

    try:
        return json.loads(body, parse_constant=refuse_constant, object_pairs_hook=refuse_duplicates)
    except ValueError as error:
        raise ModelViolation(f"{name}: {error} in {body[:200]!r}") from error


def check_json_error(operation_model, status, body):
    """Checks an error of the JSON protocol and answers its code."""
    name = operation_model.name
    error = parse_json(name, body)
    if not isinstance(error, dict) or not isinstance(error.get("__type"), str):
        raise ModelViolation(f"{name}: an error without __type: {body[:200]!r}")
    code = error["__type"]
    allowed = {shape.name for shape in operation_model.error_shapes} | COMMON_ERRORS | NOT_OFFERED
    if code not in allowed and (name, code) not in BESIDE_THE_MODEL:
        raise ModelViolation(f"{name} cannot answer {code}")
    if status != STATUS_OF_ERROR.get(code, 400):
        raise ModelViolation(f"{name}: {code} came with status {status}")
    spelling = "Message" if code in CAPITAL_MESSAGE else "message"
    if set(error) - {"__type", spelling}:
        raise ModelViolation(f"{name}: {code} has the members {sorted(error)}")
    message = error.get(spelling)
    if code in WITHOUT_MESSAGE and spelling in error:
        raise ModelViolation(f"{name}: {code} comes without a message, but got {message!r}")
    if spelling in error and (not isinstance(message, str) or not message):
        raise ModelViolation(f"{name}: the message of {code} is {message!r}")
    return code


def check_query_answer(operation_model, status, headers, body, request_id):
    """Checks an answer of the query protocol (STS) and answers the error's code, if it is one."""
    name = operation_model.name
    if (headers.get("Content-Type") or "").split(";")[0] != "text/xml":
        raise ModelViolation(f"{name}: Content-Type is {headers.get('Content-Type')!r}")
    root = ElementTree.fromstring(body)
    told = root.findtext(f".//{STS_NAMESPACE}RequestId")
    if told != request_id:
        raise ModelViolation(f"{name}: RequestId in the body is {told}, in the header {request_id}")
    if status != 200:
        error = root.find(f"{STS_NAMESPACE}Error")
        if root.tag != f"{STS_NAMESPACE}ErrorResponse" or error is None:
            raise ModelViolation(f"{name}: not an error: {body[:200]!r}")
        kind = error.findtext(f"{STS_NAMESPACE}Type")
        if kind != ("Sender" if status < 500 else "Receiver") or not error.findtext(f"{STS_NAMESPACE}Message"):
            raise ModelViolation(f"{name}: a wrong error: {body[:300]!r}")
        return error.findtext(f"{STS_NAMESPACE}Code")
    result = root.find(f"{STS_NAMESPACE}{operation_model.output_shape.serialization['resultWrapper']}")
    if root.tag != f"{STS_NAMESPACE}{name}Response" or result is None:
        raise ModelViolation(f"{name}: not an answer: {body[:200]!r}")
    check_value(operation_model.output_shape, read_xml(operation_model.output_shape, result, name), name)
    return None


def read_xml(shape, element, path):
    """The value of an element of the query protocol as the JSON protocol would have it."""
    if shape.type_name == "structure":
        members = {child.tag.removeprefix(STS_NAMESPACE): child for child in element}
        if len(members) != len(element):
            raise ModelViolation(f"{path}: a member is there twice")
        unknown = set(members) - set(shape.members)
        if unknown:
            raise ModelViolation(f"{path} has the unknown members {sorted(unknown)}")
        return {name: read_xml(shape.members[name], child, f"{path}.{name}") for name, child in members.items()}
    text = element.text or ""
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "timestamp":
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text):
            raise ModelViolation(f"{path} is {text!r}, no time in ISO 8601")
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    return text


def check_value(shape, value, path):
    """Checks a value against its shape in the model."""
    if value is None:
        raise ModelViolation(f"{path} is null")
    check = {
        "structure": check_structure,
        "list": check_list,
        "map": check_map,
        "string": check_string,
        "blob": check_blob,
        "boolean": check_boolean,
        "timestamp": check_timestamp,
        "integer": check_whole_number,
        "long": check_whole_number,
        "double": check_number,
        "float": check_number,
    }[shape.type_name]
    check(shape, value, path)


def check_structure(shape, value, path):
    if not isinstance(value, dict):
        raise ModelViolation(f"{path} is {value!r}, not an object")
    missing = set(shape.required_members) - set(value)
    if missing:
        raise ModelViolation(f"{path} lacks {sorted(missing)}")
    unknown = set(value) - set(shape.members)
    if unknown:
        raise ModelViolation(f"{path} has the unknown members {sorted(unknown)}")
    for name, member in value.items():
        check_value(shape.members[name], member, f"{path}.{name}")


def check_list(shape, value, path):
    if not isinstance(value, list):
        raise ModelViolation(f"{path} is {value!r}, not a list")
    check_bounds(shape, len(value), path, "items")
    for index, item in enumerate(value):
        check_value(shape.member, item, f"{path}[{index}]")


def check_map(shape, value, path):
    if not isinstance(value, dict):
        raise ModelViolation(f"{path} is {value!r}, not a map")
    for key, item in value.items():
        check_value(shape.key, key, f"{path} key")
        check_value(shape.value, item, f"{path}[{key!r}]")


def check_string(shape, value, path):
    if not isinstance(value, str):
        raise ModelViolation(f"{path} is {value!r}, not a string")
    if value == "" and EMPTY_BESIDE_THE_MODEL.fullmatch(path):
        return
    check_bounds(shape, len(value), path, "characters")
    if shape.enum and value not in shape.enum and value not in NEWER_NAMES.get(shape.name, ()):
        raise ModelViolation(f"{path} is {value!r}, not one of {shape.enum}")
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        raise ModelViolation(f"{path} is {value!r}, which does not match {pattern}")


def check_blob(shape, value, path):
    if not isinstance(value, str):
        raise ModelViolation(f"{path} is {value!r}, not base64")
    try:
        decoded = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ModelViolation(f"{path} is not base64: {error}") from error
    if base64.b64encode(decoded).decode() != value:
        raise ModelViolation(f"{path} is not canonical base64")
    check_bounds(shape, len(decoded), path, "bytes")


def check_boolean(_, value, path):
    if not isinstance(value, bool):
        raise ModelViolation(f"{path} is {value!r}, not a boolean")


def check_timestamp(_, value, path):
    check_number(None, value, path)
    # Seconds, not milliseconds: between 2020 and 2100.
    if not 1_577_836_800 < value < 4_102_444_800:
        raise ModelViolation(f"{path} is {value!r}, no time in seconds")


def check_whole_number(shape, value, path):
    if isinstance(value, bool) or not isinstance(value, int):
        raise ModelViolation(f"{path} is {value!r}, not a whole number")
    check_bounds(shape, value, path, "")


def check_number(_, value, path):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ModelViolation(f"{path} is {value!r}, not a number")


def check_bounds(shape, size, path, unit):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low or high is not None and size > high:
        raise ModelViolation(f"{path} has {size} {unit}, not {low} to {high}")
