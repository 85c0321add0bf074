import { ConfigError } from './config.js'
import { DatabaseSetupError } from './db/setup-error.js'
import { AppError } from './errors.js'

type SystemError = {
  readonly code?: string
  readonly port?: number
  readonly syscall?: string
  readonly address?: string
  readonly hostname?: string
}

/** What the operator can mend is told in a line or two, anything else with all there is to know. */
export const explain = (error: unknown): string => {
  const isPlain = error instanceof ConfigError || error instanceof DatabaseSetupError
  if (isPlain || (error instanceof AppError && error.status < 500)) return error.message
  const { code, port, syscall, address, hostname } = error as SystemError
  if (code === 'EADDRINUSE') return `port ${port} is in use: set PORT to another one`
  if (code === 'EADDRNOTAVAIL' || (syscall === 'getaddrinfo' && code !== undefined)) {
    return `HOST ${address ?? hostname} is not an address of this machine`
  }
  if (code === 'EACCES' && port !== undefined) {
    return `port ${port} may not be opened by this user: set PORT to 1024 or above`
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
