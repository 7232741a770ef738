import { ErrorPrinter } from "../_internal/error_printer.ts";

/** Makes what prints the errors of a hub that the program does not handle. */
export function errorPrinter(): (error: unknown) => void {
  const printer = new ErrorPrinter("errors of the hub");
  return (error) => printer.print(error);
}
