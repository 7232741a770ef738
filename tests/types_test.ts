// The types of addresses and connections are our own, and those of Deno fit.

import type {
  Address,
  Connection,
  Listener,
  NetAddr,
  UnixAddr,
  VsockAddr,
} from "../transport/mod.ts";
import { type SystemErrors, systemErrors } from "../transport/mod.ts";

/** Compiles only if either type is assignable to the other. */
type Same<One extends Other, Other extends Back, Back = One> = [One, Other];

/** Compiles only if the first type is assignable to the second. */
type Fits<One extends Other, Other> = [One, Other];

export type Checks = [
  Same<NetAddr, Deno.NetAddr>,
  Same<UnixAddr, Deno.UnixAddr>,
  Same<VsockAddr, Deno.VsockAddr>,
  Fits<Deno.Addr, Address>,
  Fits<Deno.Conn, Connection>,
  Fits<Deno.TcpConn, Connection>,
  Fits<Deno.TlsConn, Connection>,
  Fits<Deno.UnixConn, Connection>,
  Fits<Deno.Listener, Listener>,
  Fits<Deno.TlsListener, Listener>,
  Fits<typeof Deno.errors, SystemErrors>,
];

Deno.test("systemErrors narrows what is thrown", { permissions: "none" }, () => {
  const thrown: unknown = new systemErrors.NotFound("x");
  if (thrown instanceof systemErrors.NotFound) thrown.message satisfies string;
});
