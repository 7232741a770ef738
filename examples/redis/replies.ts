import { type RespConstant, respStatus } from "@parley/tcp/codecs";

/** The reply of a command that has succeeded. */
export const OK: RespConstant = respStatus("OK");
