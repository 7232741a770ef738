// The example of MQTT with the clients of others: mosquitto_pub, mosquitto_sub, and mqtt of npm.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { serveMqtt } from "../../examples/mqtt/server.ts";
import type { Server } from "../../mod.ts";
import { MqttPeer } from "../_mqtt.ts";
import { hasNats, startNats } from "../_nats.ts";
import { canRun } from "../_permissions.ts";
import { cannotStart, Program, start } from "../_programs.ts";
import { bounded, overNet, portOf, until } from "../_serving.ts";

/** QoS, whether it was retained, topic and payload. */
const SHOWN = ["-F", "> %q %r %t %p"];

const withMosquitto = {
  ...overNet,
  ignore: overNet.ignore || !await canRun("mosquitto_pub") || !await hasMosquitto(),
};

async function hasMosquitto(): Promise<boolean> {
  try {
    const { stdout } = await new Deno.Command("mosquitto_pub", { args: ["--version"] }).output();
    return new TextDecoder().decode(stdout).startsWith("mosquitto_pub version");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function publish(port: number, ...args: string[]): Promise<void> {
  await using program = new Program("mosquitto_pub", ["-p", `${port}`, ...args]);
  assertEquals(await program.ended(), { code: 0, stdout: "", stderr: "" });
}

function subscriber(port: number, ...args: string[]): Program {
  return new Program("mosquitto_sub", ["-p", `${port}`, ...args]);
}

/** Starts a subscriber, and waits until it has subscribed: then it is sent what is retained. */
async function subscribe(port: number, ...args: string[]): Promise<Program> {
  await publish(port, "-t", "ready", "-m", "x", "-r");
  const program = subscriber(port, "-t", "ready", ...args, ...SHOWN);
  await program.stdout.until(/ready x\n/);
  return program;
}

/** What a subscriber has been sent since. */
function messagesOf({ stdout }: Program): string[] {
  return stdout.text.split("\n").slice(1, -1);
}

function serveBroker(): { server: Server; port: number; errors: unknown[] } {
  const errors: unknown[] = [];
  const server = serveMqtt({ port: 0, onError: (error) => errors.push(error) });
  return { server, port: portOf(server), errors };
}

Deno.test("mqtt() serves mosquitto_sub and mosquitto_pub", withMosquitto, async () => {
  const { server, port, errors } = serveBroker();
  await using _ = server;
  const filters = ["-t", "garden/+/x", "-t", "shed/#"];
  await using sub = await subscribe(port, "-q", "1", ...filters);
  await publish(port, "-t", "garden/rose/x", "-m", "one");
  await publish(port, "-t", "garden/rose/x", "-m", "two", "-q", "1");
  await publish(port, "-t", "garden/rose", "-m", "to nobody", "-q", "1");
  await publish(port, "-t", "shed", "-m", "kept", "-q", "1", "-r");
  await publish(port, "-t", "shed/a/b", "-n");
  await sub.stdout.until(/> 0 0 shed\/a\/b \n/);
  assertEquals(messagesOf(sub), [
    ...["> 0 0 garden/rose/x one", "> 1 0 garden/rose/x two", "> 1 0 shed kept", "> 0 0 shed/a/b "],
  ]);
  await using late = subscriber(port, "-t", "shed/#", "-q", "0", ...SHOWN, "-C", "1");
  assertEquals(await late.ended(), { code: 0, stdout: "> 0 1 shed kept\n", stderr: "" });
  await publish(port, "-t", "shed", "-n", "-r");
  await using none = subscriber(port, "-t", "#", ...SHOWN, "-E");
  assertEquals(await none.ended(), { code: 0, stdout: "", stderr: "" });
  assertEquals(errors, []);
});

Deno.test("mqtt() serves mosquitto_pub many lines at once", withMosquitto, async () => {
  const { server, port } = serveBroker();
  await using _ = server;
  await using sub = await subscribe(port, "-t", "a", "-q", "1");
  await using pub = new Program("mosquitto_pub", ["-p", `${port}`, "-t", "a", "-q", "1", "-l"]);
  for (let i = 0; i < 500; i++) await pub.type(`${i}\n`);
  await pub.endInput();
  assertEquals((await pub.ended()).code, 0);
  await sub.stdout.until(/> 1 0 a 499\n/);
  assertEquals(messagesOf(sub), Array.from({ length: 500 }, (_, i) => `> 1 0 a ${i}`));
});

Deno.test("mqtt() keeps messages for a mosquitto_sub that is away", withMosquitto, async () => {
  const { server, port } = serveBroker();
  await using _ = server;
  const args = ["-i", "rose", "-c", "-t", "a", "-q", "1", ...SHOWN];
  await using first = subscriber(port, ...args, "-E");
  assertEquals((await first.ended()).code, 0);
  for (const text of ["one", "two"]) await publish(port, "-t", "a", "-m", text, "-q", "1");
  await publish(port, "-t", "a", "-m", "not this one");
  await using second = subscriber(port, ...args, "-C", "2");
  assertEquals(await second.ended(), { code: 0, stdout: "> 1 0 a one\n> 1 0 a two\n", stderr: "" });
});

Deno.test(
  "mqtt() publishes the will of a mosquitto_sub that is killed",
  withMosquitto,
  async () => {
    const { server, port } = serveBroker();
    await using _ = server;
    const will = ["--will-topic", "will", "--will-payload", "gone", "--will-qos", "1"];
    await using witness = await MqttPeer.enter(port);
    await witness.subscribe(["will", 1]);
    await using leaver = await subscribe(port, "-t", "a", ...will);
    leaver.kill("SIGINT"); // on which it says goodbye
    await leaver.ended();
    await until(() => server.sessions.size === 1);
    assertEquals(await witness.readAll(), []);
    await using killed = await subscribe(port, "-t", "a", ...will, "--will-retain");
    killed.kill("SIGKILL");
    assertEquals(await witness.read(), "publish1 1 will: gone");
    await using late = await MqttPeer.enter(port);
    await late.subscribe(["will", 0]);
    assertEquals(await late.readAll(), ["publish0 retain will: gone"]);
  },
);

Deno.test("mqtt() refuses mosquitto_pub in other versions", withMosquitto, async () => {
  const { server, port } = serveBroker();
  await using _ = server;
  for (const version of ["mqttv31", "mqttv5"]) {
    const args = ["-p", `${port}`, "-V", version, "-i", "rose", "-t", "a", "-m", "x"];
    await using program = new Program("mosquitto_pub", args);
    const { code, stderr } = await program.ended();
    assert(code !== 0);
    assertMatch(stderr, /protocol/i);
  }
});

const withDeno = { ...bounded, ignore: cannotStart };

Deno.test("mqtt() serves the client mqtt of npm", withDeno, async () => {
  const { server, port, errors } = serveBroker();
  await using _ = server;
  const args = ["run", "--quiet", "--allow-all", "tests/_mqtt_client.ts", `${port}`];
  await using program = new Program("deno", args, { NO_COLOR: "1" });
  const { code, stdout, stderr } = await program.ended();
  assertEquals([code, stdout], [
    0,
    "QoS 0\nQoS 1\nlarge ones\nretained\npersistent\nwill\n",
  ], stderr);
  assertEquals(errors, []);
});

Deno.test("examples/mqtt runs, and drains when it is told to stop", withDeno, async () => {
  await using example = start("examples/mqtt/server.ts", "0");
  const [, port] = await example.stdout.until(/ready for MQTT clients on 127\.0\.0\.1:(\d+)\n/);
  await using peer = await MqttPeer.enter(Number(port));
  await peer.subscribe(["a", 0]);
  example.kill("SIGTERM");
  assertEquals(await peer.read(), undefined);
  await peer.session.close();
  assertEquals((await example.ended()).code, 0);
});

async function startAt(url: string): Promise<{ program: Program; port: number }> {
  const program = start("examples/mqtt/server.ts", "0", url);
  const [, port] = await program.stdout.until(/ready for MQTT clients on 127\.0\.0\.1:(\d+)\n/);
  return { program, port: Number(port) };
}

Deno.test(
  "examples/mqtt is one broker over two processes at a NATS server",
  { ...withMosquitto, ignore: withMosquitto.ignore || cannotStart || !hasNats },
  async () => {
    const nats = await startNats();
    await using _nats = nats.program;
    const url = `nats://127.0.0.1:${nats.port}`;
    const [here, there] = await Promise.all([startAt(url), startAt(url)]);
    await using _here = here.program;
    await using _there = there.program;

    const filters = ["-t", "garden/+/x", "-t", "shed/#"];
    await using sub = await subscribe(there.port, "-q", "1", ...filters);
    await using own = await subscribe(here.port, "-q", "1", ...filters);
    // The process subscribes at the server in its own time.
    while (!sub.stdout.text.includes("begin")) {
      await publish(here.port, "-t", "shed", "-m", "begin");
    }
    await publish(here.port, "-t", "garden/rose/x", "-m", "one");
    await publish(here.port, "-t", "garden/rose/x", "-m", "two", "-q", "1");
    await publish(here.port, "-t", "garden/rose", "-m", "to nobody", "-q", "1");
    await publish(here.port, "-t", "shed/a", "-m", "kept", "-q", "1", "-r");
    await publish(here.port, "-t", "shed/a/b", "-n");
    for (const { stdout } of [sub, own]) await stdout.until(/> 0 0 shed\/a\/b \n/);
    for (const one of [sub, own]) {
      assertEquals(messagesOf(one).filter((line) => !/ready|begin/.test(line)), [
        ...["> 0 0 garden/rose/x one", "> 1 0 garden/rose/x two", "> 1 0 shed/a kept"],
        "> 0 0 shed/a/b ",
      ]);
    }

    await using late = subscriber(there.port, "-t", "shed/#", "-q", "0", ...SHOWN, "-C", "1");
    assertEquals(await late.ended(), { code: 0, stdout: "> 0 1 shed/a kept\n", stderr: "" });

    await publish(there.port, "-t", "shed", "-m", "back", "-q", "1");
    await own.stdout.until(/> 1 0 shed back\n/);

    for (const { program } of [here, there]) program.kill("SIGTERM");
    for (const one of [sub, own]) one.kill("SIGINT");
    for (const { program } of [here, there]) {
      const { code, stderr } = await program.ended();
      assertEquals([code, stderr], [0, ""]);
    }
  },
);
