// Answers +PONG to each line, as Node's documentation has one read lines. The port is the argument.
import net from "node:net";
import readline from "node:readline";

net.createServer((socket) => {
  socket.setNoDelay(true);
  socket.on("error", () => {});
  const lines = readline.createInterface({ input: socket });
  lines.on("error", () => {});
  lines.on("line", () => socket.write("+PONG\r\n"));
}).listen(Number(process.argv[2]), "127.0.0.1");
