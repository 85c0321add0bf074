import { defineCommand } from 'citty'
import { withLedger } from '../compose-command.js'
import { createProgressBar } from '../operations/progress-bar.js'
import { createAllocate } from '../plans/allocate.js'
import { createFinish } from '../plans/finish.js'
import { createGuests } from '../sessions/guests.js'
import { command, json, show, warn } from './command.js'

const allocateCommand = command(
  'Allocate the credits of plans that are due, as the service does; exits with 1 if any failed',
  {
    'dry-run': { type: 'boolean', description: 'Only tell what would be allocated' },
    json,
  },
  async ({ args, config }) =>
    withLedger(config, async (db, ledger) => {
      const { now } = ledger
      const finish = createFinish({
        db,
        ledger,
        payeeOf: createGuests({ orm: db.orm, now }).payeeOf,
        now,
        onFault: (error, { accountId }) =>
          warn(`${accountId}: ${error instanceof Error ? error.message : String(error)}`),
      })
      const allocate = createAllocate({ db, finish, now })
      if (args['dry-run'] === true) {
        const report = await allocate.preview()
        const { subscriptions, allocations, credits, bonus } = report
        const line =
          `${subscriptions} subscriptions due, ${allocations} would be allocated to: ` +
          `${credits} monthly and ${bonus} bonus credits, and what rolls over`
        show({ isDryRun: true, ...report }, [line], args.json)
        return true
      }
      const total = await allocate.count()
      const bar = createProgressBar(process.stderr, { total, isShown: !args.json })
      const report = await allocate
        .run(undefined, ({ subscriptions }) => bar.update(subscriptions))
        .finally(bar.stop)
      const { subscriptions, allocated, failed } = report
      const line = `${subscriptions} subscriptions due, ${allocated} allocated, ${failed} failed`
      show({ isDryRun: false, ...report }, [line], args.json)
      return failed === 0
    }),
)

export const plansCommand = defineCommand({
  meta: { description: 'Plans' },
  subCommands: { allocate: allocateCommand },
})
