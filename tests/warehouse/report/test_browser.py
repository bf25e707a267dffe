"""The report in a real browser: it renders, and asks the network for nothing."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lacking import lacks
from wattlake_warehouse.report.figures import collect
from wattlake_warehouse.report.page import render

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        lacks("needs chromium (apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def report(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(collect(lake)), encoding="utf-8")
    return path


class Trap:
    """A proxy that every request would go through; it notes what is asked for and answers nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._note, daemon=True).start()

    def _note(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client:
                client.settimeout(5)
                try:
                    self.asked.append(client.recv(4096).decode("latin-1").partition("\r\n")[0])
                except OSError as error:
                    self.asked.append(str(error))

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    made = Trap()
    yield made
    made.close()


def browse(chromium: str, folder: Path, trap: Trap, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-extensions", f"--user-data-dir={folder / 'profile'}",
         f"--proxy-server=127.0.0.1:{trap.port}", "--proxy-bypass-list=<-loopback>", *args],
        capture_output=True, text=True, timeout=180)


def test_it_renders_with_charts_and_text(chromium: str, report: Path, tmp_path: Path, trap: Trap) -> None:
    done = browse(chromium, tmp_path, trap, "--dump-dom", report.as_uri())
    assert done.returncode == 0, done.stderr
    for text in ("Energy and carbon of machine learning", "381,507,277,280", "llama-mini-chat", "Some of these figures are simulated."):
        assert text in done.stdout
    assert done.stdout.count("<svg") == 3


def test_it_asks_the_network_for_nothing(chromium: str, report: Path, tmp_path: Path, trap: Trap) -> None:
    browse(chromium, tmp_path, trap, f"--screenshot={tmp_path / 'page.png'}", "--window-size=1280,3000", report.as_uri())
    assert (tmp_path / "page.png").stat().st_size > 50_000
    # what the browser asks of its own accord (its maker's services) is not the page's doing
    assert [line for line in trap.asked if "google" not in line and "gvt1" not in line] == []


def test_its_policy_stops_what_gets_in(chromium: str, report: Path, tmp_path: Path, trap: Trap) -> None:
    """Even if an injected script and picture got past the escaping, the policy would stop them."""
    hostile = tmp_path / "hostile.html"
    hostile.write_text(report.read_text(encoding="utf-8").replace(
        "</main>", "<script>document.title = 'taken over'</script><img src='http://picture.example/x.png'></main>"), encoding="utf-8")
    done = browse(chromium, tmp_path, trap, "--dump-dom", hostile.as_uri())
    assert "picture.example" in done.stdout
    assert "<title>Energy and carbon of machine learning</title>" in done.stdout
    assert [line for line in trap.asked if "picture.example" in line] == []


def test_it_prints_to_paper(chromium: str, report: Path, tmp_path: Path, trap: Trap) -> None:
    browse(chromium, tmp_path, trap, f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer", report.as_uri())
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert len(content) > 20_000
