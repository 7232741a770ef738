"""The same with a thread for each connection, over Python's socket.

    python3 bench/servers/threads.py SERVICE PORT
"""

import socket
import sys
import threading


def echo(connection):
    while data := connection.recv(64 * 1024):
        connection.sendall(data)


def lines(connection):
    reader = connection.makefile("r", encoding="utf-8", newline="\n")
    writer = connection.makefile("w", encoding="utf-8", newline="\n")
    with reader, writer:
        for line in reader:
            writer.write(line)
            writer.flush()


def greeting(connection):
    connection.sendall(b"welcome!")
    while data := connection.recv(1024):
        name = data.decode()
        if name == "exit":
            return
        connection.sendall(f"hello, {name}!".encode())


def serve(service, connection):
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            service(connection)
        except ConnectionError:
            pass


service, port = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", int(port)), backlog=511)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(globals()[service], connection), daemon=True).start()
