import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Link, LinkedList } from "../../_internal/linked_list.ts";

Deno.test("LinkedList keeps the order and removes any value", { permissions: "none" }, () => {
  const step = fc.oneof(
    fc.constant("push" as const),
    fc.constant("shift" as const),
    fc.constant("unshift" as const),
    fc.nat(), // takes out one that was pushed, there or not
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const list = new LinkedList<number>();
    const links: Link<number>[] = [];
    let model: number[] = [];
    for (const step of steps) {
      if (step === "push") {
        model.push(links.length);
        links.push(list.push(links.length));
      } else if (step === "unshift") {
        model.unshift(links.length);
        links.push(list.unshift(links.length));
      } else if (step === "shift") assertEquals(list.shift(), model.shift());
      else if (links.length > 0) {
        const link = links[step % links.length]!;
        list.remove(link);
        model = model.filter((value) => value !== link.value);
      }
      const { length, first, last } = list;
      assertEquals([...list], model);
      assertEquals([list.values(), length, first, last], [
        model,
        model.length,
        model[0],
        model.at(-1),
      ]);
    }
  }));
});
