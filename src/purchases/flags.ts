import { AppError } from '../errors.js'

/** Whether packages are sold, and by which settings. */
export type Flags = {
  readonly version: 'v1' | 'v2'
  readonly enablePurchases: boolean
  readonly rollbackMode: boolean
}

/** Throws `purchases_disabled` with the setting that stands in the way. */
export function requireOn({ version, enablePurchases, rollbackMode }: Flags): void {
  if (enablePurchases) return
  if (version === 'v2') {
    const message = 'CREDIT_SYSTEM_VERSION is v2, which sells no packages'
    throw new AppError('purchases_disabled', message, { flag: 'CREDIT_SYSTEM_VERSION' })
  }
  const forced = rollbackMode ? ' (ROLLBACK_MODE forces v1 and turns nothing on)' : ''
  const message = `ENABLE_CREDIT_PURCHASES is not true${forced}`
  throw new AppError('purchases_disabled', message, { flag: 'ENABLE_CREDIT_PURCHASES' })
}
