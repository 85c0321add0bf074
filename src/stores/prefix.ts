export type PrefixEnvironment = Readonly<Record<string, string | undefined>>

/** What every key of this environment begins with, so that several can share one Redis. */
export const getKeyPrefix = (env: PrefixEnvironment): string => {
  const own = textOf(env.KEY_PREFIX)
  if (own !== null) return own
  const railway = textOf(env.RAILWAY_ENVIRONMENT_NAME)
  // Railway's environments have any names: what is not production is for trying things
  const onRailway = railway === null || railway === 'production' ? railway : 'preview'
  const name = textOf(env.VERCEL_ENV) ?? onRailway ?? textOf(env.NODE_ENV) ?? 'development'
  return PREFIXES.get(name) ?? 'local:'
}

const PREFIXES: ReadonlyMap<string, string> = new Map([
  ['production', 'prod:'],
  ['preview', 'dev:'],
  ['development', 'dev:'],
])

const textOf = (text: string | undefined): string | null => text?.trim() || null
