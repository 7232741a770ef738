import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  makeSystemErrors,
  type SystemErrors,
  systemErrors,
} from "../../_internal/system_error_classes.ts";
import { systemError } from "../../_internal/system_errors.ts";

const own = makeSystemErrors();
const names = Object.keys(own) as (keyof SystemErrors)[];

Deno.test("systemErrors is Deno.errors on Deno", { permissions: "none" }, () => {
  for (const name of names) assertEquals(systemErrors[name], Deno.errors[name]);
});

Deno.test("makeSystemErrors() makes the same classes as Deno's", { permissions: "none" }, () => {
  for (const name of names) {
    const cause = new Error("why");
    const [ours, denos] = [own[name], Deno.errors[name]].map((Class) => {
      const error = new Class("what", { cause });
      assertInstanceOf(error, Class);
      assertInstanceOf(error, Error);
      return [Class.name, error.name, error.message, error.cause, String(error)];
    });
    assertEquals(ours, denos);
    assert(names.every((other) => (new own[name]("x") instanceof own[other]) === (name === other)));
  }
});

Deno.test(
  "makeSystemErrors() gives errors the code of their class",
  { permissions: "none" },
  () => {
    const codes = [
      "EACCES",
      "EADDRINUSE",
      "EADDRNOTAVAIL",
      "EAGAIN",
      "ECONNABORTED",
      "ECONNREFUSED",
    ];
    codes.push("ECONNRESET", "EINTR", "ENOENT", "ENOTCONN", "EPIPE", "ETIMEDOUT");
    for (const code of codes) {
      const { name } = systemError(code, "x") as { name: keyof SystemErrors };
      assertEquals((new own[name]("x") as { code?: string }).code, code);
    }
    assertEquals(Object.hasOwn(new own.BadResource("x"), "code"), false);
  },
);
