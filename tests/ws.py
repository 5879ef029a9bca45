# SPDX-License-Identifier: Apache-2.0
"""A small WebSocket client for tests: uncompressed, on a blocking socket, standard library only. Messages are v2's."""

import base64
import os
import socket
import struct

SUBSCRIBE, UNSUBSCRIBE, ONE_OFF, CALL_REDUCER, CALL_PROCEDURE = 0, 1, 2, 3, 4
INITIAL, SUBSCRIBED, UPDATE, ONE_OFF_RESULT, REDUCER_RESULT, PROCEDURE_RESULT = 0, 1, 4, 5, 6, 7
OK, OK_EMPTY, ERR, INTERNAL = 0, 1, 2, 3


class Closed(Exception):
    """The connection ended; `code` is that of the Close frame, None without one."""

    def __init__(self, code=None, reason=""):
        super().__init__(f"closed: {code} {reason}")
        self.code = code
        self.reason = reason


def bsatn_str(text):
    data = text.encode()
    return struct.pack("<I", len(data)) + data


class Client:
    def __init__(self, port, database, token=None, confirmed=True, timeout=30, protocol="v2.bsatn.spacetimedb",
                 light=False):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.next_request = 1
        key = base64.b64encode(os.urandom(16)).decode()
        query = f"compression=None&confirmed={str(confirmed).lower()}" + ("&light=true" if light else "")
        lines = [f"GET /v1/database/{database}/subscribe?{query} HTTP/1.1",
                 f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                 f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Protocol: {protocol}"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        self.socket.sendall("\r\n".join(lines + ["", ""]).encode())
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.decode(errors="replace"))

    def close(self):
        self.socket.close()

    # ---- frames ----

    def _more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise Closed()
        self.buffer += data

    def _take(self, count):
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _send_frame(self, opcode, payload):
        head = bytes([0x80 | opcode])
        if len(payload) < 126:
            head += bytes([0x80 | len(payload)])
        elif len(payload) < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", len(payload))
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", len(payload))
        self.socket.sendall(head + b"\0\0\0\0" + payload)  # a mask of zeros is a mask

    def send(self, data, text=False):
        self._send_frame(1 if text else 2, data)

    def payload(self):
        """The bytes of the next server message; Closed when the connection ends."""
        message = b""
        while True:
            first, second = self._take(2)
            length = second & 0x7F
            if length == 126:
                length, = struct.unpack(">H", self._take(2))
            elif length == 127:
                length, = struct.unpack(">Q", self._take(8))
            payload = self._take(length)
            opcode = first & 0x0F
            if opcode == 8:
                code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else None
                raise Closed(code, payload[2:].decode(errors="replace"))
            if opcode == 9:
                self._send_frame(10, payload)
            if opcode >= 8:
                continue
            message += payload
            if first & 0x80:
                return message

    def receive(self):
        """(tag, body) of the next server message of a binary protocol."""
        message = self.payload()
        if message[0] != 0:
            raise ValueError(f"compressed with {message[0]}, which nobody asked for")
        return message[1], message[2:]

    # ---- messages ----

    def call(self, reducer, args=b""):
        """Sends a call and returns its request id."""
        request = self.next_request
        self.next_request += 1
        self._send_frame(2, struct.pack("<BIB", CALL_REDUCER, request, 0) + bsatn_str(reducer) +
                         struct.pack("<I", len(args)) + args)
        return request

    def result(self):
        """(request id, outcome, text) of the next reducer result; other messages are passed over."""
        while True:
            tag, body = self.receive()
            if tag != REDUCER_RESULT:
                continue
            request, _, outcome = struct.unpack_from("<IqB", body)
            text = ""
            if outcome == ERR:
                text = body[21:].decode(errors="replace")
            elif outcome == INTERNAL:
                text = body[17:].decode(errors="replace")
            return request, outcome, text
