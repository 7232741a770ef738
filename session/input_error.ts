/**
 * The method by which a user of frames, such as `requests()`, reports an error that the peer is at fault for: the
 * handler may then let it through.
 */
export const REPORT_INPUT_ERROR: unique symbol = Symbol("reportInputError");
