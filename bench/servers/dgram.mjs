// An echo of datagrams by hand, over `node:dgram`, for Node and for Deno. It prints its port. With `told`, each send has a
// callback, without which nobody learns which send has failed.

import dgram from "node:dgram";
import process from "node:process";

const onSent = process.argv[2] === "told" ? (error) => error && console.error(error) : undefined;
const socket = dgram.createSocket("udp4");
socket.on("message", (message, from) => socket.send(message, from.port, from.address, onSent));
socket.bind(0, "127.0.0.1", () => console.log(socket.address().port));
