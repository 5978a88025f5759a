#!/usr/bin/env python3
"""Signs odd requests with botocore and prints them as JSON: the judge of our own canonical form.

The requests are drawn from a fixed seed, so that the same botocore gives the same file:

    python3 tests/blackbox/sigv4_oracle.py > crates/sigv4/tests/vectors/botocore.json

Where botocore is known to differ from AWS's specification, the generator keeps away: tabs within header values (botocore
turns them into spaces), and escapes in query strings that are not in canonical form (botocore signs them as they are).
"""

import datetime
import hashlib
import json
import random
import sys
from urllib.parse import quote, urlencode, urlsplit

import botocore
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SEED = 20261122
REQUESTS = 260

WORDS = ["a", "b", "Key", "key", "x-y", "Zoë", "ключ", "鍵", "🔑", "a b", "a=b", "a&b", "a+b", "a/b", "~", "*", "'", "100%", "%41", ""]
HOSTS = ["kms.us-east-1.amazonaws.com", "localhost:8080", "127.0.0.1:4566", "KMS.Example.test", "[::1]:8443", "example.test:443"]


def main():
    draw = random.Random(SEED)
    vectors = [vector(draw) for _ in range(REQUESTS)]
    # One vector a line, so that a change shows as the lines that it changes.
    lines = ",\n".join(json.dumps(item, ensure_ascii=True, separators=(",", ":")) for item in vectors)
    sys.stdout.write('{"botocore":"%s","requests":[\n%s\n]}\n' % (botocore.__version__, lines))


def vector(draw):
    moment = datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=draw.randrange(365 * 86400))
    botocore.auth.get_current_datetime = lambda *_: moment
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    secret = "".join(draw.choice(alphabet) for _ in range(draw.choice([20, 40, 64])))
    token = "".join(draw.choice(alphabet) for _ in range(60)) if draw.random() < 0.15 else None
    credentials = Credentials("AKIA" + "".join(draw.choice("ABCDEFGHIJKLMNOP234567") for _ in range(16)), secret, token)
    region = draw.choice(["us-east-1", "eu-central-1", "cn-north-1", "local"])
    service = draw.choice(["kms", "kms", "kms", "sts", "iam"])

    method = draw.choice(["POST", "POST", "POST", "GET", "PUT", "DELETE"])
    body = make_body(draw).encode()
    path = make_path(draw)
    query, params = make_query(draw)
    url = f"{draw.choice(['http', 'https'])}://{draw.choice(HOSTS)}{path}"
    request = AWSRequest(method=method, url=url + (f"?{query}" if query and not params else ""), data=body, params=params or None)
    for name, value in make_headers(draw, body):
        request.headers.add_header(name, value)
    signer = botocore.auth.SigV4Auth(credentials, service, region)
    signer.add_auth(request)

    headers = list(request.headers.items())
    if not any(name.lower() == "host" for name, _ in headers):
        headers.append(("Host", botocore.auth._host_from_url(request.url)))
    # In any order, but several values of one header in the order in which they were signed.
    places = {name.lower(): draw.random() for name, _ in headers}
    headers.sort(key=lambda header: places[header[0].lower()])
    return {
        "method": method,
        "target": (urlsplit(url).path or "/") + (f"?{query}" if query else ""),
        "headers": headers,
        "body": body.decode(),
        "secret": secret,
        "signed_at": moment.strftime("%Y%m%dT%H%M%SZ"),
    }


def make_body(draw):
    return draw.choice(
        [
            "",
            "{}",
            '{"KeyId":"alias/payroll","Plaintext":"aGVsbG8="}',
            json.dumps({"KeyId": draw.choice(WORDS), "EncryptionContext": {draw.choice(WORDS): draw.choice(WORDS)}}),
            "Action=GetCallerIdentity&Version=2011-06-15",
            "Zoë 鍵 🔑\r\n\t\x00",
        ]
    )


def make_path(draw):
    if draw.random() < 0.4:
        return draw.choice(["/", ""])
    segments = []
    for _ in range(draw.randrange(1, 6)):
        word = draw.choice(WORDS + [".", "..", "", "...", "a.b", "a,b;c", "a:b@c", "$(x)!", "UPPER"])
        if word in (".", ".."):
            segments.append(word)
        else:
            segments.append(quote(word, safe=draw.choice(["-_.~", "-_.~:@!$&'()*,;=+", "/-_.~"])))
    path = "/" + "/".join(segments)
    if draw.random() < 0.2:
        path += "/"
    if draw.random() < 0.1:
        path += draw.choice(["é", "鍵", "%zz", "%2f", "%C3%A9", "%c3%a9"])
    return path


def make_query(draw):
    """The query string as sent, and the parameters if botocore is given those instead of the query string."""
    if draw.random() < 0.5:
        return "", []
    words = [word for word in WORDS if word]
    pairs = [(draw.choice(words), draw.choice(WORDS)) for _ in range(draw.randrange(1, 7))]
    draw.shuffle(pairs)
    if draw.random() < 0.5:
        return urlencode(pairs), pairs
    return "&".join(quote(name, safe="-_.~") + ("=" if value or draw.random() < 0.5 else "") + quote(value, safe="-_.~") for name, value in pairs), []


def make_headers(draw, body):
    headers = []
    if draw.random() < 0.7:
        headers.append(("Content-Type", draw.choice(["application/x-amz-json-1.1", "application/x-www-form-urlencoded; charset=utf-8"])))
    if draw.random() < 0.6:
        headers.append(("X-Amz-Target", draw.choice(["TrentService.Encrypt", "TrentService.GenerateDataKey", " TrentService.Decrypt  "])))
    if draw.random() < 0.3:
        headers.append(("User-Agent", "Boto3/1.43 md/Botocore#1.43 ua/2.1 os/linux"))
        headers.append(("amz-sdk-invocation-id", "%032x" % draw.getrandbits(128)))
        headers.append(("amz-sdk-request", "attempt=1"))
    if draw.random() < 0.2:
        headers.append(("X-Amz-Content-SHA256", hashlib.sha256(body).hexdigest()))
    if draw.random() < 0.1:
        headers.append(("Date", "to be replaced by botocore"))
    if draw.random() < 0.1:
        headers.append(("Expect", "100-continue"))
    if draw.random() < 0.2:
        headers.append(("Content-Length", str(len(body))))
    for _ in range(draw.randrange(0, 5)):
        name = draw.choice(["X-Amz-Meta", "My-Header1", "my-header1", "MY-HEADER2", "Zulu", "Accept", "X-1"])
        value = draw.choice(
            ["value", "VALUE", "a   b    c", '"a   b"', "  leading", "trailing   ", "\t both \t", "", "a,b", "a, b", "Zoë 鍵", "x;y=z", "a  🔑  b"]
        )
        headers.append((name, value))
    return headers


if __name__ == "__main__":
    main()
