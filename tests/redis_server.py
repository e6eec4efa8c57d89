"""A real Redis on a loopback port of its own, which tests may stop, kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.proxies import free_ports
from tests.waiting import PATIENCE_SECONDS, wait_until


class RedisServer:
    """Keeps nothing on disk, unless told to ``save``; ``options`` are those of redis.conf."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options: object) -> redis.Redis:
        """A client of its own."""
        return redis.Redis(port=self.port, **options)  # type: ignore[arg-type]

    def start(self) -> RedisServer:
        """Start it and wait until it answers."""
        command = [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(self.folder), *self.options,
        ]  # fmt: skip
        log = self.folder / "redis.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        process = self._process

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                with self.client(retry=Retry(NoBackoff(), 0)) as client:
                    return bool(client.ping())
            except redis.AuthenticationError:
                return True  # it answers, though not to everybody
            except redis.ConnectionError:
                return False

        try:
            wait_until(answers)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it as its owner would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as lack of memory would."""
        self._end(signal.SIGKILL)

    def save(self) -> None:
        """Write what it holds to its folder; it is read at the next start."""
        with self.client() as client:
            client.save()

    def freeze(self) -> None:
        """Let it accept connections, and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
                os.kill(process.pid, signal.SIGCONT)
            process.wait(PATIENCE_SECONDS)

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
