"""The same over Python's asyncio, or uvloop where EVENT_LOOP says so.

    python3 bench/servers/asyncio_server.py SERVICE PORT [CERT KEY]
"""

import asyncio
import gc
import os
import signal
import ssl
import sys

subscribers = set()


async def echo_streams(reader, writer):
    while data := await reader.read(64 * 1024):
        writer.write(data)
        await writer.drain()


async def lines(reader, writer):
    while line := await reader.readline():
        writer.write(line.decode().rstrip("\n").encode() + b"\n")
        await writer.drain()


async def frames(reader, writer):
    while True:
        header = await reader.readexactly(4)
        frame = await reader.readexactly(int.from_bytes(header, "big"))
        writer.write(header + frame)
        await writer.drain()


async def greeting(reader, writer):
    writer.write(b"welcome!")
    while data := await reader.read(1024):
        name = data.decode()
        if name == "exit":
            return
        writer.write(f"hello, {name}!".encode())
        await writer.drain()


async def broadcast(reader, writer):
    writer.write(b"welcome!")
    subscribers.add(writer)
    try:
        while data := await reader.read(1024):
            for subscriber in subscribers:
                subscriber.write(data)
    finally:
        subscribers.discard(writer)


class Echo(asyncio.Protocol):
    """Callbacks instead of streams: what asyncio does fastest."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Lines(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.rest = b""

    def data_received(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        if lines:
            self.transport.write(b"".join(line.decode().encode() + b"\n" for line in lines))


STREAMS = {
    "echo-streams": echo_streams,
    "lines-streams": lines,
    "frames": frames,
    "greeting": greeting,
    "broadcast": broadcast,
}
PROTOCOLS = {"echo": Echo, "lines": Lines}


def closing(serve):
    async def handle(reader, writer):
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return handle


async def main(service, port, certificate=None, key=None):
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR2, gc.collect)
    where = {"host": "127.0.0.1", "port": int(port), "backlog": 511, "ssl": context}
    if service in PROTOCOLS:
        server = await loop.create_server(PROTOCOLS[service], **where)
    else:
        server = await asyncio.start_server(closing(STREAMS[service]), **where)
    await server.serve_forever()


if os.environ.get("EVENT_LOOP") == "uvloop":
    import uvloop

    uvloop.install()
asyncio.run(main(*sys.argv[1:]))
