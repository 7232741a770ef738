// Requests to servers of other people, whose replies have several frames or are found in both ways.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { reconnect } from "../../connect/reconnect.ts";
import { RequestTimeoutError } from "../../errors.ts";
import { requests } from "../../requests/requests.ts";
import { type Frames, MessageQueue } from "../../session.ts";
import { askFor, hasNats, nats, type NatsCommand, type NatsFrame, startNats } from "../_nats.ts";
import { canNet } from "../_permissions.ts";
import { isInstalled, Program } from "../_programs.ts";
import { bounded } from "../_serving.ts";
import { collect } from "../_transports.ts";

Deno.test("requests() send a message by SMTP", {
  ...bounded,
  ignore: !canNet || !await isInstalled("aiosmtpd"),
}, async () => {
  const args = ["-n", "-d", "-d", "-u", "-l", "127.0.0.1:0", "-c", "aiosmtpd.handlers.Debugging"];
  await using program = new Program("aiosmtpd", [...args, "stdout"], { PYTHONUNBUFFERED: "1" });
  const [, port] = await program.stderr.until(/laddr=\('127.0.0.1', (\d+)\)/);
  await using session = await connect({ port: Number(port) });
  assert((await session.readLine())?.startsWith("220 "));
  await using smtp = requests(session.lines({ ending: "\r\n" }), {
    isLast: (line) => line[3] !== "-",
  });
  const features = await smtp.request("EHLO client.example");
  assert(features[0]!.startsWith("250-"), features[0]);
  assert(features.length > 2 && features.includes("250-SMTPUTF8"), `${features}`);
  const accepted = await Promise.all([ // pipelined
    smtp.request("MAIL FROM:<rose@client.example>"),
    smtp.request("RCPT TO:<think@mail.example>"),
    smtp.request("DATA"),
  ]);
  assertEquals(accepted.map(([line]) => line!.slice(0, 3)), ["250", "250", "354"]);
  await session.send("Subject: hello\r\n\r\nhello, think!\r\n");
  assertEquals((await smtp.request("."))[0]!.slice(0, 3), "250");
  assertEquals(await collect(smtp.stream("QUIT")), ["221 Bye"]);
  await program.stdout.until(/hello, think!/);
});

Deno.test("requests() to NATS go by id, and pings in order", {
  ...bounded,
  ignore: !hasNats,
}, async () => {
  const { program, port } = await startNats();
  await using _ = program;
  const dial = async () => {
    const session = await connect({ port });
    const frames = session.frames(nats);
    assertEquals((await frames.read())?.words[0], "INFO");
    await frames.send({ line: 'CONNECT {"verbose":false,"pedantic":false}' });
    const news = new MessageQueue<NatsFrame>();
    const rpc = requests(frames, {
      requestId: ({ inbox }) => inbox,
      replyId: ({ words }) => words[0] === "MSG" ? words[1] : undefined,
      isReply: ({ words }) => words[0] === "PONG",
      onUnmatched: (frame) => void news.push(frame),
    });
    return { session, frames, rpc, news };
  };
  const [server, client] = await Promise.all([dial(), dial()]);

  await server.frames.send({ line: "SUB double 1" });
  assertEquals((await server.rpc.request({ line: "PING" })).words, ["PONG"]);
  const serving = (async () => {
    for await (const { words: [, , , inbox], payload } of server.news) {
      const reply = `${2 * Number(payload)}`;
      await server.frames.send({ line: `PUB ${inbox} ${reply.length}`, payload: reply });
    }
  })();

  await client.frames.send({ line: "SUB inbox.* 2" });
  const asked = Array.from({ length: 500 }, (_, number) => [
    client.rpc.request(askFor("double", `inbox.${number}`, `${number}`)),
    client.rpc.request({ line: "PING" }),
  ]);
  for (const [number, [doubled, pong]] of asked.entries()) {
    assertEquals((await doubled!).payload, `${2 * number}`);
    assertEquals((await pong!).words, ["PONG"]);
  }
  const nobody = client.rpc.request(askFor("nobody", "inbox.x", ""), { timeout: 10 });
  await assertRejects(() => nobody, RequestTimeoutError);
  assertEquals([client.rpc.inFlight, client.news.length], [0, 0]);

  server.news.close();
  await serving;
  for (const { rpc, session } of [client, server]) {
    await rpc.close();
    await session.close();
  }
});

Deno.test("requests() of a client survive a NATS server that is killed", {
  ...bounded,
  ignore: !hasNats,
}, async () => {
  let { program, port } = await startNats();
  const over = (subject: string) => {
    const news = new MessageQueue<NatsFrame>();
    const client = reconnect({
      port,
      minDelay: 1,
      maxDelay: 20,
      async setUp(session): Promise<Frames<NatsFrame, NatsCommand>> {
        const frames = session.frames(nats);
        assertEquals((await frames.read())?.words[0], "INFO");
        await frames.send({ line: 'CONNECT {"verbose":false,"pedantic":false}' });
        await frames.send({ line: `SUB ${subject} 1` });
        await frames.send({ line: "PING" });
        assertEquals((await frames.read())?.words, ["PONG"]);
        return frames;
      },
    });
    const rpc = requests(client, {
      requestId: ({ inbox }) => inbox,
      replyId: ({ words }) => words[0] === "MSG" ? words[1] : undefined,
      isReply: ({ words }) => words[0] === "PONG",
      onUnmatched: (frame) => void news.push(frame),
    });
    return { client, rpc, news };
  };
  const [server, client] = [over("double"), over("inbox.*")];
  const serving = (async () => {
    for await (const { words, payload } of server.news) {
      if (words[0] !== "MSG") continue;
      const reply = `${2 * Number(payload)}`;
      const frames = await server.rpc.connected();
      await frames.send({ line: `PUB ${words[3]} ${reply.length}`, payload: reply })
        .catch(() => {}); // it will be asked again
    }
  })();
  // Of NATS, nobody knows whether there is anybody to answer: an ask that gets no reply is made again.
  let asks = 0;
  const double = async (number: number): Promise<string | undefined> => {
    for (;;) {
      const ask = askFor("double", `inbox.${++asks}`, `${number}`);
      try {
        return (await client.rpc.request(ask, { timeout: 200, idempotent: true })).payload;
      } catch (error) {
        if (!(error instanceof RequestTimeoutError)) throw error;
      }
    }
  };
  for (let round = 0; round < 3; round++) {
    const before = Promise.all([1, 2, 3].map(double));
    await client.rpc.request({ line: "PING" }, { idempotent: true });
    program.kill("SIGKILL");
    await program[Symbol.asyncDispose]();
    const waiting = [4, 5, 6].map(double);
    const pong = client.rpc.request({ line: "PING" }, { idempotent: true });
    ({ program } = await startNats(port));
    assertEquals((await pong).words, ["PONG"]);
    assertEquals(await before, ["2", "4", "6"]);
    assertEquals(await Promise.all(waiting), ["8", "10", "12"]);
  }
  assert(client.client.session!.id > 3);
  server.news.close();
  await serving;
  for (const { rpc } of [client, server]) await rpc.close();
  await program[Symbol.asyncDispose]();
});
