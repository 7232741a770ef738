import { type RespConstant, respStatus } from "@parley/tcp/codecs";

/** What was asked for is done. */
export const OK: RespConstant = respStatus("OK");
