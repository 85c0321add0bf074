export type PrefixEnvironment = Readonly<Record<string, string | undefined>>

/** What every key and channel of this environment begins with, so that several can share a Redis. */
export const getKeyPrefix = (env: PrefixEnvironment): string => {
  const own = valueOf(env.KEY_PREFIX)
  if (own !== null) return own
  const railway = valueOf(env.RAILWAY_ENVIRONMENT_NAME)
  // Railway's environments have any names: what is not production is for trying things
  const onRailway = railway === null || railway === 'production' ? railway : 'preview'
  const name = valueOf(env.VERCEL_ENV) ?? onRailway ?? valueOf(env.NODE_ENV) ?? 'development'
  return PREFIXES[name] ?? 'local:'
}

const PREFIXES: Readonly<Record<string, string>> = {
  production: 'prod:',
  preview: 'dev:',
  development: 'dev:',
}

const valueOf = (text: string | undefined): string | null => text?.trim() || null
