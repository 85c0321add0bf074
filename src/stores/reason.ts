import { DeadlineError } from './deadline.js'
import { RedisUrlError } from './urls.js'

/** Why a Redis is of no use for now, in words for the operator: no address, no credential. */
export const reasonOf = (error: Error): string => {
  if (error instanceof RedisUrlError) return `its URL ${error.reason}`
  if (error instanceof DeadlineError) return 'it does not answer in time'
  const text = `${error.message} ${codeOf(error)}`
  const found = REASONS.find(([pattern]) => pattern.test(text))
  return found?.[1] ?? 'the connection failed'
}

const codeOf = (error: Error): string => {
  const { code, lastNodeError } = error as Error & { code?: string; lastNodeError?: Error }
  const inner =
    lastNodeError === undefined ? '' : `${lastNodeError.message} ${codeOf(lastNodeError)}`
  return `${code ?? ''} ${inner}`
}

/** Of a connection of which nothing is known. */
export const NOT_YET = 'nothing has been heard of it yet'

/** Of a connection that was taken, and on which TLS has not begun. */
export const NO_TLS = 'no TLS on this connection'

const REASONS: readonly (readonly [RegExp, string])[] = [
  [new RegExp(NOT_YET), 'it has not answered yet'],
  [
    new RegExp(`${NO_TLS}|before secure TLS|wrong version number|packet length too long`),
    'TLS is asked for (rediss), and what answers there does not speak it',
  ],
  [/enableOfflineQueue|\btimeout\b/, 'it does not answer in time'],
  [/WRONGPASS|invalid (username-)?password|AUTH .*(failed|called)/i, 'it refuses the password'],
  [/NOAUTH|Authentication required/i, 'it asks for a password, or refuses the one given'],
  [/NOPERM/, 'its user may not run the commands that are needed'],
  [/READONLY|NOREPLICAS/, 'it does not take writes'],
  [/LOADING/, 'it is still loading its data'],
  [/MISCONF/, 'it can not save its data and takes no writes'],
  [/\bOOM\b/, 'its memory is full'],
  [/MASTERDOWN/, 'it is a replica without its primary'],
  [/cluster support disabled/i, 'it is not a cluster: leave out ?cluster=true'],
  [/\bMOVED\b|CROSSSLOT/, 'it is part of a cluster: add ?cluster=true to its URL'],
  [
    /Unknown RESP type|Protocol error|unexpected reply|ParserError/i,
    'what answers there is not Redis',
  ],
  [/max number of clients/i, 'it has too many connections'],
  [/ECONNREFUSED/, 'nothing listens there'],
  [/ENOTFOUND|EAI_AGAIN/, 'its host is not known'],
  [/ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/, 'its host can not be reached'],
  [/certificate|CERT_|SSL|TLS|EPROTO/i, 'the encrypted connection failed'],
  [/ERR invalid DB index|DB index is out of range/i, 'it has no database of that number'],
  [/CLUSTERDOWN|Failed to refresh slots|None of startup nodes/, 'the cluster is not complete'],
  [/connection was closed|Connection is closed|ECONNRESET|EPIPE/, 'it closes the connection'],
]

/** Errors that say something about one key or one call, and nothing about the server. */
export const isAboutOneCall = (error: Error): boolean =>
  /^(ERR |WRONGTYPE|NOSCRIPT|UNKILLABLE|BUSY\b)/.test(error.message) &&
  !/max number of clients|operation not permitted/i.test(error.message)
