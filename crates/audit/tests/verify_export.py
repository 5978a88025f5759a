#!/usr/bin/env python3
"""Verifies an exported audit log with nothing of Claviger: only C2SP tlog-tiles, tlog-checkpoint and signed-note, and RFC 6962.

    verify_export.py DIR [--vkey VKEY] [--old CHECKPOINT_FILE]... [--json]

Reads every entry, computes the Merkle tree anew, compares every hash tile, and compares the root with the signed checkpoint.
The Ed25519 signature is verified by the code below (RFC 8032, section 6), or by the package `cryptography` where it is installed.
Without --vkey the key in DIR/vkey is used, which proves only that the export agrees with itself.
Exit status: 0 sound, 1 not sound, 2 wrong usage.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import struct
import sys

TILE_WIDTH = 256
HASH_LENGTH = 32


class Unsound(Exception):
    """Something in the export is not as it must be."""


# Ed25519 -------------------------------------------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    x_squared = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x_squared == 0:
        return None if sign else 0
    x = pow(x_squared, (P + 3) // 8, P)
    if (x * x - x_squared) % P != 0:
        x = x * SQRT_MINUS_ONE % P
    if (x * x - x_squared) % P != 0:
        return None
    return P - x if x & 1 != sign else x


def decompress(data):
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar > 0:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def ed25519_verifies_by_hand(public_key, message, signature):
    if len(public_key) != 32 or len(signature) != 64:
        return False
    a, r = decompress(public_key), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % L
    left, right = multiply(s, BASE), add(r, multiply(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


def ed25519_verifies(public_key, message, signature):
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return ed25519_verifies_by_hand(public_key, message, signature)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


# Signed notes and checkpoints ----------------------------------------------------------------------------------------


def parse_vkey(text):
    name, key_id, key = text.strip().split("+", 2)
    key = base64.b64decode(key, validate=True)
    expected = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    if len(key) != 33 or key[0] != 1 or bytes.fromhex(key_id) != expected:
        raise Unsound("the vkey is not an Ed25519 verifier key")
    return name, expected, key[1:]


def open_checkpoint(note, vkey):
    """The size and root of a checkpoint that is signed by the key."""
    name, key_id, public_key = vkey
    text, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise Unsound("the checkpoint is not a signed note")
    text += "\n"
    log = text.split("\n")[0]
    if log != name:
        raise Unsound(f"the key belongs to another log: it is of {name!r}, the checkpoint of {log!r}")
    signed = False
    for line in signatures.splitlines():
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014":
            raise Unsound(f"this is not a signature line: {line!r}")
        signature = base64.b64decode(parts[2], validate=True)
        if parts[1] == name and signature[:4] == key_id:
            if not ed25519_verifies(public_key, text.encode(), signature[4:]):
                raise Unsound("the signature on the checkpoint is not valid")
            signed = True
    if not signed:
        raise Unsound("the checkpoint is not signed by the key")
    lines = text.split("\n")
    size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    if str(size) != lines[1] or len(root) != HASH_LENGTH:
        raise Unsound("the checkpoint is malformed")
    return size, root


# The tree ------------------------------------------------------------------------------------------------------------


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def perfect_root(hashes):
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


class Tree:
    """Roots of perfect subtrees, largest first, each with its size."""

    def __init__(self):
        self.size = 0
        self.subtrees = []

    def push(self, leaf):
        size, subtree = 1, leaf
        while self.subtrees and self.subtrees[-1][0] == size:
            subtree = node_hash(self.subtrees.pop()[1], subtree)
            size *= 2
        self.subtrees.append((size, subtree))
        self.size += 1

    def root(self):
        if not self.subtrees:
            return hashlib.sha256(b"").digest()
        root = self.subtrees[-1][1]
        for _, left in reversed(self.subtrees[:-1]):
            root = node_hash(left, root)
        return root


def index_path(index, width):
    path = f"{index % 1000:03}"
    while index >= 1000:
        index //= 1000
        path = f"x{index % 1000:03}/{path}"
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tiles_of_level(count):
    """The index and width of each tile of a level that has this many hashes."""
    for index in range((count + TILE_WIDTH - 1) // TILE_WIDTH):
        yield index, min(TILE_WIDTH, count - index * TILE_WIDTH)


def read_file(directory, path):
    try:
        return (directory / path).read_bytes()
    except OSError as error:
        raise Unsound(f"{path}: {error.strerror}") from error


def read_entries(directory, index, width):
    path = "tile/entries/" + index_path(index, width)
    data, offset, entries = read_file(directory, path), 0, []
    for position in range(width):
        number = index * TILE_WIDTH + position
        if offset + 2 > len(data):
            raise Unsound(f"entry {number}: {path} ends before it")
        (length,) = struct.unpack_from(">H", data, offset)
        entry = data[offset + 2 : offset + 2 + length]
        if len(entry) != length:
            raise Unsound(f"entry {number}: {path} ends within it")
        entries.append(entry)
        offset += 2 + length
    if offset != len(data):
        raise Unsound(f"{path}: {len(data) - offset} bytes follow the last entry")
    return entries


def canonical(entry):
    """The entry read and written again: compact, members sorted, nothing escaped that need not be."""
    return json.dumps(json.loads(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def open_old(name, text, vkey):
    try:
        return open_checkpoint(text, vkey)
    except (Unsound, ValueError, IndexError) as error:
        raise Unsound(f"the old checkpoint {name}: {error}") from error


def verify(directory, vkey, old_checkpoints):
    size, root = open_checkpoint(read_file(directory, "checkpoint").decode(), vkey)
    # A list: two checkpoints may be called the same, and each of them counts.
    old = [(name, *open_old(name, text, vkey)) for name, text in old_checkpoints]
    for name, old_size, _ in old:
        if old_size > size:
            raise Unsound(f"the old checkpoint {name} speaks of {old_size} entries, the log has {size}")
    tree, findings, level = Tree(), [], []
    roots = {0: tree.root()}
    wanted = {old_size for _, old_size, _ in old}
    for index, width in tiles_of_level(size):
        leaves = []
        for position, entry in enumerate(read_entries(directory, index, width)):
            number = index * TILE_WIDTH + position
            try:
                if canonical(entry) != entry:
                    findings.append(f"entry {number}: not canonical JSON")
            except ValueError:
                findings.append(f"entry {number}: not JSON")
            leaf = hashlib.sha256(b"\x00" + entry).digest()
            leaves.append(leaf)
            tree.push(leaf)
            if tree.size in wanted:
                roots[tree.size] = tree.root()
        path = "tile/0/" + index_path(index, width)
        tile = read_file(directory, path)
        if tile != b"".join(leaves):
            for position, leaf in enumerate(leaves):
                if tile[position * HASH_LENGTH : (position + 1) * HASH_LENGTH] != leaf:
                    findings.append(f"entry {index * TILE_WIDTH + position}: does not have the leaf hash in {path}")
        if width == TILE_WIDTH:
            level.append(perfect_root(leaves))
    number = 1
    while level:
        above = []
        for index, width in tiles_of_level(len(level)):
            hashes = level[index * TILE_WIDTH : index * TILE_WIDTH + width]
            path = f"tile/{number}/" + index_path(index, width)
            if read_file(directory, path) != b"".join(hashes):
                findings.append(f"{path}: its hashes are not those of the entries")
            if width == TILE_WIDTH:
                above.append(perfect_root(hashes))
        level, number = above, number + 1
    if tree.root() != root:
        findings.append("the entries do not lead to the root in the signed checkpoint")
    for name, old_size, old_root in old:
        if roots[old_size] != old_root:
            findings.append(f"the first {old_size} entries are not those of the old checkpoint {name}")
    if findings:
        raise Unsound("\n".join(findings))
    return size, root


def main():
    parser = argparse.ArgumentParser(description="Verifies an exported audit log.")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--vkey", help="the verifier key, from elsewhere than the export")
    parser.add_argument("--old", action="append", default=[], type=pathlib.Path, help="a checkpoint that was kept earlier")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    if not arguments.directory.is_dir():
        parser.error(f"{arguments.directory} is not a directory")
    try:
        old = [(str(path), path.read_text()) for path in arguments.old]
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"an old checkpoint cannot be read: {error}")
    try:
        vkey = parse_vkey(arguments.vkey or read_file(arguments.directory, "vkey").decode())
        size, root = verify(arguments.directory, vkey, old)
    except (Unsound, ValueError) as error:
        print(json.dumps({"sound": False, "findings": str(error).split("\n")}) if arguments.json else f"NOT SOUND\n{error}")
        return 1
    root = base64.b64encode(root).decode()
    if arguments.json:
        print(json.dumps({"sound": True, "log": vkey[0], "size": size, "root": root}))
    else:
        print(f"sound: {vkey[0]}, {size} entries, root {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
