import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { BaseHandler } from "@std/log/base-handler";
import { getLogger } from "@std/log/get-logger";
import { LogLevels } from "@std/log/levels";
import { LogRecord } from "@std/log/logger";
import { setup } from "@std/log/setup";

// What the stand-in has to do as the real package does.

class Collector extends BaseHandler {
  readonly lines: string[] = [];
  override log(line: string): void {
    this.lines.push(line);
  }
}

Deno.test("getLogger() gives what setup() has made", { permissions: "none" }, () => {
  const all = new Collector("NOTSET");
  const grave = new Collector("ERROR", {
    formatter: ({ loggerName, msg }) => `${loggerName}: ${msg}`,
  });
  setup({
    handlers: { all, grave },
    loggers: {
      default: { level: "DEBUG", handlers: ["all"] },
      service: { level: "WARN", handlers: ["all", "grave", "missing"] },
    },
  });
  getLogger().debug("begin");
  const service = getLogger("service");
  service.info("quiet");
  service.warn("odd");
  service.error("bad");
  service.critical("worse");
  getLogger("unknown").error("nobody hears it");
  assertEquals(all.lines, ["DEBUG begin", "WARN odd", "ERROR bad", "CRITICAL worse"]);
  assertEquals(grave.lines, ["service: bad", "service: worse"]);
});

Deno.test(
  "Logger asks a function for its message only if it is logged",
  { permissions: "none" },
  () => {
    const sink = new Collector("DEBUG");
    setup({ handlers: { sink }, loggers: { default: { level: "INFO", handlers: ["sink"] } } });
    const logger = getLogger();
    assertStrictEquals(logger.debug(() => 1), undefined);
    assertStrictEquals(logger.info(() => 2), 2);
    assertStrictEquals(logger.info("text"), "text");
    logger.info({ a: 1, b: "two", c: null });
    assertEquals(sink.lines, ["INFO 2", "INFO text", 'INFO {"a":1,"b":"two","c":null}']);
  },
);

Deno.test("setup() sets handlers up and destroys the last ones", { permissions: "none" }, () => {
  const seen: string[] = [];
  class Watched extends Collector {
    override setup(): void {
      seen.push("setup");
    }
    override destroy(): void {
      seen.push("destroy");
    }
  }
  setup({ handlers: { one: new Watched("INFO") } });
  setup({ handlers: { two: new Watched("INFO") } });
  assertEquals(seen, ["setup", "destroy", "setup"]);
});

Deno.test("LogRecord keeps what was logged, and when", { permissions: "none" }, () => {
  const args = [{ id: 1 }];
  const before = Date.now();
  const record = new LogRecord({ msg: "hello", args, level: LogLevels.WARN, loggerName: "x" });
  args.pop();
  record.datetime.setFullYear(1970);
  assertEquals([record.msg, record.levelName, record.loggerName], ["hello", "WARN", "x"]);
  assertEquals(record.args, [{ id: 1 }]);
  assert(record.datetime.getTime() >= before);
});

Deno.test("BaseHandler takes no level that does not exist", { permissions: "none" }, () => {
  assertThrows(() => new Collector("LOUD" as "INFO"), Error, "LOUD");
});
