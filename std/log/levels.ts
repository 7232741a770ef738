/** The levels by name, from the lowest to the most severe. */
export const LogLevels = {
  NOTSET: 0,
  DEBUG: 10,
  INFO: 20,
  WARN: 30,
  ERROR: 40,
  CRITICAL: 50,
} as const;

/** A level as a number. */
export type LogLevel = typeof LogLevels[LevelName];
/** A level by name. */
export type LevelName = keyof typeof LogLevels;

/** The names of the levels, the most verbose first. */
export const LogLevelNames: LevelName[] = Object.keys(LogLevels) as LevelName[];

/** The number of a level. */
export function getLevelByName(name: LevelName): LogLevel {
  const level = LogLevels[name];
  if (level === undefined) throw new Error(`there is no log level ${name}`);
  return level;
}

/** The name of a level. */
export function getLevelName(level: LogLevel): LevelName {
  const name = LogLevelNames.find((name) => LogLevels[name] === level);
  if (name === undefined) throw new Error(`there is no log level ${level}`);
  return name;
}
