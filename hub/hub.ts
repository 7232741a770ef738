import { attempt } from "../_internal/attempt.ts";
import { checkOptions, NO_OPTIONS } from "../_internal/options.ts";
import { GroupLimitError } from "../errors.ts";
import { prepare, type PreparedMessage, type Session } from "../session.ts";
import { bytesOf, PreparedMessage as Prepared } from "../session/prepared_message.ts";
import { Attendance } from "./attendance.ts";
import { type Clock, SYSTEM_CLOCK } from "./clock.ts";
import { Deliveries } from "./deliveries.ts";
import { Group, StoredGroup } from "./group.ts";
import { HistoryReader } from "./history.ts";
import { Link } from "./link.ts";
import { Member } from "./member.ts";
import { type Batch, copyOf, DATA, messagesOf, PRESENCE, TRACED } from "./message.ts";
import { checkName, personOf } from "./names.ts";
import { BEGINNING, EndedGaps, Gaps } from "./numbering.ts";
import {
  checkSession,
  type HubOptions,
  type HubSettings,
  type HubStats,
  JOIN_OPTIONS,
  type JoinOptions,
  type Person,
  PUBLISH_OPTIONS,
  type PublishFrameOptions,
  type PublishOptions,
  resolveHubOptions,
  sinceOf,
} from "./options.ts";
import { type Since, START } from "./position.ts";
import { errorPrinter } from "./print_errors.ts";
import { Replay } from "./replay.ts";
import { Subscriptions } from "./subscriptions.ts";
import { CONTEXT_SIZE, contextOf, isTraceparent, withContext } from "./trace_context.ts";

const DONE: Promise<void> = Promise.resolve();

/**
 * Groups of sessions that get what is published to the group: rooms of a chat, topics, tables of a game. A session can be
 * in many groups. With a {@linkcode Bus}, the groups reach over several processes and machines.
 *
 * A group begins with its first member and ends with its last. A session that ends leaves by itself.
 *
 * The messages of one hub to one group arrive in the order in which they were published, each at most once. If messages of
 * another process are lost, `onGap` is told.
 *
 * @example
 * ```ts
 * import { connect, type NetAddr, serve } from "@parley/tcp";
 * import { Hub } from "@parley/tcp/hub";
 * import { assertEquals } from "@std/assert";
 *
 * await using hub = new Hub();
 * await using server = serve({ port: 0 }, async (session) => {
 *   hub.join("hall", session);
 *   for await (const line of session.lines()) {
 *     hub.publish("hall", `${session.id}: ${line}\n`);
 *   }
 * });
 *
 * await using session = await connect({ port: (server.addr as NetAddr).port });
 * await session.send("hello\n");
 * assertEquals(await session.readLine(), "1: hello");
 * ```
 */
export class Hub implements AsyncDisposable {
  readonly #options: HubOptions & Required<Pick<HubOptions, "onError">>;
  readonly #settings: HubSettings;
  readonly #clock: Clock;
  readonly #link: Link | undefined;
  readonly #subscriptions: Subscriptions | undefined;
  readonly #history: HistoryReader | undefined;
  readonly #attendance: Attendance;
  readonly #deliveries: Deliveries;
  readonly #groups = new Map<string, Group>();
  readonly #endedGaps = new EndedGaps();
  readonly #members = new Map<Session, Member>();
  readonly #counts = { dropped: 0, replaced: 0 };
  #memberships = 0;
  #published = 0;
  #received = 0;
  #lost = 0;
  #ignored = 0;
  #errors = 0;
  #closed: Promise<void> | undefined;

  /**
   * Makes a hub without groups.
   *
   * @param options The bus, limits, and what happens to slow sessions.
   * @param clock Private to this package.
   * @throws {TypeError | RangeError} If an option is invalid.
   */
  constructor(options: HubOptions = {}, clock: Clock = SYSTEM_CLOCK) {
    this.#settings = resolveHubOptions(options);
    this.#options = { ...options, onError: options.onError ?? errorPrinter() };
    this.#clock = clock;
    const onError = (error: unknown): void => this.#onError(error);
    if (options.bus !== undefined) {
      this.#link = new Link(options.bus, { ...this.#settings, sender: randomSender() }, {
        now: () => clock.now(),
        soon: (call) => clock.soon(call),
        onBatch: (...batch) => this.#onBatch(...batch),
        onStateChange: (isReady) => this.#call(this.#options.onBusChange, isReady),
        onReconnect: () => this.#history?.recover(this.#groups.values()),
        onError,
      });
      this.#subscriptions = new Subscriptions(options.bus, onError);
      const { history } = options.bus;
      if (history !== undefined) {
        this.#history = new HistoryReader(this.#link, history, onError);
      }
    }
    this.#deliveries = new Deliveries({
      tracer: options.tracer,
      isMember: (session, group) => this.#members.get(session)?.groups.has(group) === true,
      onError,
    });
    this.#attendance = new Attendance(this.#settings, clock, this.#link, {
      onJoin: (...args) => this.#call(this.#options.onJoin, ...args),
      onLeave: (...args) => this.#call(this.#options.onLeave, ...args),
      onError,
    });
  }

  /**
   * Adds a session to a group. It leaves by itself when it ends. If it is in the group already, only what `options` say
   * changes. A session that has ended does not join.
   *
   * @param group The name of the group.
   * @param session The session.
   * @param options `id` and `info`: who the member is, for {@linkcode people}. `since` and `last`: what the session gets
   * of the history first, if it was not in the group.
   * @returns Resolves once messages of other processes arrive. Until the bus has subscribed to the group, those of this
   * process arrive only. With `since` or `last`, it resolves once the session has got what it has missed. It need not be
   * awaited, and never rejects.
   * @throws {GroupLimitError} If there are too many groups.
   * @throws {TypeError | RangeError} If the name is no text, empty or too long, an option is invalid, the bus has no history
   * for `since` and `last`, or the hub is closed.
   */
  join(group: string, session: Session, options: JoinOptions = NO_OPTIONS): Promise<void> {
    checkName("group", group, this.#settings);
    checkSession("session", session);
    checkOptions(options, JOIN_OPTIONS);
    const person = personOf(options, this.#settings);
    const since = sinceOf(options);
    if (since !== undefined && this.#history === undefined) {
      throw new TypeError("since and last need a bus with a history");
    }
    if (this.#closed !== undefined) throw new TypeError("the hub is closed");
    if (session.signal.aborted) return DONE;
    const known = this.#members.get(session);
    const { maxGroupsPerSession, maxWaiting } = this.#settings;
    const joined = this.#groups.get(group);
    if (known !== undefined) {
      if (joined?.members.has(known)) {
        if (person !== undefined) this.#attendance.of(joined).enter(known, person);
        return joined.subscribed;
      }
      if (known.groups.size >= maxGroupsPerSession) {
        throw new GroupLimitError("maxGroupsPerSession", maxGroupsPerSession);
      }
    }
    const entered = joined ?? this.#begin(group);
    const member = known ?? new Member(session, maxWaiting, this.#counts);
    if (known === undefined) {
      this.#members.set(session, member);
      session.signal.addEventListener("abort", member.onEnd = () => this.leaveAll(session));
    }
    entered.members.add(member);
    const replayed = since && this.#replay(entered, member, since);
    if (since === undefined) entered.receivers.add(member);
    member.groups.add(entered);
    this.#memberships++;
    if (person !== undefined) this.#attendance.of(entered).enter(member, person);
    return replayed ?? entered.subscribed;
  }

  /**
   * Removes a session from a group. If it is not in the group, nothing changes. Messages that already wait for a slow
   * session are still sent.
   *
   * @param group The name of the group.
   * @param session The session.
   */
  leave(group: string, session: Session): void {
    const member = this.#members.get(session);
    const left = this.#groups.get(group);
    if (member === undefined || left === undefined || !left.members.delete(member)) return;
    left.receivers.delete(member);
    left.replays?.get(member)?.stop();
    left.replays?.delete(member);
    member.groups.delete(left);
    this.#memberships--;
    if (member.groups.size === 0) {
      this.#members.delete(session);
      session.signal.removeEventListener("abort", member.onEnd!);
    }
    left.presence?.leave(member); // which calls onLeave(), where sessions may join and leave
    if (left.members.size === 0 && this.#groups.get(group) === left) this.#end(left);
  }

  /**
   * Removes a session from all its groups.
   *
   * @param session The session.
   */
  leaveAll(session: Session): void {
    for (const { name } of this.#members.get(session)?.groups ?? []) this.leave(name, session);
  }

  /**
   * Sends text or bytes to all members of a group, in all processes. They are encoded once for each process. The bus gets
   * them at the end of this turn of the event loop, together with what else the turn publishes to the group.
   *
   * @param group The name of the group.
   * @param message Text, bytes, or a message of `prepare()`.
   * @param options `except`: a session that does not get it. `key`: what it is about, for `conflate`.
   * @returns Whether other processes may get it: `false` if the bus is away and the backlog is full. What is lost later
   * counts as `unpublished` in {@linkcode stats}. The members in this process get it anyway. Always `true` without a bus.
   * @throws {TypeError | RangeError} If the name is no text, empty or too long, the message is no message or too large for
   * the bus, or the hub is closed.
   */
  publish(
    group: string,
    message: string | Uint8Array | PreparedMessage,
    options?: PublishOptions,
  ): boolean;
  /**
   * Sends a frame to all members of a group, in all processes.
   *
   * @param group The name of the group.
   * @param message The frame.
   * @param options `codec`: encodes the frame, once for each process. `except` and `key` as above.
   * @returns As above.
   * @throws What the codec throws if the frame cannot be encoded.
   */
  publish<Message>(group: string, message: Message, options: PublishFrameOptions<Message>): boolean;
  publish(
    group: string,
    message: unknown,
    options: Partial<PublishFrameOptions<unknown>> = NO_OPTIONS,
  ): boolean {
    checkName("group", group, this.#settings);
    checkOptions(options, PUBLISH_OPTIONS);
    const { except, key = "", codec } = options;
    if (key !== "") checkName("key", key, this.#settings);
    if (this.#closed !== undefined) throw new TypeError("the hub is closed");
    const prepared = prepareOnce(message, codec);
    // First to the others: a member that ends may publish that, which must not overtake this message.
    const traceparent = this.#options.tracer === undefined ? undefined : this.#traceparent(group);
    const payload = bytesOf(prepared);
    const isPublished =
      (traceparent === undefined
        ? this.#link?.publish(DATA, group, key, payload)
        : this.#link?.publish(TRACED, group, key, withContext(traceparent, payload))) ?? true;
    this.#published++;
    const local = this.#groups.get(group);
    if (local !== undefined) {
      if (local.replays !== undefined) {
        for (const replay of local.replays.values()) {
          replay.onPublish(this.#link!.last!, { message: prepared, key }, except);
        }
      }
      this.#deliveries.deliver(local, prepared, key, except, traceparent);
    }
    return isPublished;
  }

  /**
   * Where a session is in the history of a group: what others have published and was delivered to it comes before. Joined
   * with it as `since`, in any process, a session gets what comes after. Messages that this process has published just now
   * may not be stored yet, and would then come again.
   *
   * If it is sent to the client, within the messages, the client can go on from there after it has lost its connection.
   *
   * @param group The name of the group.
   * @param session The session.
   * @returns The position, at most 41 characters: digits, and a hyphen. `undefined` if the session is not in the group, the
   * bus has no history, or has not answered yet.
   */
  position(group: string, session: Session): string | undefined {
    const joined = this.#groups.get(group);
    const member = this.#members.get(session);
    if (joined === undefined || member === undefined || !joined.members.has(member)) return;
    const { position } = joined.replays?.get(member) ?? joined.timeline ?? {};
    return position === START ? undefined : position; // nothing was sent yet
  }

  /**
   * The members of a group in this process.
   *
   * @param group The name of the group.
   * @returns The sessions, in the order in which they have joined.
   */
  *members(group: string): Generator<Session, void, void> {
    for (const { session } of this.#groups.get(group)?.members ?? []) yield session;
  }

  /**
   * The number of members of a group in this process.
   *
   * @param group The name of the group.
   * @returns The number, 0 if there is no such group.
   */
  size(group: string): number {
    return this.#groups.get(group)?.members.size ?? 0;
  }

  /**
   * Who is in a group, in all processes, by the `id` and `info` of {@linkcode join}. The hub knows it while the group has
   * members here: some milliseconds after the first one has joined, and later than the other process by as much.
   *
   * @param group The name of the group.
   * @returns The people, each once.
   */
  *people(group: string): Generator<Person, void, void> {
    yield* this.#groups.get(group)?.presence?.people ?? [];
  }

  /**
   * A person of {@linkcode people}.
   *
   * @param group The name of the group.
   * @param id Who it is.
   * @returns The person, `undefined` if it is not in the group.
   */
  person(group: string, id: string): Person | undefined {
    return this.#groups.get(group)?.presence?.people.get(id);
  }

  /**
   * The groups of a session.
   *
   * @param session The session.
   * @returns Their names, in the order in which it has joined them.
   */
  *groupsOf(session: Session): Generator<string, void, void> {
    for (const { name } of this.#members.get(session)?.groups ?? []) yield name;
  }

  /**
   * How many messages a session did not get because it was slow, since it has joined its first group. Messages that a later
   * one has replaced count as well.
   *
   * @param session The session.
   * @returns The number, 0 if the session is in no group.
   */
  droppedOf(session: Session): number {
    return this.#members.get(session)?.dropped ?? 0;
  }

  /**
   * Figures.
   *
   * @returns What there is, and what has happened since the hub began.
   */
  stats(): HubStats {
    return {
      groups: this.#groups.size,
      sessions: this.#members.size,
      memberships: this.#memberships,
      published: this.#published,
      ...this.#counts,
      received: this.#received,
      delivered: this.#deliveries.count,
      lost: this.#lost,
      ignored: this.#ignored,
      unpublished: this.#link?.unpublished ?? 0,
      backlog: this.#link?.waitingSize ?? 0,
      isBusReady: this.#link?.isReady ?? true,
      errors: this.#errors,
    };
  }

  /**
   * Ends all groups and closes the bus. The sessions stay open.
   *
   * @returns Resolves once the bus is closed.
   */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  /** Closes the hub: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    for (const session of this.#members.keys()) this.leaveAll(session);
    this.#subscriptions?.close();
    await this.#link?.close();
  }

  #begin(name: string): Group {
    const { maxGroups } = this.#settings;
    if (this.#groups.size >= maxGroups) throw new GroupLimitError("maxGroups", maxGroups);
    const policy = this.#settings.policyOf(name);
    const group: Group = this.#history === undefined
      ? new Group(name, policy)
      : new StoredGroup(name, policy, this.#history, (...batch) => this.#receive(group, ...batch));
    this.#groups.set(name, group);
    if (this.#subscriptions === undefined) return group;
    const gaps = group.gaps = this.#endedGaps.take(name) ?? new Gaps();
    group.subscribed = this.#subscriptions.add(name).then(() => {
      if (this.#groups.get(name) !== group) return;
      gaps.subscribedAt = this.#clock.now();
      return group.timeline?.recover();
    }).catch((error) => this.#onError(error));
    const { onJoin, onLeave } = this.#options;
    if ((onJoin ?? onLeave) !== undefined) this.#attendance.of(group);
    return group;
  }

  #end(group: Group): void {
    this.#groups.delete(group.name);
    group.timeline?.end();
    this.#attendance.end(group);
    if (group.gaps !== undefined && group.gaps.size > 0) {
      this.#endedGaps.keep(group.name, group.gaps);
    }
    this.#subscriptions?.remove(group.name);
  }

  #onBatch(batch: Batch, position?: string, previous?: string): void {
    const group = this.#groups.get(batch.group);
    if (group === undefined) return; // its subscription has just ended
    const { kind, sender, content } = batch;
    if (kind === PRESENCE) {
      const isLate = (group.presenceGaps ??= new Gaps()).note(batch, this.#clock) < 0;
      if (isLate) return;
      for (const { payload } of messagesOf(content)) {
        this.#attendance.onMessage(group, sender, payload);
      }
    }
    if (kind !== DATA && kind !== TRACED) return;
    if (position === undefined || group.timeline === undefined) this.#receive(group, batch);
    else group.timeline.onBatch(batch, position, previous ?? START);
  }

  /** Messages of another hub are next. */
  #receive(group: Group, batch: Batch, isWhole = false): void {
    const { kind, number, count, content } = batch;
    const lost = group.gaps!.note(batch, isWhole ? BEGINNING : this.#clock);
    if (lost < 0) {
      this.#ignored += count;
      return;
    }
    this.#received += count;
    this.#lost += lost;
    if (lost > 0) this.#call(this.#options.onGap, group.name, number - lost, number - 1);
    for (const { key, payload } of messagesOf(copyOf(content))) {
      if (kind === DATA) {
        this.#deliveries.deliver(group, new Prepared(payload), key, undefined, undefined);
      } else {
        const message = new Prepared(payload.subarray(CONTEXT_SIZE));
        const traceparent = this.#options.tracer && contextOf(payload);
        this.#deliveries.deliver(group, message, key, undefined, traceparent);
      }
    }
  }

  /** Lets a member get the history, and then what is published. */
  #replay(group: Group, member: Member, since: Since): Promise<void> {
    const { name, receivers } = group;
    const replays = group.replays!;
    const { session } = member;
    const replay = new Replay(group, session, this.#history!, {
      onLive: (rest) => {
        replays.delete(member);
        receivers.add(member);
        for (const { message, key } of rest) {
          if (group.policy === "end") session.send(message);
          else member.deliver(group, message, key);
        }
      },
      onGap: (from, to) => this.#call(this.#options.onGap, name, from, to, session),
    });
    replays.set(member, replay);
    return replay.run(since).catch((error) => { // the session has ended, and so has left
      if (replays.get(member) === replay) this.#onError(error);
    });
  }

  /** The context of the trace in which a message is published. */
  #traceparent(group: string): string | undefined {
    let traceparent: string | undefined;
    this.#call(() => {
      const found = this.#options.tracer!.traceparent(group);
      if (found === undefined) return;
      if (isTraceparent(found)) traceparent = found;
      else throw new TypeError("traceparent() of tracer must return one of version 00 (§3.2.2)");
    });
    return traceparent;
  }

  /** Calls a function of the options. */
  #call<Args extends unknown[]>(
    callback: ((...args: Args) => unknown) | undefined,
    ...args: Args
  ): void {
    if (callback !== undefined) attempt(() => callback(...args), (error) => this.#onError(error));
  }

  #onError(error: unknown): void {
    this.#errors++;
    const { onError } = this.#options;
    // If onError() itself fails, there is no one left to tell.
    attempt(() => onError(error), () => {});
  }
}

/** Tells hubs apart: 48 bits, which a number can hold. */
function randomSender(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high! >>> 16) * 2 ** 32 + low!;
}

function prepareOnce(
  message: unknown,
  codec: PublishFrameOptions<unknown>["codec"] | undefined,
): PreparedMessage {
  if (codec !== undefined) return prepare(message, codec);
  if (message instanceof Prepared) return message;
  return message instanceof Uint8Array ? new Prepared(copyOf(message)) : prepare(message as string);
}
