import { assertEquals } from "@std/assert";
import { StreamCall } from "../../requests/call.ts";
import { bounded, clock } from "../_serving.ts";

Deno.test(
  "the deadline of a stream counts from the last step of either side",
  bounded,
  async () => {
    using time = clock();
    time.now = 1_000;
    const init = { message: "", id: undefined, isIdempotent: false, isLast: () => false };
    const call = new StreamCall<string, string>({ ...init, timeout: 500 }, undefined);
    assertEquals(call.deadline, 1_500);
    time.now = 1_200;
    const next = call.next();
    assertEquals(call.deadline, 1_700);
    time.now = 1_300;
    call.take("row");
    assertEquals([(await next).value, call.deadline, call.isBehind], ["row", 1_800, false]);
    call.take("row");
    time.now = 1_400;
    assertEquals([call.isBehind, call.deadline], [true, 1_800]);
    await call.next();
    assertEquals([call.isBehind, call.deadline], [false, 1_900]);
    const patient = new StreamCall<string, string>({ ...init, timeout: Infinity }, undefined);
    patient.take("row");
    assertEquals(patient.deadline, Infinity);
  },
);
