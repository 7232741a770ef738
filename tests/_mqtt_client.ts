// The MQTT client of Node against the broker on the port that is given. Prints what went right, one line each; the first
// that goes wrong ends the program. It runs in a process of its own because it reads the environment and keeps timers.
//
//     deno run --allow-all tests/_mqtt_client.ts PORT

import { assertEquals } from "@std/assert";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";

const url = `mqtt://127.0.0.1:${Deno.args[0]}`;

async function enter(options: IClientOptions = {}): Promise<[MqttClient, string[]]> {
  const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  const got: string[] = []; // what was kept for it comes at once
  client.on("message", (topic, payload, { qos, retain, dup }) => {
    got.push(`${topic} ${payload} ${qos}${retain ? " retain" : ""}${dup ? " dup" : ""}`);
  });
  await new Promise((resolve) => client.once("connect", resolve));
  return [client, got];
}

async function until(got: string[], count: number): Promise<string[]> {
  while (got.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  return got.splice(0);
}

const [rose, roses] = await enter({ clientId: "rose", clean: false, keepalive: 1 });
const [think, thinks] = await enter({ protocolVersion: 4 });

for (const qos of [0, 1] as const) {
  const granted = await rose.subscribeAsync({ "garden/+/#": { qos }, "shed": { qos } });
  assertEquals(granted.map(({ qos }) => qos), [qos, qos]);
  await think.publishAsync("garden/bed/1", `at ${qos}`, { qos });
  await think.publishAsync("garden", "to nobody", { qos });
  await think.publishAsync("shed", `ä€🌹`, { qos });
  assertEquals(await until(roses, 2), [`garden/bed/1 at ${qos} ${qos}`, `shed ä€🌹 ${qos}`]);
  console.log(`QoS ${qos}`);
}

const large = "x".repeat(200_000);
for (let i = 0; i < 20; i++) {
  await think.publishAsync("shed", `${i} ${large}`, { qos: 1 });
  assertEquals(await until(roses, 1), [`shed ${i} ${large} 1`]);
}
console.log("large ones");

await think.publishAsync("garden/kept", "kept", { qos: 1, retain: true });
assertEquals(await until(roses, 1), ["garden/kept kept 1"]);
await think.subscribeAsync("garden/kept", { qos: 1 });
assertEquals(await until(thinks, 1), ["garden/kept kept 1 retain"]);
await think.unsubscribeAsync("garden/kept");
console.log("retained");

await rose.endAsync();
for (let i = 0; i < 50; i++) await think.publishAsync("shed", `while away ${i}`, { qos: 1 });
const [again, agains] = await enter({ clientId: "rose", clean: false });
assertEquals(
  await until(agains, 50),
  Array.from({ length: 50 }, (_, i) => `shed while away ${i} 1`),
);
console.log("persistent");

const [mortal] = await enter({ will: { topic: "shed", payload: "gone", qos: 1 } as never });
mortal.stream.destroy();
assertEquals(await until(agains, 1), ["shed gone 1"]);
console.log("will");

await Promise.all([again.endAsync(), think.endAsync()]);
assertEquals([roses, thinks, agains], [[], [], []]);
Deno.exit(0);
