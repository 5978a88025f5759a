"""A TCP proxy between one node and one PostgreSQL, which can be told to misbehave."""

import asyncio
import contextlib
import threading

PASS, STALL, REFUSE = "pass", "stall", "refuse"


class Loop:
    """The thread that all proxies live on."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)
        self.thread.start()

    def call(self, coroutine):
        """Runs a coroutine there, and waits for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def end_all(self):
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self):
        self.call(self.end_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


class Proxy:
    """Listens on a loopback port of its own, and connects to another."""

    def __init__(self, loop, target_port):
        self.loop, self.target_port = loop, target_port
        self.mode = PASS
        self.open_now = None
        self.pairs = set()
        self.server = None
        self.port = None
        loop.call(self.listen(0))
        self.port = self.server.sockets[0].getsockname()[1]

    async def listen(self, port):
        self.open_now = self.open_now or asyncio.Event()
        self.open_now.set()
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", port, limit=1 << 20)

    async def accept(self, reader, writer):
        await self.open_now.wait()
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.target_port, limit=1 << 20)
        except OSError:
            abort(writer)
            return
        pair = (writer, upstream_writer)
        self.pairs.add(pair)
        try:
            await asyncio.gather(self.pump(reader, upstream_writer), self.pump(upstream_reader, writer))
        finally:
            self.pairs.discard(pair)
            for each in pair:
                abort(each)

    async def pump(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self.open_now.wait()
                writer.write(data)
                await writer.drain()
        # Either end's end is the end of both: PostgreSQL's protocol has no half-closed connections.
        abort(writer)

    async def set(self, mode):
        self.mode = mode
        if mode == STALL:
            self.open_now.clear()
        else:
            self.open_now.set()
        if mode == REFUSE and self.server:
            self.server.close()
            self.server = None
            self.abort_all()
        elif mode != REFUSE and self.server is None:
            await self.listen(self.port)

    def abort_all(self):
        for pair in list(self.pairs):
            for writer in pair:
                abort(writer)

    async def drop(self):
        self.abort_all()

    # Called from other threads ------------------------------------------------------------------------------------------

    def cut(self):
        """Resets all connections; new ones are welcome."""
        self.loop.call(self.drop())

    def stall(self):
        """Passes nothing on any more, and lets nobody know: a cable that was pulled."""
        self.loop.call(self.set(STALL))

    def refuse(self):
        """Resets all connections, and refuses new ones."""
        self.loop.call(self.set(REFUSE))

    def heal(self):
        """Behaves again."""
        self.loop.call(self.set(PASS))

    def close(self):
        self.loop.call(self.set(REFUSE))


def abort(writer):
    """Resets a connection."""
    with contextlib.suppress(OSError, RuntimeError):
        writer.transport.abort()
