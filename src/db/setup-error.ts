/**
 * The database can not be used as configured. The message is one line for the operator, tells what
 * to do, and carries no secret.
 */
export class DatabaseSetupError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'DatabaseSetupError'
  }
}
