import { AppError } from '../../src/errors.js'
import { createDatabaseClock } from '../../src/ledger/clock.js'
import { createLanes } from '../../src/ledger/lanes.js'
import { PortError } from '../../src/ledger/port.js'

/** The code that is tried: the real one, or a copy with a fault put in. */
export type Kit = {
  readonly createLanes: typeof createLanes
  readonly createDatabaseClock: typeof createDatabaseClock
  readonly PortError: typeof PortError
  readonly AppError: typeof AppError
}

export const realKit: Kit = { createLanes, createDatabaseClock, PortError, AppError }
