import { attempt } from "../_internal/attempt.ts";
import type { PreparedMessage, Session } from "../session.ts";
import type { Group } from "./group.ts";
import type { HubTracer } from "./options.ts";

/** A message on its way to the members of a group. */
type Delivery = [
  group: Group,
  message: PreparedMessage,
  key: string,
  except: Session | undefined,
  traceparent: string | undefined,
];

/** What deliveries need of the hub. */
export interface DeliveryHooks {
  readonly tracer: HubTracer | undefined;
  isMember(session: Session, group: Group): boolean;
  onError(error: unknown): void;
}

/** Delivers messages to the members in this process. */
export class Deliveries {
  readonly #hooks: DeliveryHooks;
  /** Those that began while another one went on. */
  #waiting: Delivery[] = [];
  #isDelivering = false;
  /** To how many sessions messages have gone, together. */
  count = 0;

  constructor(hooks: DeliveryHooks) {
    this.#hooks = hooks;
  }

  /** A session that ends meanwhile may lead to another message, which must not overtake this one. */
  deliver(...delivery: Delivery): void {
    if (this.#isDelivering) return void this.#waiting.push(delivery);
    this.#isDelivering = true;
    try {
      this.#deliver(...delivery);
      for (const next of this.#waiting) this.#deliver(...next);
    } finally {
      if (this.#waiting.length > 0) this.#waiting = [];
      this.#isDelivering = false;
    }
  }

  #deliver(...[group, message, key, except, traceparent]: Delivery): void {
    if (traceparent !== undefined) this.#trace(group, except, traceparent);
    this.count += group.members.size;
    if (except !== undefined && this.#hooks.isMember(except, group)) this.count--;
    if (group.policy === "end") {
      for (const { session } of group.receivers) {
        if (session !== except) session.send(message);
      }
    } else {
      for (const member of group.receivers) {
        if (member.session !== except) member.deliver(group, message, key);
      }
    }
  }

  #trace(group: Group, except: Session | undefined, traceparent: string): void {
    const { tracer, onError } = this.#hooks;
    for (const { session } of group.receivers) {
      if (session === except) continue;
      attempt(() => tracer!.onDelivery(session, group.name, traceparent), onError);
    }
  }
}
