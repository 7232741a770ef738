// Answers +PONG to each line, split and gathered by hand. The port is the argument.
const listener = Deno.listen({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
const decoder = new TextDecoder();
const encoder = new TextEncoder();

for await (const connection of listener) serve(connection);

async function serve(connection: Deno.TcpConn): Promise<void> {
  connection.setNoDelay(true);
  const input = new Uint8Array(4096);
  const output = new Uint8Array(4096);
  let end = 0;
  for (;;) {
    const count = await connection.read(input.subarray(end)).catch(() => null);
    if (count === null) return connection.close();
    end += count;
    let start = 0;
    let written = 0;
    for (let at = input.indexOf(10); at >= 0 && at < end; at = input.indexOf(10, start)) {
      decoder.decode(input.subarray(start, at));
      written += encoder.encodeInto("+PONG\r\n", output.subarray(written)).written;
      start = at + 1;
    }
    input.copyWithin(0, start, end);
    end -= start;
    for (let rest = output.subarray(0, written); rest.length > 0;) {
      rest = rest.subarray(await connection.write(rest));
    }
  }
}
