export type Recent = {
  note(commands: number, errors: number): void
  /** Of the last five minutes, 0 to 1; 0 when too little was asked to tell. */
  errorRate(): number
}

const SLOT_MS = 60_000
const SLOTS = 5
/** Of fewer commands, one that is late would be over a percent, and an alert. */
const MIN_COMMANDS = 100
/** So many failures tell of trouble, however few commands there were. */
const MIN_ERRORS = 5

/** How many commands have failed lately. */
export const createRecent = (monotonicMs: () => number): Recent => {
  const slots: { slot: number; commands: number; errors: number }[] = []
  const slotNow = () => Math.floor(monotonicMs() / SLOT_MS)
  return {
    note(commands, errors) {
      const slot = slotNow()
      let last = slots.at(-1)
      if (last?.slot !== slot) {
        last = { slot, commands: 0, errors: 0 }
        slots.push(last)
        if (slots.length > SLOTS) slots.shift()
      }
      last.commands += commands
      last.errors += errors
    },
    errorRate() {
      const since = slotNow() - SLOTS
      const recent = slots.filter(({ slot }) => slot > since)
      const commands = recent.reduce((sum, one) => sum + one.commands, 0)
      const errors = recent.reduce((sum, one) => sum + one.errors, 0)
      if (commands < MIN_COMMANDS && errors < MIN_ERRORS) return 0
      return Math.min(1, errors / commands)
    },
  }
}
