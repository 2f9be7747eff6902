"""Each attack on the server that we know is tried against a real one, over real sockets."""

from __future__ import annotations

import json
import os
import pickle
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.server.running import Running, running
from verglas.errors import InputError
from verglas.formats import write_mrc
from verglas.project import Project
from verglas.project.import_others import import_micrographs
from verglas.server import connections, guard
from verglas.server.access import Access, make_token
from verglas.server.connections import listen, listen_unix
from verglas.server.page_files import PageFiles


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "data").mkdir()
    with running(tmp_path / "server", browse=(tmp_path / "data", tmp_path / "p")) as one:
        yield one


@pytest.fixture
def opened(server: Running, tmp_path: Path) -> tuple[httpx.Client, str, Path]:
    """Return a client, a project's key and its folder; image 1 is in it."""
    folder = tmp_path / "p"
    with Project.create(folder) as project:
        write_mrc(tmp_path / "data" / "m.mrc", np.zeros((8, 8), np.float32), 1.0)
        import_micrographs(project, [str(tmp_path / "data" / "m.mrc")], voltage_kV=300.0, cs_mm=2.7)
    client = server.client()
    answer = client.post("/api/projects/open", json={"folder": str(folder)})
    assert answer.status_code == 200, answer.text
    return client, answer.json()["key"], folder


def raw(port: int, content: bytes, seconds: float = 10.0) -> bytes:
    """Send bytes and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(content)
        parts = []
        with suppress(ConnectionResetError):  # the server closed before it had read all
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize("path", ["/", "/app.js", "/api/server", "/api/news", "/api/openapi.json", "/nowhere"])
def test_nothing_is_given_out_without_a_session(server: Running, path: str) -> None:
    answer = httpx.get(server.address + path)
    assert answer.status_code == 401
    assert "verglas serve --url" in answer.text
    assert httpx.get(server.address + path, headers={"cookie": f"{server.access.cookie}=guess"}).status_code == 401
    assert httpx.get(server.address + path, headers={"cookie": "\x01=;;;"}).status_code == 401


def test_a_token_works_once_and_becomes_a_strict_cookie(server: Running) -> None:
    address = server.token_address()
    answer = httpx.get(address)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and cookie.startswith(server.access.cookie)
    assert httpx.get(address).status_code == 401
    assert httpx.get(server.address + "/?token=" + "x" * 43).status_code == 401
    assert httpx.get(server.address + "/?token=../../../etc/passwd").status_code == 401
    assert not list(server.access.folder.iterdir())


def test_servers_have_cookies_of_their_own(tmp_path: Path) -> None:
    one, other = Access(tmp_path / "a"), Access(tmp_path / "b")
    assert one.cookie != other.cookie
    session = one.use_token(make_token(one.folder))
    assert session and not other.is_known(f"{other.cookie}={session}")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.168.1.4", "", "localhost:x",
    "localhost@evil.example", "[::2]",
])  # fmt: skip
def test_other_hosts_are_refused(server: Running, host: str) -> None:
    client = server.client()
    assert client.get("/api/server", headers={"host": host}).status_code in {400, 403}
    assert httpx.get(server.token_address(), headers={"host": host}).status_code in {400, 403}


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:1234", "[::1]:77", "[::1]", "LOCALHOST:9"])
def test_a_tunnel_may_begin_at_any_port(server: Running, host: str) -> None:
    answer = server.client().get("/api/server", headers={"host": host, "origin": f"http://{host}"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:9999", "https://127.0.0.1:{port}"]
)
def test_other_origins_are_refused(server: Running, origin: str) -> None:
    headers = {"origin": origin.format(port=server.port)}
    assert server.client().get("/api/server", headers=headers).status_code == 403
    answer = server.client().post("/api/projects/open", json={"folder": "/"}, headers=headers)
    assert answer.status_code == 403


def test_a_page_at_another_port_of_this_host_is_refused(server: Running) -> None:
    client = server.client()
    for site in ("same-site", "cross-site"):
        assert client.get("/api/server", headers={"sec-fetch-site": site}).status_code == 403
        navigation = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
        assert client.get("/api/server", headers=navigation).status_code == 403
        assert client.get("/", headers=navigation).status_code == 200


def test_every_answer_carries_safe_headers(server: Running) -> None:
    for answer in (server.client().get("/"), httpx.get(server.address), server.client().get("/api/nothing")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


def test_the_policy_allows_the_page_s_own_import_map() -> None:
    assert PageFiles().policy().count("'sha256-") == 1


@pytest.mark.parametrize("path", [
    "/../../../etc/passwd", "/..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/build.py",
    "/style/../../build.py",
                                  "/libraries/../package.json", "//etc/passwd", "/build.py", "/%00", "/libraries.json",
])  # fmt: skip
def test_the_page_s_folder_is_not_left(server: Running, path: str) -> None:
    client = server.client()
    cookie = f"{server.access.cookie}={client.cookies[server.access.cookie]}"
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    answer = raw(server.port, request.encode())
    assert answer.split(b" ")[1] in {b"404", b"400", b"401"}, answer[:200]
    assert b"root:" not in answer and b"hatchling" not in answer


def test_a_link_out_of_the_page_is_not_followed(tmp_path: Path) -> None:
    page = PageFiles()
    page.folder = tmp_path
    (tmp_path / "secret.js").symlink_to("/etc/hostname")
    with pytest.raises(Exception, match="no file"):
        page.find("secret.js")


def test_files_out_of_the_opened_folders_are_not_shown(opened: tuple[httpx.Client, str, Path], tmp_path: Path) -> None:
    client, key, _ = opened
    inside = str(tmp_path / "data")
    assert client.get("/api/files", params={"folder": inside}).status_code == 200
    for folder in ("/", "/etc", f"{inside}/..", f"{inside}/../../..", "relative", "~", f"{inside}\0"):
        assert client.get("/api/files", params={"folder": folder}).status_code in {400, 404}
    outside = tmp_path / "other.mrc"
    write_mrc(outside, np.zeros((8, 8), np.float32), 1.0)
    (tmp_path / "data" / "link.mrc").symlink_to(outside)
    (tmp_path / "data" / "etc").symlink_to("/etc")
    assert client.get("/api/files", params={"folder": f"{inside}/etc"}).status_code == 404
    for path in (outside, tmp_path / "data" / "link.mrc", Path("/etc/passwd")):
        answer = client.get(f"/api/projects/{key}/picture", params={"source": f"file:{path}"})
        assert answer.status_code == 404, answer.text
    answer = client.post(f"/api/projects/{key}/import/image/check", json={"patterns": [str(outside)]})
    assert answer.status_code == 404
    shown = client.get(f"/api/projects/{key}/picture", params={"source": f"file:{inside}/m.mrc"})
    assert shown.status_code == 200 and shown.content[:4] == b"\x89PNG"


def test_a_result_that_leads_out_of_the_project_is_not_given_out(opened: tuple[httpx.Client, str, Path]) -> None:
    client, key, folder = opened
    (folder / "Scratch" / "x.txt").write_text("mine")
    edit = {"edit": "result.take-in", "results": [{
        "job": None, "key": "x", "kind": "ctf_estimation", "of": {"kind": "image", "id": 1},
        "files": {"fit": "Scratch/x.txt"}, "values": {},
    }]}  # fmt: skip
    with Project.open(folder, "rw") as project:
        line = project.edit(edit)
    result = line["results"][0]
    source = {"source": f"result:{result['id']}:fit"}
    assert client.get(f"/api/projects/{key}/download", params=source).text == "mine"
    place = folder / result["files"]["fit"]
    place.unlink()
    place.symlink_to("/etc/hostname")
    assert client.get(f"/api/projects/{key}/download", params=source).status_code == 404
    for source_of in ("result:1:../../x", "asset:image:1:../x", "asset:image:-1", "result:x:fit", "asset:image",
                      "asset:image:99999999999999999999", "file:", "http://evil.example/", ""):  # fmt: skip
        answer = client.get(f"/api/projects/{key}/download", params={"source": source_of})
        assert answer.status_code in {400, 404}, (source_of, answer.text)


def test_a_page_cannot_ask_for_edits_that_take_files(opened: tuple[httpx.Client, str, Path]) -> None:
    client, key, _ = opened
    for edit in ({"edit": "result.take-in", "results": []}, {"edit": "asset.import"}, {"edit": "asset.relink"}, {}):
        assert client.post(f"/api/projects/{key}/edit", json=edit).status_code == 400


def test_bodies_are_bounded(server: Running) -> None:
    client = server.client()
    huge = b'{"folder": "' + b"x" * guard.LARGEST_BODY + b'"}'
    kind = {"content-type": "application/json"}
    assert client.post("/api/projects/open", content=huge, headers=kind).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * (guard.LARGEST_BODY // 32)

    assert client.post("/api/projects/open", content=pieces(), headers=kind).status_code == 413
    cookie = f"{server.access.cookie}={client.cookies[server.access.cookie]}"
    lie = (
        f"POST /api/projects/open HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nContent-Type: application/json\r\n"
    )
    assert raw(server.port, (lie + "Content-Length: 99999999999\r\n\r\n{").encode()).split(b" ")[1] == b"413"
    assert (
        raw(server.port, (lie + "Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}").encode()).split(b" ")[1] == b"400"
    )
    long_header = f"GET / HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 200_000}\r\n\r\n"
    assert b" 200 " not in raw(server.port, long_header.encode())[:20]


def test_slow_clients_are_sent_away(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.6)
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.6)
    began = time.monotonic()
    assert raw(server.port, b"GET / HTTP/1.1\r\nHost: local") == b""
    assert raw(server.port, b"") == b""
    cookie = server.client().cookies[server.access.cookie]
    head = f"POST /api/projects/open HTTP/1.1\r\nHost: localhost\r\nCookie: {server.access.cookie}={cookie}\r\n"
    body = "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    assert raw(server.port, (head + body).encode()).split(b" ")[1] == b"408"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as second:
        second.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 401 " in second.recv(65536)
        second.sendall(b"GET / HTTP/1.1\r\nHo")
        while second.recv(65536):
            pass
    assert time.monotonic() - began < 8
    waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    assert server.client().get("/api/server").status_code == 200
    for one in waiting:
        one.close()


def test_pickles_are_never_loaded(opened: tuple[httpx.Client, str, Path], tmp_path: Path) -> None:
    client, key, _folder = opened
    mark = tmp_path / "was-run"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {mark}",)

    bad = pickle.dumps(Evil())
    answer = client.post("/api/projects/open", content=bad, headers={"content-type": "application/octet-stream"})
    assert answer.status_code == 415
    answer = client.post("/api/projects/open", content=bad, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}
    answer = client.post("/api/projects/open", files={"file": bad})
    assert answer.status_code == 415
    np.save(tmp_path / "data" / "evil.npy", np.array([Evil()], object), allow_pickle=True)
    (tmp_path / "data" / "evil.mrc").write_bytes(bad)
    for name in ("evil.npy", "evil.mrc"):
        for what in ("picture", "curves", "picture/facts", "map", "strip"):
            source = {"source": f"file:{tmp_path / 'data' / name}"}
            assert client.get(f"/api/projects/{key}/{what}", params=source).status_code in {400, 409, 422}
    assert not mark.exists()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(server: Running, method: str) -> None:
    assert server.client().request(method, "/api/server").status_code == 405


def test_only_this_machine_is_listened_to(server: Running) -> None:
    own = {one.address for found in psutil.net_if_addrs().values() for one in found if one.family == socket.AF_INET}
    # A server that listened to all addresses would answer at this one too, which every Linux has.
    for address in sorted((own | {"127.0.0.2"}) - {"127.0.0.1"}):
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((address, server.port)) != 0, address


def test_ports_and_sockets_that_are_taken(tmp_path: Path) -> None:
    with listen(0) as bound, pytest.raises(InputError, match="--port"):
        listen(bound.getsockname()[1])
    path = tmp_path / "s"
    with listen_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(InputError, match="already"):
            listen_unix(path)
    with listen_unix(path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no socket"):
        listen_unix(tmp_path / "file")


def test_the_command_on_a_unix_socket_prints_its_address_once_and_new_ones(tmp_path: Path) -> None:
    if words := PageFiles().missing():
        assert "Install node" in words
        said = subprocess.run([sys.executable, "-m", "verglas", "serve"], capture_output=True, text=True, check=False)
        assert said.returncode == 1 and "npm" in said.stderr
        return
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    command = [sys.executable, "-m", "verglas", "serve", "--json"]
    path = tmp_path / "s"
    process = subprocess.Popen(
        [*command, "--socket", str(path)], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        again = subprocess.run([*command, "--url"], env=environment, capture_output=True, text=True, check=True)
        other = json.loads(again.stdout)
        assert first["socket"] == other["socket"] and first["url"] != other["url"]
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost:8484") as client:
            end = time.monotonic() + 240
            for address in (other["url"], first["url"]):
                while True:
                    try:
                        assert client.get(address).status_code == 303
                        break
                    except httpx.TransportError:
                        assert time.monotonic() < end
                        time.sleep(0.1)
            assert client.get("/api/server").json()["streams"] == 0
    finally:
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()
    assert not path.exists() and not list((tmp_path / "state" / "verglas" / "servers").iterdir())
    said = subprocess.run([*command, "--url"], env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 1 and "verglas serve" in said.stderr
