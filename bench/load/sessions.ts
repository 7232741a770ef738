// Opens many connections, prints a line, and for each line of its input lets so many more come and go.

const [port, open, perSecond] = Deno.args.map(Number) as [number, number, number];
/** An address of loopback has 28,000 ports, and each is taken for a minute after its connection was closed. */
const ADDRESSES = 64;
/** How many connections are being opened at the same time at first. */
const AT_ONCE = 100;
/** How often some are opened, in milliseconds. */
const PERIOD = 10;

let dialled = 0;

/** Opens a connection, and waits for the greeting. */
async function dial(): Promise<Deno.Conn> {
  const connection = await Deno.connect({ hostname: `127.0.0.${dialled++ % ADDRESSES + 1}`, port });
  await connection.read(new Uint8Array(64));
  return connection;
}

async function comeAndGo(count: number): Promise<void> {
  const start = performance.now();
  const all: Promise<void>[] = [];
  while (all.length < count) {
    const due = Math.min(count, Math.floor((performance.now() - start) * perSecond / 1000) + 1);
    while (all.length < due) all.push(dial().then((connection) => connection.close()));
    await new Promise((resolve) => setTimeout(resolve, PERIOD));
  }
  await Promise.all(all);
}

const kept: Deno.Conn[] = [];
while (kept.length < open) {
  const batch = Array.from({ length: Math.min(AT_ONCE, open - kept.length) }, dial);
  kept.push(...await Promise.all(batch));
}
console.log("open");
for await (const line of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  await comeAndGo(Number(line));
  console.log("gone");
}
