import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Ended, Program } from "../../_programs.ts";
import { moduleIn, withHolder } from "../../_holder.ts";
import { makeTempDir, type TempDir } from "../../_temp_dir.ts";

// A service manager. It prints what it is told, and ends the standard input of the service once its watchdog was told often.
const MANAGER = `
import json, os, socket, subprocess, sys
address, env, command = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.bind(address.replace("@", "\\0"))
told.settimeout(0.05)
os.environ.update({"NOTIFY_SOCKET": address, **env})
service = subprocess.Popen(command, stdin=subprocess.PIPE)
if os.environ["NOTIFY_SOCKET"] == "":
    service.stdin.close()
messages = []
while True:
    try:
        messages.append(told.recv(5000).decode())
        if messages.count("WATCHDOG=1") == 5:
            service.stdin.close()
    except TimeoutError:
        if service.poll() is not None:
            break
print(json.dumps(list(dict.fromkeys(messages))))
sys.exit(service.returncode)
`;

const ENV = "--allow-env=NOTIFY_SOCKET,WATCHDOG_USEC,WATCHDOG_PID";

/** Runs a service below it. Its standard output is that of the service, and then the different messages. */
async function managed(
  address: string,
  command: string[],
  env: Record<string, string> = {},
): Promise<Ended> {
  const args = ["-c", MANAGER, address, JSON.stringify(env), ...command];
  await using program = new Program("python3", args, { NO_COLOR: "1" });
  return await program.ended();
}

const SERVICE = `
  import { serviceNotifier } from "library/transport/systemd/notifier.ts";
  const notifier = serviceNotifier();
  await notifier.status("rosé");
  await notifier.ready();
  await notifier.reloading();
  await notifier.ready();
  for await (const _ of Deno.stdin.readable); // until the watchdog was told
  await notifier.stopping();
  notifier.close();
  notifier.close();
  await notifier.status("later");
  console.log(notifier.isWanted);
`;

/** The command of a service that tells everything. */
async function serviceIn(dir: TempDir, ...flags: string[]): Promise<string[]> {
  return await moduleIn(dir, SERVICE, ...flags);
}

for (const kind of ["a path", "an abstract name"]) {
  Deno.test(
    `serviceNotifier() tells systemd at ${kind} about the service`,
    withHolder,
    async () => {
      await using dir = await makeTempDir();
      const address = kind === "a path" ? `${dir.path}/notify` : `@parley-${crypto.randomUUID()}`;
      const write = kind === "a path" ? [`--allow-write=${address}`] : [];
      const command = await serviceIn(dir, "--unstable-net", ENV, "--allow-net", ...write);
      const { code, stdout, stderr } = await managed(address, command, { WATCHDOG_USEC: "20000" });
      const messages = ["STATUS=rosé", "READY=1", "RELOADING=1", "WATCHDOG=1", "STOPPING=1"];
      assertEquals([code, stderr], [0, ""]);
      const [isWanted, told] = stdout.trimEnd().split("\n");
      assertEquals([isWanted, JSON.parse(told!)], ["true", messages]);
    },
  );
}

const REFUSALS: [what: string, flags: string[], env: Record<string, string>, problem: string][] = [
  ["no --unstable-net", ["-A"], {}, "needs --unstable-net in Deno: add it, or use Type=exec"],
  ["a VSOCK address", ["-A"], { NOTIFY_SOCKET: "vsock:2:1" }, "NOTIFY_SOCKET must be a path, or @"],
  ["a bare @", ["-A"], { NOTIFY_SOCKET: "@" }, "NOTIFY_SOCKET must be a path, or @"],
  ["no number", ["-A"], { WATCHDOG_USEC: "soon" }, "WATCHDOG_USEC must be at least 2000 micro"],
  ["a time too short", ["-A"], { WATCHDOG_USEC: "10" }, "WATCHDOG_USEC must be at least 2000"],
  ["no --allow-env", [], {}, 'Requires env access to "NOTIFY_SOCKET"'],
  ["no --allow-net", ["--unstable-net", ENV], {}, "Requires net access"],
  ["no --allow-write", ["--unstable-net", ENV, "--allow-net"], {}, "Requires write access"],
];
for (const [what, flags, env, problem] of REFUSALS) {
  Deno.test(`serviceNotifier() refuses ${what}`, withHolder, async () => {
    await using dir = await makeTempDir();
    const command = await serviceIn(dir, ...flags);
    const { code, stdout, stderr } = await managed(`${dir.path}/notify`, command, env);
    assertEquals([code, stdout], [1, "[]\n"]);
    assertStringIncludes(stderr, problem);
  });
}

Deno.test("serviceNotifier() does nothing unless it is wanted", withHolder, async () => {
  await using dir = await makeTempDir();
  const command = await serviceIn(dir, ENV);
  const env = { NOTIFY_SOCKET: "", WATCHDOG_USEC: "soon" };
  const { code, stdout, stderr } = await managed(`${dir.path}/notify`, command, env);
  assertEquals([code, stdout, stderr], [0, "false\n[]\n", ""]);
});

Deno.test(
  "serviceNotifier() leaves the watchdog to the process it is for",
  withHolder,
  async () => {
    await using dir = await makeTempDir();
    const command = await moduleIn(
      dir,
      `
    import { serviceNotifier } from "library/transport/systemd/notifier.ts";
    using notifier = serviceNotifier();
    await notifier.ready();
    await new Promise((resolve) => setTimeout(resolve, 100));
  `,
      ...["--unstable-net", "-A"],
    );
    const env = { WATCHDOG_USEC: "2000", WATCHDOG_PID: "1" };
    const { code, stdout, stderr } = await managed(`${dir.path}/notify`, command, env);
    assertEquals([code, stdout, stderr], [0, '["READY=1"]\n', ""]);
  },
);

for (const how of ["onError", "an uncaught error"]) {
  Deno.test(
    `serviceNotifier() reports by ${how} that it cannot tell the watchdog`,
    withHolder,
    async () => {
      await using dir = await makeTempDir();
      const address = `${dir.path}/notify`;
      const onError = how === "onError" ? "{ onError }" : "";
      const command = await moduleIn(
        dir,
        `
      import { serviceNotifier } from "library/transport/systemd/notifier.ts";
      const { promise, resolve } = Promise.withResolvers();
      const onError = (error) => resolve(error.name);
      const notifier = serviceNotifier(${onError});
      await notifier.ready();
      await Deno.remove(${JSON.stringify(address)});
      const timer = setTimeout(() => {}, 60_000);
      console.log(await promise);
      clearTimeout(timer);
      notifier.close();
    `,
        ...["--unstable-net", "-A"],
      );
      const { code, stdout, stderr } = await managed(address, command, { WATCHDOG_USEC: "2000" });
      const isCaught = how === "onError";
      assertEquals([code, stdout.startsWith("NotFound\n")], [isCaught ? 0 : 1, isCaught]);
      if (!isCaught) assertMatch(stderr, /NotFound/);
    },
  );
}

Deno.test("ServiceNotifier.status() takes one line that is not too long", withHolder, async () => {
  await using dir = await makeTempDir();
  const command = await moduleIn(
    dir,
    `
    import { serviceNotifier } from "library/transport/systemd/notifier.ts";
    using notifier = serviceNotifier();
    for (const text of ["a\\nREADY=1", 5, "x".repeat(4090), "x".repeat(4089)]) {
      await notifier.status(text).catch((error) => console.log(error.name, error.message));
    }
  `,
    ...["--unstable-net", "-A", "--no-check"],
  );
  const { code, stdout, stderr } = await managed(`${dir.path}/notify`, command);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.split("\n"), [
    'TypeError a status must be one line of text, got "a\\nREADY=1"',
    "TypeError a status must be one line of text, got 5",
    "RangeError a message to systemd has at most 4096 bytes, got 4097",
    JSON.stringify([`STATUS=${"x".repeat(4089)}`]),
    "",
  ]);
});
