/** No answer came in time; what was asked may yet happen. */
export class DeadlineError extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`)
    this.name = 'DeadlineError'
  }
}

/**
 * Waits at most so long. An answer that has arrived meanwhile, and that this process was too busy
 * to look at, counts: there is one turn of the event loop to find it.
 */
export const withinDeadline = <T>(work: Promise<T>, timeoutMs: number): Promise<T> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => setImmediate(() => reject(new DeadlineError(timeoutMs))),
      timeoutMs,
    )
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
