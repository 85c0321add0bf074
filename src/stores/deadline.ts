/** No answer came in time; what was asked may yet happen. */
export class DeadlineError extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`)
    this.name = 'DeadlineError'
  }
}

/**
 * Waits at most so long. An answer that has arrived meanwhile, and that this process was too busy
 * to look at, counts: there is one turn of the event loop to find it. `more`: how much longer it is
 * worth waiting when the time is over.
 */
export const withinDeadline = <T>(
  work: Promise<T>,
  timeoutMs: number,
  more: () => number = () => 0,
): Promise<T> =>
  new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout
    let isSettled = false
    const decide = () => {
      const moreMs = isSettled ? 0 : more()
      if (moreMs > 0) wait(moreMs)
      else reject(new DeadlineError(timeoutMs))
    }
    const wait = (ms: number) => {
      timer = setTimeout(() => setImmediate(decide), ms)
    }
    wait(timeoutMs)
    work.then(resolve, reject).finally(() => {
      isSettled = true
      clearTimeout(timer)
    })
  })
