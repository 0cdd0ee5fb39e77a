"""Questions the supervisor asks to learn whether a server is ready; each answers in about a second at most."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

import psycopg


def accepts_tcp(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def answers_ping(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(0.5)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def accepts_sql(socket_folder: Path) -> bool:
    try:
        psycopg.connect(
            host=str(socket_folder), user="postgres", dbname="postgres", connect_timeout=2
        ).close()
    except psycopg.OperationalError:
        return False
    return True


def answers_http(host: str, port: int, path: str) -> bool:
    """True for any reply that is not a server error: a refusal also shows that the application is up."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
