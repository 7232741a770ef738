// The types of @std/cli/parse-args, which its npm build leaves out. Names with a dot in them, which
// parse into nested objects, are left to the index signature.

type Many<T> = T | readonly T[];
type One<T> = T extends readonly (infer Item)[] ? Item : T;
type Flat<T> = { [K in keyof T]: T[K] };

type Aliases = Readonly<Record<string, Many<string>>>;
type Defaults = Readonly<Record<string, unknown>>;

/** `Name` and every other name of the same flag. */
type Names<Name, A extends Aliases> = Name extends string ?
    | Name
    | (Name extends keyof A ? One<A[Name]> : never)
    | { [Key in keyof A]: Name extends One<A[Key]> ? Key | One<A[Key]> : never }[keyof A]
  : never;

/** What the defaults hold for `Name`, under whichever of its names; `never` if nothing. */
type DefaultOf<Name, A extends Aliases, D extends Defaults> = {
  [Key in keyof D]: Name extends Names<Key, A> ? D[Key] : never;
}[keyof D];

type Scalar<Name, S, B, N> =
  | (Name extends S ? string : never)
  | (Name extends B ? boolean : never)
  | (Name extends N ? false : never);

type Listed<Name, S, B> = Name extends S | B ? Scalar<Name, S, B, never>[] : unknown[];

type Flags<S, B, C, N, A extends Aliases, D extends Defaults, Defaulted> = Flat<
  & { [Name in Extract<Exclude<S, B | C | Defaulted>, string>]?: Scalar<Name, S, B, N> | undefined }
  & {
    [Name in Extract<Exclude<B | (S & Defaulted), C>, string>]:
      | Scalar<Name, S, B, N>
      | DefaultOf<Name, A, D>;
  }
  & { [Name in Extract<C, string>]: Listed<Name, S, B> | DefaultOf<Name, A, D> }
>;

type Undotted<Name> = Name extends `${string}.${string}` | "_" ? never : Name;

/** The flags by name, the other arguments under `_` and, if asked for, what followed `--`. */
export type Args<
  S extends string,
  B extends string,
  C extends string,
  N extends string,
  A extends Aliases,
  D extends Defaults,
  Dashes extends boolean,
> =
  & Flags<
    Undotted<Names<S, A>>,
    Undotted<Names<B, A>>,
    Undotted<Names<C, A>>,
    Names<N, A>,
    A,
    D,
    Names<keyof D, A>
  >
  & { _: ("_" extends S ? string : string | number)[] }
  & (Dashes extends true ? { "--": string[] } : unknown)
  & { [name: string]: unknown };

export interface ParseOptions<
  S extends string = string,
  B extends string = string,
  C extends string = string,
  N extends string = string,
  A extends Aliases = Aliases,
  D extends Defaults = Defaults,
  Dashes extends boolean = boolean,
> {
  /** Gather what follows `--` under that name. */
  "--"?: Dashes | undefined;
  /** Other names of a flag. */
  alias?: A | undefined;
  /** Flags that take no value; `true` for all of them. */
  boolean?: boolean | Many<B> | undefined;
  /** Values of flags that are not given. */
  default?: D | undefined;
  /** Leave everything after the first argument that is no flag alone. */
  stopEarly?: boolean | undefined;
  /** Flags whose value stays a string even if it looks like a number. */
  string?: Many<S> | undefined;
  /** Flags that may be given several times, gathered in an array. */
  collect?: Many<C> | undefined;
  /** Flags that `--no-NAME` turns off. */
  negatable?: Many<N> | undefined;
  /** Called for what no other option names; `false` leaves it out. */
  unknown?: ((arg: string, key?: string, value?: unknown) => unknown) | undefined;
}

export function parseArgs<
  const S extends string = never,
  const B extends string = never,
  const C extends string = never,
  const N extends string = never,
  // deno-lint-ignore ban-types
  const A extends Aliases = {},
  // deno-lint-ignore ban-types
  D extends Defaults = {},
  Dashes extends boolean = false,
>(
  args: string[],
  options?: ParseOptions<S, B, C, N, A, D, Dashes>,
): Args<S, B, C, N, A, D, Dashes>;
