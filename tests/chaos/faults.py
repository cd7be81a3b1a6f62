"""Doing it: each fault proves that it bit, while uploads were in flight."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from gaitway.embedded import StackError
from gaitway.embedded.process import ServerProcess
from tests.chaos.pipeline import Pipeline
from tests.chaos.schedule import Fault
from tests.e2e.harness import terminate, until

NEXT_UPLOAD_S = 5.0
STUCK_COORDINATOR = "is out of sync with the underlying log"
"""Logged by Kafka 4.0's group coordinator, after kill -9, of a partition that it will not write to until restarted."""
USERS_S = 20.0


@dataclass(slots=True)
class Done:
    """A fault that was done: ``proof`` that it bit; ``missing`` what would have proved it and did not come."""

    fault: Fault
    began_ms: float
    ended_ms: float = 0.0
    proof: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    attempts: int = 0

    def prove(self, holds: object, what: str) -> None:
        """Note one piece of evidence."""
        (self.proof if holds else self.missing).append(what)

    def __str__(self) -> str:
        text = f"{self.fault.kind} {self.fault.victim}: {', '.join(self.proof)}"
        return f"{text}; NOT {', '.join(self.missing)}" if self.missing else text


class Executor:
    """Does faults to a pipeline; ``attempts()``: the watches' requests, ``in_flight()``: those without an answer."""

    def __init__(self, pipeline: Pipeline, attempts: Callable[[], int], in_flight: Callable[[], int]) -> None:
        self._pipeline = pipeline
        self._attempts = attempts
        self._in_flight = in_flight
        self.done: list[Done] = []
        self.surprises: list[str] = []
        self.broker_restarts = 0

    async def run(self, fault: Fault) -> None:
        """Do it and undo it."""
        await self.revive()
        done = Done(fault, time.time() * 1000)
        attempts, in_flight = self._attempts(), self._in_flight()
        method = getattr(self, "_" + fault.kind.replace("-", "_"))
        try:
            await method(fault, done)
        except StackError as error:
            done.prove(False, f"started again: {error}")
        # A flush takes no time: the watches go on sending right after it.
        with contextlib.suppress(TimeoutError):
            await until(lambda: self._attempts() > attempts, "an upload", NEXT_UPLOAD_S)
        done.ended_ms = time.time() * 1000
        done.attempts = self._attempts() - attempts + in_flight
        done.prove(done.attempts > 0, f"{done.attempts} uploads under way")
        self.done.append(done)

    async def revive(self) -> None:
        """Do what an operator would.

        A service that has ended by itself is a finding; the run goes on with it started again. A broker whose group
        coordinator is stuck is restarted and counted: the fault is Kafka's, and what follows must still hold.
        """
        for what in self._pipeline.ended_by_themselves():
            self.surprises.append(what)
            await asyncio.to_thread(self._pipeline.servers[what.partition(":")[0]].start)
        for broker in self._pipeline.brokers.values():
            if STUCK_COORDINATOR in broker.log_since_start():
                broker.kill()
                await asyncio.to_thread(broker.start)
                self.broker_restarts += 1

    async def _kill(self, fault: Fault, done: Done) -> None:
        await self._kill_and_start(fault.victim, fault.for_s, done)

    async def _kill_long(self, fault: Fault, done: Done) -> None:
        await self._kill_and_start(fault.victim, fault.for_s, done)

    async def _kill_and_start(self, name: str, for_s: float, done: Done) -> None:
        server = self._pipeline.servers[name]
        pid = server.pid
        server.kill()
        done.prove(_refused(server), f"{name} refuses connections")
        await asyncio.sleep(for_s)
        await asyncio.to_thread(server.start)
        done.prove(server.pid != pid, f"{name} pid {pid} is now {server.pid}")

    async def _terminate(self, fault: Fault, done: Done) -> None:
        """A rolling restart's step: the service is asked, and ends in good order."""
        server = self._pipeline.servers[fault.victim]
        pid = server.pid
        os.kill(pid, signal.SIGTERM)
        try:
            done.prove(await terminate(server) == 0, "exit code 0")
        except TimeoutError as error:
            done.prove(False, f"ended when asked: {error}")
        server.kill()
        await asyncio.sleep(fault.for_s)
        await asyncio.to_thread(server.start)
        done.prove(server.pid != pid, f"pid {pid} is now {server.pid}")

    async def _pause(self, fault: Fault, done: Done) -> None:
        await self._stop_and_continue(fault.victim, fault.for_s, done)

    async def _stop_and_continue(self, name: str, for_s: float, done: Done) -> None:
        server = self._pipeline.servers[name]
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(for_s)
        done.prove(_state(pid) == "T", f"{name} in state T for {for_s:.1f} s")
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.2)
        done.prove(server.running and server.pid == pid and _state(pid) != "T", f"pid {pid} goes on")

    async def _broker_kill(self, fault: Fault, done: Done) -> None:
        await self._kill_and_start(fault.victim, fault.for_s, done)

    async def _broker_and_ingest_kill(self, fault: Fault, done: Done) -> None:
        broker, ingest = self._pipeline.brokers[fault.victim], self._pipeline.services["ingest"]
        pids = broker.pid, ingest.pid
        broker.kill()
        await asyncio.sleep(fault.for_s)
        ingest.kill()
        done.prove(_refused(broker) and _refused(ingest), "both refuse connections")
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(ingest.start)
        done.prove(broker.pid != pids[0] and ingest.pid != pids[1], f"pids {pids} are now {broker.pid, ingest.pid}")

    async def _redis_kill(self, fault: Fault, done: Done) -> None:
        await self._kill_and_start("redis", fault.for_s, done)

    async def _redis_pause(self, fault: Fault, done: Done) -> None:
        await self._stop_and_continue("redis", fault.for_s, done)

    async def _redis_flush(self, fault: Fault, done: Done) -> None:
        await self._until_redis_holds_users()
        await self._flush(done)

    async def _until_redis_holds_users(self) -> None:
        """Soon after another flush there is nothing to lose yet."""
        deadline_s = time.monotonic() + USERS_S
        async with Redis.from_url(self._pipeline.redis.url) as client:
            while not await client.dbsize() and time.monotonic() < deadline_s:
                await asyncio.sleep(0.1)

    async def _flush(self, done: Done) -> None:
        async with Redis.from_url(self._pipeline.redis.url) as client, client.pipeline(transaction=True) as pipe:
            for command in ("DBSIZE", "FLUSHALL", "DBSIZE"):
                pipe.execute_command(command)
            before, _, after = await pipe.execute()
        done.prove(before > 0 and after == 0, f"{before} keys, then {after}")

    async def _redis_flush_and_features_kill(self, fault: Fault, done: Done) -> None:
        servers = [server for name, server in self._pipeline.services.items() if name.startswith("features")]
        pids = [server.pid for server in servers]
        await self._until_redis_holds_users()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        await self._flush(done)
        for server in servers:
            server.kill()
        for server in servers:
            await asyncio.to_thread(server.start)
        done.prove(all(s.pid != pid for s, pid in zip(servers, pids, strict=True)), f"features' pids {pids} are gone")

    async def _redis_pause_and_features_kill(self, fault: Fault, done: Done) -> None:
        redis = self._pipeline.redis
        os.kill(redis.pid, signal.SIGSTOP)
        await asyncio.sleep(fault.for_s / 2)
        name = next(name for name in self._pipeline.services if name.startswith("features"))
        await self._kill_and_start(name, fault.for_s / 2, done)
        done.prove(_state(redis.pid) == "T", "redis in state T all the while")
        os.kill(redis.pid, signal.SIGCONT)


def _refused(server: ServerProcess) -> bool:
    try:
        socket.create_connection((server.host, server.port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def _state(pid: int) -> str:
    """One letter: the state of a process as the kernel has it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
